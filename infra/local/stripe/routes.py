"""The calls of Stripe's API that the stand-in takes, with the parameters that each may have."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra.local.stripe import disputes, money, payments, refunds, shapes
from infra.local.stripe.account import Account, Page
from infra.local.stripe.errors import Json, Refused, missing
from infra.local.stripe.methods import Method, named, numbered
from infra.local.stripe.parameters import Parameters

CANCELLATION_REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
MOST_IN_A_PAGE = 100

Do = Callable[[Account, Parameters, str], Json]


@dataclass(frozen=True)
class Route:
    """A call: its method and path, what it does, and the parameters it knows besides `expand`."""

    method: str
    path: str
    do: Do
    known: frozenset[str]
    browser: bool = False
    """Whether a browser may call it, with the publishable key and the client secret."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.path.replace("{id}", "(?P<id>[A-Za-z0-9_]+)"))


def _create_intent(account: Account, given: Parameters, _: str) -> Json:
    amount, currency = _price(given)
    automatic = given.group("automatic_payment_methods")
    redirects = automatic.choice("allow_redirects", ("always", "never")) or "always"
    automatic.flag("enabled")
    changes = _changes(given, {})
    method = _method(given)
    intent = shapes.payment_intent(amount, currency, allow_redirects=redirects) | changes
    confirm, return_url = given.flag("confirm"), given.text("return_url")
    payments.create(account, intent)
    if confirm:
        payments.confirm(account, intent, method, return_url)
    elif method is not None:
        payments.attach(account, intent, method)
    return intent


def _price(given: Parameters) -> tuple[int, str]:
    given.required("amount")
    amount = given.integer("amount") or 0
    currency = money.check_currency(given.required("currency"))
    money.check_amount(amount, currency)
    return amount, currency


def _changes(given: Parameters, metadata: dict[str, str]) -> Json:
    changes: Json = {"metadata": given.metadata(metadata)}
    if "description" in given.values:
        changes["description"] = given.text("description")
    if "receipt_email" in given.values:
        changes["receipt_email"] = given.email("receipt_email")
    return changes


def _method(given: Parameters) -> Method | None:
    name = given.text("payment_method")
    if name is not None:
        return named(name)
    data = given.group("payment_method_data")
    if not data.values:
        return None
    data.choice("type", ("card",))
    data.required("type")
    return numbered(data.group("card").required("number"))


def _update_intent(account: Account, given: Parameters, identity: str) -> Json:
    intent = account.get("payment_intent", identity, "intent")
    changes = _changes(given, intent["metadata"])
    if {"amount", "currency"} & given.values.keys():
        amount = given.integer("amount") or intent["amount"]
        currency = money.check_currency(given.text("currency") or intent["currency"])
        money.check_amount(amount, currency)
        changes |= {"amount": amount, "currency": currency}
    return payments.update(account, intent, changes)


def _confirm_intent(account: Account, given: Parameters, identity: str) -> Json:
    intent = account.get("payment_intent", identity, "intent")
    method, changes = _method(given), _changes(given, intent["metadata"])
    return payments.confirm(account, intent | changes, method, given.text("return_url"))


def _cancel_intent(account: Account, given: Parameters, identity: str) -> Json:
    reason = given.choice("cancellation_reason", CANCELLATION_REASONS)
    return payments.cancel(account, account.get("payment_intent", identity, "intent"), reason)


def _create_refund(account: Account, given: Parameters, _: str) -> Json:
    amount, reason = given.integer("amount"), given.choice("reason", REFUND_REASONS)
    metadata = given.metadata({})
    charge_id, intent_id = given.text("charge"), given.text("payment_intent")
    if charge_id is not None:
        charge = account.get("charge", charge_id, "charge")
    elif intent_id is not None:
        intent = account.get("payment_intent", intent_id, "payment_intent")
        charge = refunds.charge_of(account, intent)
    else:
        raise Refused(
            400, "One of the following params should be provided for this request: payment_intent or charge."
        )
    return refunds.create(account, charge, amount, reason, metadata)


def _close_dispute(account: Account, _: Parameters, identity: str) -> Json:
    return disputes.end(account, account.get("dispute", identity, "dispute"), won=False)


def _one(kind: str, param: str) -> Do:
    def retrieve(account: Account, given: Parameters, identity: str) -> Json:
        found = account.get(kind, identity, param)
        if given.text("client_secret") not in {None, found.get("client_secret")}:
            raise missing(kind, identity, param)
        return found

    return retrieve


def _list(kind: str, url: str) -> Do:
    def find(account: Account, given: Parameters, _: str) -> Json:
        limit = given.integer("limit")
        if limit is not None and not 1 <= limit <= MOST_IN_A_PAGE:
            raise Refused(400, f"Limit must be between 1 and {MOST_IN_A_PAGE}", param="limit")
        kinds = given.many("types") if "types" in given.values else []
        one = given.text("type")
        page = Page(
            limit=limit or 10,
            after=given.text("starting_after"),
            created=_moments(given),
            parent=given.text("payment_intent"),
            tags=[one] if one else kinds,
        )
        found, more = account.all(kind, page)
        return shapes.listed(url, found, has_more=more)

    return find


def _moments(given: Parameters) -> dict[str, int]:
    if not isinstance(given.values.get("created", {}), dict):
        return {"is": given.integer("created") or 0}
    range_ = given.group("created")
    range_.allow(("gt", "gte", "lt", "lte"))
    return {comparison: range_.integer(comparison) or 0 for comparison in range_.values}


def _known(names: str) -> frozenset[str]:
    return frozenset(names.split())


_INTENTS, _REFUNDS, _CHARGES = "/v1/payment_intents", "/v1/refunds", "/v1/charges"
_DISPUTES, _EVENTS = "/v1/disputes", "/v1/events"
_PAGE = "created limit starting_after"
_OF_INTENT = _known(f"{_PAGE} payment_intent")

ROUTES = (
    Route(
        "POST", _INTENTS, _create_intent,
        _known("amount automatic_payment_methods confirm currency description metadata payment_method "
               "payment_method_data receipt_email return_url"),
    ),
    Route("GET", _INTENTS, _list("payment_intent", _INTENTS), _known(_PAGE)),
    Route(
        "GET", f"{_INTENTS}/{{id}}", _one("payment_intent", "intent"), _known("client_secret"), browser=True,
    ),
    Route(
        "POST", f"{_INTENTS}/{{id}}", _update_intent,
        _known("amount currency description metadata receipt_email"),
    ),
    Route(
        "POST", f"{_INTENTS}/{{id}}/confirm", _confirm_intent,
        _known("payment_method payment_method_data receipt_email return_url"), browser=True,
    ),
    Route("POST", f"{_INTENTS}/{{id}}/cancel", _cancel_intent, _known("cancellation_reason")),
    Route("POST", _REFUNDS, _create_refund, _known("amount charge metadata payment_intent reason")),
    Route("GET", _REFUNDS, _list("refund", _REFUNDS), _OF_INTENT),
    Route("GET", f"{_REFUNDS}/{{id}}", _one("refund", "id"), _known("")),
    Route("GET", _CHARGES, _list("charge", _CHARGES), _OF_INTENT),
    Route("GET", f"{_CHARGES}/{{id}}", _one("charge", "id"), _known("")),
    Route("GET", _DISPUTES, _list("dispute", _DISPUTES), _OF_INTENT),
    Route("GET", f"{_DISPUTES}/{{id}}", _one("dispute", "dispute"), _known("")),
    Route("POST", f"{_DISPUTES}/{{id}}/close", _close_dispute, _known("")),
    Route("GET", _EVENTS, _list("event", _EVENTS), _known(f"{_PAGE} type types")),
    Route("GET", f"{_EVENTS}/{{id}}", _one("event", "id"), _known("")),
)  # fmt: skip


def route_of(method: str, path: str) -> tuple[Route, str]:
    """Return what a call is for, and the id in its path. Raises Refused."""
    for route in ROUTES:
        found = route.pattern.fullmatch(path) if route.method == method else None
        if found is not None:
            return route, found.groupdict().get("id", "")
    raise Refused(404, f"Unrecognized request URL ({method}: {path}).")


def expand(account: Account, answer: Json, wanted: list[str]) -> None:
    """Put objects in the places of their ids, as `expand[]` asks. Raises Refused."""
    for way in wanted:
        nodes: list[Any] = [answer]
        *steps, last = way.split(".")
        for step in steps:
            below = [node.get(step) for node in nodes]
            nodes = [one for item in below for one in (item if isinstance(item, list) else [item]) if one]
        for node in nodes:
            if not isinstance(node, dict) or last not in node:
                raise _not_expandable(way)
            if isinstance(node[last], str):
                found = account.find(node[last])
                if found is None:
                    raise _not_expandable(way)
                node[last] = found


def _not_expandable(way: str) -> Refused:
    return Refused(400, f"This property cannot be expanded ({way}).", param="expand", began=True)

"""The pages of the stand-in: where a person pays, and what Stripe's dashboard is for."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.local.stripe.api import Answer, Call
from infra.local.stripe.errors import Json, Refused
from infra.local.stripe.methods import METHODS
from infra.local.stripe.money import shown
from infra.local.stripe.stand_in import StandIn

OURS = {"127.0.0.1", "localhost"}
ON_A_PAGE = 50
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

_OF_A_PAYMENT = re.compile(r"/(?P<page>pay|three-d-secure)/(?P<id>pi_[A-Za-z0-9]+)")
_ACTION = re.compile(r"/payments/(?P<id>pi_[A-Za-z0-9]+)/(?P<name>[a-z-]+)")
_REPLAY = re.compile(r"/events/(?P<id>evt_[A-Za-z0-9]+)/deliver")
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent.with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


_templates.filters |= {"time": _time, "money": shown}


class Pages:
    """Answers what is not a call of the API; all of it works without scripts."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._actions: dict[str, Callable[[str, dict[str, str]], object]] = {
            "cancel": lambda intent, _: stand_in.cancel(intent),
            "refund": lambda intent, form: stand_in.refund(intent, _number(form.get("amount"))),
            "dispute": lambda intent, _: stand_in.dispute(intent),
            "win-dispute": lambda intent, _: self._end_dispute(intent, won=True),
            "lose-dispute": lambda intent, _: self._end_dispute(intent, won=False),
            "settle": lambda intent, _: stand_in.settle(intent, well=True),
            "fail": lambda intent, _: stand_in.settle(intent, well=False),
        }

    def answer(self, call: Call) -> Answer:
        refusal = _stranger(call)
        if refusal:
            return _text(refusal, HTTPStatus.FORBIDDEN)
        if call.path == "/stand-in/switches":
            return self._switches(call)
        form = {name: values[-1] for name, values in parse_qs(call.form).items()}
        try:
            return self._get(call.path, form) if call.method == "GET" else self._post(call.path, form)
        except Refused as refused:
            context = {"message": refused.error["message"]}
            return _page("stripe-refused.html", HTTPStatus(refused.status), **context)

    def _get(self, path: str, form: dict[str, str]) -> Answer:
        if path == "/":
            return self._list()
        found = _OF_A_PAYMENT.fullmatch(path)
        if found is None:
            return _text("There is no such page.", HTTPStatus.NOT_FOUND)
        intent = self._shown_to(found["id"], form)
        if found["page"] == "three-d-secure" and intent["status"] == "requires_action":
            return _page("stripe-three-d-secure.html", intent=intent)
        return self._pay(intent, HTTPStatus.OK, None)

    def _post(self, path: str, form: dict[str, str]) -> Answer:
        if found := _OF_A_PAYMENT.fullmatch(path):
            intent = self._shown_to(found["id"], form)
            if found["page"] == "pay":
                return self._confirm(intent, form.get("method") or form.get("number", ""))
            self._stand_in.authenticate(intent["id"], passed=form.get("outcome") == "complete")
            return _see(self._stand_in.pay_url(intent["id"]))
        if path == "/payments":
            self._stand_in.create(_number(form.get("amount")) or 0, form.get("currency", ""))
        elif path == "/deliver":
            order = form.get("order", "kept")
            self._stand_in.deliver_all(order if order in {"reversed", "shuffled"} else "kept")  # type: ignore[arg-type]
        elif found := _REPLAY.fullmatch(path):
            self._stand_in.deliver(found["id"])
        elif (found := _ACTION.fullmatch(path)) and found["name"] in self._actions:
            self._actions[found["name"]](found["id"], form)
        else:
            return _text("There is no such page.", HTTPStatus.NOT_FOUND)
        return _see("/")

    def _shown_to(self, identity: str, form: dict[str, str]) -> Json:
        """Return a PaymentIntent to who knows its secret. Raises Refused."""
        intent = self._stand_in.intent(identity)
        if form.get("client_secret") != intent["client_secret"]:
            raise Refused(403, "This is not the address that the payment was given.")
        return intent

    def _pay(self, intent: Json, status: HTTPStatus, trouble: str | None) -> Answer:
        if trouble is None and intent["last_payment_error"]:
            trouble = intent["last_payment_error"]["message"]
        return _page("stripe-pay.html", status, intent=intent, methods=METHODS, trouble=trouble)

    def _confirm(self, intent: Json, method: str) -> Answer:
        try:
            intent = self._stand_in.confirm(intent["id"], method)
        except Refused as refused:
            if "payment_intent" not in refused.error:  # nothing was tried, so nothing is known of it later
                return self._pay(intent, HTTPStatus(refused.status), refused.error["message"])
        if intent["status"] == "requires_action":
            return _see(intent["next_action"]["redirect_to_url"]["url"])
        return _see(self._stand_in.pay_url(intent["id"]))

    def _list(self) -> Answer:
        rows = [self._row(intent) for intent in self._stand_in.intents(ON_A_PAGE)]
        deliveries = self._stand_in.deliveries(ON_A_PAGE)
        switches = self._stand_in.switches
        waiting = len(self._stand_in.waiting())
        return _page("stripe-list.html", rows=rows, deliveries=deliveries, switches=switches, waiting=waiting)

    def _row(self, intent: Json) -> Json:
        paid = intent["status"] == "succeeded"
        charge = self._stand_in.charge(intent["id"]) if paid else None
        disputes = self._stand_in.disputes(intent["id"])
        return {
            "intent": intent,
            "charge": charge,
            "dispute": disputes[0]["status"] if disputes else None,
            "url": self._stand_in.pay_url(intent["id"]),
        }

    def _end_dispute(self, intent: str, *, won: bool) -> None:
        for dispute in self._stand_in.disputes(intent)[:1]:
            self._stand_in.settle_dispute(dispute["id"], won=won)

    def _switches(self, call: Call) -> Answer:
        if call.method == "POST":
            try:
                self._stand_in.switches.set_from(call.form)
            except ValueError as error:
                return _text(str(error), HTTPStatus.BAD_REQUEST)
        return Answer(HTTPStatus.OK, self._stand_in.switches.as_json().encode() + b"\n")


def _stranger(call: Call) -> str:
    """Return why a request is not one of a person at this machine, nothing if it may be."""
    host = call.headers.get("Host", "")
    # A page elsewhere can have its own name lead to this machine, and then read what is here.
    if urlsplit(f"//{host}").hostname not in OURS:
        return "This is for this machine only."
    # A page elsewhere can also send a form here, as it does not see the answer; browsers say where from.
    if call.method == "POST" and (
        call.headers.get("Origin", f"http://{host}") != f"http://{host}"
        or call.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}
    ):
        return "This form comes from another site."
    return ""


def _number(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):  # noqa: PLR2004
        raise Refused(400, "An amount is a whole number, in the currency's smallest unit.")
    return int(text)


def _page(template: str, status: HTTPStatus = HTTPStatus.OK, **context: Any) -> Answer:
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": POLICY,
        # Not no-referrer, with which a browser hides from us, too, where a form comes from.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return Answer(status, _templates.get_template(template).render(**context).encode(), headers)


def _text(text: str, status: HTTPStatus) -> Answer:
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Answer(status, f"{text}\n".encode(), headers)


def _see(address: str) -> Answer:
    """Send the browser on with a GET, to the same site under the name that it knows."""
    where = urlsplit(address)
    location = f"{where.path}?{where.query}" if where.query else where.path
    return Answer(HTTPStatus.SEE_OTHER, b"", {"Location": location})

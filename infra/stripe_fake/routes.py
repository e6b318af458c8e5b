"""The calls of the API, with the parameters of each."""

from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from infra.stripe_fake import lists, payment_intents, refunds, test_cards
from infra.stripe_fake.errors import ApiError, Json
from infra.stripe_fake.parameters import Parameters
from infra.stripe_fake.store import Store


@dataclass(frozen=True)
class Route:
    """A call of the API."""

    method: str
    path: str
    run: Callable[[Store, Parameters, str], Json]
    """Receives the id in the path too, or an empty text."""
    parameters: str = ""


def _create_intent(store: Store, parameters: Parameters, _: str) -> Json:
    parameters.required("amount")
    return payment_intents.create(
        store,
        parameters.integer("amount") or 0,
        parameters.required("currency").lower(),
        metadata=parameters.metadata(),
        receipt_email=parameters.email("receipt_email"),
    )


def _retrieve_intent(store: Store, _: Parameters, intent: str) -> Json:
    return store.get("payment_intent", intent, "intent")


def _confirm_intent(store: Store, parameters: Parameters, intent: str) -> Json:
    found = store.get("payment_intent", intent, "intent")
    return payment_intents.confirm(store, found, test_cards.find(parameters.required("payment_method")))


def _cancel_intent(store: Store, _: Parameters, intent: str) -> Json:
    return payment_intents.cancel(store, store.get("payment_intent", intent, "intent"))


def _create_refund(store: Store, parameters: Parameters, _: str) -> Json:
    amount, metadata = parameters.integer("amount"), parameters.metadata()
    intent = store.get("payment_intent", parameters.required("payment_intent"), "payment_intent")
    return refunds.create(store, intent, amount, metadata)


def _list_refunds(store: Store, parameters: Parameters, _: str) -> Json:
    return lists.page(store, parameters, "refund", _REFUNDS)


def _list_events(store: Store, parameters: Parameters, _: str) -> Json:
    return lists.page(store, parameters, "event", _EVENTS)


def _retrieve_event(store: Store, _: Parameters, event: str) -> Json:
    return store.get("event", event)


def _retrieve_refund(store: Store, _: Parameters, refund: str) -> Json:
    return store.get("refund", refund)


_INTENTS, _REFUNDS, _EVENTS = "/v1/payment_intents", "/v1/refunds", "/v1/events"
_CREATE_INTENT = "amount automatic_payment_methods currency metadata receipt_email"
_PAGE = "created ending_before limit starting_after"
ROUTES = (
    Route("POST", _INTENTS, _create_intent, _CREATE_INTENT),
    Route("GET", f"{_INTENTS}/<id>", _retrieve_intent),
    Route("POST", f"{_INTENTS}/<id>/confirm", _confirm_intent, "payment_method"),
    Route("POST", f"{_INTENTS}/<id>/cancel", _cancel_intent),
    Route("POST", _REFUNDS, _create_refund, "amount metadata payment_intent"),
    Route("GET", _REFUNDS, _list_refunds, f"{_PAGE} payment_intent"),
    Route("GET", f"{_REFUNDS}/<id>", _retrieve_refund),
    Route("GET", _EVENTS, _list_events, f"{_PAGE} type types"),
    Route("GET", f"{_EVENTS}/<id>", _retrieve_event),
)
_URLS = Map([Rule(route.path, methods=[route.method], endpoint=route) for route in ROUTES])


def find_route(method: str, path: str) -> tuple[Route, str]:
    """Return the route of a call and the id in its path. Raise ApiError."""
    try:
        route, values = _URLS.bind("").match(path, method)
    except HTTPException:
        raise ApiError(404, f"Unrecognized request URL ({method}: {path}).") from None
    return route, values.get("id", "")

"""Payments through Stripe."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import stripe

from chalicelib.payments import stripe_objects
from chalicelib.payments.gateway import Charge, DueRefund, PaymentIntent, PaymentRefused, Refund
from chalicelib.payments.stripe_objects import to_stripe_amount
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.observability import metrics

if TYPE_CHECKING:
    from stripe.params import EventListParams, PaymentIntentCreateParams, RefundCreateParams

API_VERSION = "2026-10-28.endive"

TIMEOUT_SECONDS = (3.0, 5.0)
"""To connect and to wait for the response: eight seconds at most, because an attendee may be waiting."""

BROKEN_WITHIN_SECONDS = 1.0
"""A call that fails later has timed out. It is not repeated, because an attendee may be waiting."""

T = TypeVar("T")

PAGE_SIZE = 100
"""The objects on a page of a list, as many as Stripe allows."""

_TRANSIENT_ERRORS = (
    stripe.APIConnectionError,
    stripe.RateLimitError,
    # The last two pass when the API key is fixed; the same attempt then succeeds.
    stripe.AuthenticationError,
    stripe.PermissionError,
)


class StripePayments:
    """Stripe's API with one API key. Thread-safe."""

    def __init__(
        self,
        api_key: str,
        api_base: str | None = None,
        *,
        timeout_seconds: tuple[float, float] = TIMEOUT_SECONDS,
    ) -> None:
        self._stripe = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base} if api_base else {},
            http_client=stripe.RequestsClient(timeout=timeout_seconds),
            max_network_retries=0,  # for retries see _send, and the callers retry later
        )

    def create_payment_intent(self, charge: Charge, event_id: UUID) -> PaymentIntent:
        # Nothing that can change between two calls of one attempt, such as the attendee's e-mail address.
        params: PaymentIntentCreateParams = {
            "amount": to_stripe_amount(charge.amount, charge.currency),
            "currency": charge.currency,
            "automatic_payment_methods": {"enabled": True},
            "metadata": {**_metadata(charge), "eventId": str(event_id)},
        }
        with _translate_errors(idempotent=True):
            key = _idempotency_key("payment", charge)
            intent = _send(lambda: self._stripe.v1.payment_intents.create(params, {"idempotency_key": key}))
        return stripe_objects.parse_payment_intent(_as_dict(intent))

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        with _translate_errors():
            intent = _send(lambda: self._stripe.v1.payment_intents.retrieve(intent_id))
        return stripe_objects.parse_payment_intent(_as_dict(intent))

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        try:
            with _translate_errors():
                intent = _send(lambda: self._stripe.v1.payment_intents.cancel(intent_id))
        except PaymentRefused:
            # It is paid, canceled already, or being processed by a bank.
            return self.get_payment_intent(intent_id)
        return stripe_objects.parse_payment_intent(_as_dict(intent))

    def create_refund(self, due: DueRefund) -> Refund:
        params: RefundCreateParams = {
            "payment_intent": due.intent_id,
            "amount": to_stripe_amount(due.amount, due.currency),
            "metadata": {
                "bookingId": str(due.booking_id),
                "refundId": str(due.refund_id),
                "attempt": str(due.attempt),
            },
        }
        with _translate_errors(idempotent=True):
            key = f"refund-{due.refund_id}-{due.attempt}"
            refund = _send(lambda: self._stripe.v1.refunds.create(params, {"idempotency_key": key}))
        return stripe_objects.parse_refund(_as_dict(refund))

    def get_refund(self, stripe_refund_id: str) -> Refund:
        with _translate_errors():
            refund = _send(lambda: self._stripe.v1.refunds.retrieve(stripe_refund_id))
        return stripe_objects.parse_refund(_as_dict(refund))

    def list_refunds(self, intent_id: str) -> list[Refund]:
        with _translate_errors():
            listed = _send(
                lambda: self._stripe.v1.refunds.list({"payment_intent": intent_id, "limit": PAGE_SIZE})
            )
            refunds = [_as_dict(refund) for refund in listed.auto_paging_iter()]
        return [stripe_objects.parse_refund(refund) for refund in refunds]

    def list_events(
        self, types: Collection[str], since: datetime, until: datetime
    ) -> Iterator[Sequence[dict[str, Any]]]:
        params: EventListParams = {
            "types": list(types),
            "created": {"gte": int(since.timestamp()), "lte": int(until.timestamp())},
            "limit": PAGE_SIZE,
        }
        with _translate_errors():
            page = _send(lambda: self._stripe.v1.events.list(params))
        while page.data:
            yield [_as_dict(event) for event in page.data]
            if not page.has_more:
                return
            with _translate_errors():
                page = self._stripe.v1.events.list({**params, "starting_after": page.data[-1].id})

    def get_event(self, event_id: str) -> dict[str, Any]:
        with _translate_errors():
            return _as_dict(_send(lambda: self._stripe.v1.events.retrieve(event_id)))


def _send(call: Callable[[], T]) -> T:
    """Call Stripe, and a second time if the connection broke early.

    A NAT gateway forgets a connection that was idle for 350 seconds, and resets it when it is used again.
    Both calls have the same idempotency key. Calls without one, to read and to cancel, can be repeated.
    """
    started = time.monotonic()
    try:
        return call()
    except stripe.APIConnectionError:
        if time.monotonic() - started > BROKEN_WITHIN_SECONDS:
            raise
    return call()


def _metadata(charge: Charge) -> dict[str, str]:
    return {"bookingId": str(charge.booking_id), "attempt": str(charge.attempt)}


def _idempotency_key(purpose: str, charge: Charge) -> str:
    return f"{purpose}-{charge.booking_id}-{charge.attempt}"


def _as_dict(stripe_object: stripe.StripeObject) -> dict[str, Any]:
    return stripe_object.to_dict()


@contextmanager
def _measured() -> Iterator[None]:
    """Measure a call to Stripe. A rejected call has not failed, an error on Stripe's side has."""
    started = time.perf_counter()
    failed = False
    try:
        yield
    except _TRANSIENT_ERRORS:
        failed = True
        raise
    except stripe.StripeError as error:
        failed = (error.http_status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR
        raise
    finally:
        elapsed_ms = (time.perf_counter() - started) * 1000
        metrics.put_all(
            {"StripeLatency": (elapsed_ms, "Milliseconds"), "StripeFailures": (int(failed), "Count")}
        )


@contextmanager
def _translate_errors(*, idempotent: bool = False) -> Iterator[None]:
    """Raise Unreachable for transient errors and unknown outcomes, and PaymentRefused for rejected calls.

    With an idempotency key, an error on Stripe's side is final too: Stripe stores the response with the key
    and repeats it for a day, so the next attempt needs a key of its own (docs.stripe.com/error-low-level).
    """
    try:
        with _measured():
            yield
    except _TRANSIENT_ERRORS as error:
        raise Unreachable(f"Stripe: {error}") from error
    except stripe.StripeError as error:
        status = error.http_status or 0
        server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if status == HTTPStatus.CONFLICT or (server_error and not idempotent):
            raise Unreachable(f"Stripe: {error}") from error
        code = error.code or type(error).__name__
        raise PaymentRefused(code, getattr(error, "param", None)) from error

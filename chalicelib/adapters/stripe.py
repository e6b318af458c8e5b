"""Payments through Stripe."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

import stripe

from chalicelib.payments import stripe_objects
from chalicelib.payments.gateway import Charge, PaymentIntent, PaymentRefused, Refund
from chalicelib.payments.stripe_objects import to_stripe_amount
from chalicelib.platform.errors import Unreachable

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, RefundCreateParams

API_VERSION = "2026-10-28.endive"

TIMEOUT_SECONDS = (3.0, 5.0)
"""To connect and to wait for the response: eight seconds at most, because an attendee may be waiting."""

_TRANSIENT_ERRORS = (
    stripe.APIConnectionError,
    stripe.RateLimitError,
    # The last two pass when the API key is fixed; the same attempt then succeeds.
    stripe.AuthenticationError,
    stripe.PermissionError,
)


class StripePayments:
    """Stripe's API with one API key. Thread-safe."""

    def __init__(self, api_key: str, api_base: str | None = None) -> None:
        self._stripe = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base} if api_base else {},
            http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
            max_network_retries=0,  # the callers retry
        )

    def create_payment_intent(self, charge: Charge, event_id: UUID, receipt_email: str) -> PaymentIntent:
        params: PaymentIntentCreateParams = {
            "amount": to_stripe_amount(charge.amount, charge.currency),
            "currency": charge.currency,
            "automatic_payment_methods": {"enabled": True},
            "metadata": {**_metadata(charge), "eventId": str(event_id)},
        }
        try:
            return self._create_payment_intent(
                {**params, "receipt_email": receipt_email}, _idempotency_key("payment", charge)
            )
        except PaymentRefused as refused:
            if refused.member != "receipt_email":
                raise
            # An address that Stripe rejects must not prevent the payment: the app sends a receipt too.
            return self._create_payment_intent(params, _idempotency_key("payment-without-receipt", charge))

    def _create_payment_intent(self, params: "PaymentIntentCreateParams", key: str) -> PaymentIntent:
        with _translate_errors(idempotent=True):
            intent = self._stripe.v1.payment_intents.create(params, {"idempotency_key": key})
        return stripe_objects.parse_payment_intent(_as_dict(intent))

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        with _translate_errors():
            intent = self._stripe.v1.payment_intents.retrieve(intent_id)
        return stripe_objects.parse_payment_intent(_as_dict(intent))

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        try:
            with _translate_errors():
                intent = self._stripe.v1.payment_intents.cancel(intent_id)
        except PaymentRefused:
            # It is paid, canceled already, or being processed by a bank.
            return self.get_payment_intent(intent_id)
        return stripe_objects.parse_payment_intent(_as_dict(intent))

    def create_refund(self, charge: Charge, intent_id: str) -> Refund:
        params: RefundCreateParams = {
            "payment_intent": intent_id,
            "amount": to_stripe_amount(charge.amount, charge.currency),
            "metadata": _metadata(charge),
        }
        try:
            with _translate_errors(idempotent=True):
                refund = self._stripe.v1.refunds.create(
                    params, {"idempotency_key": _idempotency_key("refund", charge)}
                )
        except PaymentRefused:
            # The payment may be refunded already: by an attempt whose response was lost, or in Stripe's
            # dashboard.
            earlier = self._find_full_refund(intent_id, charge)
            if earlier is None:
                raise
            return earlier
        return stripe_objects.parse_refund(_as_dict(refund))

    def get_refund(self, refund_id: str) -> Refund:
        with _translate_errors():
            refund = self._stripe.v1.refunds.retrieve(refund_id)
        return stripe_objects.parse_refund(_as_dict(refund))

    def _find_full_refund(self, intent_id: str, charge: Charge) -> Refund | None:
        """Return a refund of the whole amount that has not failed, if there is one."""
        with _translate_errors():
            listed = self._stripe.v1.refunds.list({"payment_intent": intent_id, "limit": 100}).data
        for refund in map(stripe_objects.parse_refund, map(_as_dict, listed)):
            if refund.status != "failed" and refund.amount == charge.amount:
                return refund
        return None


def _metadata(charge: Charge) -> dict[str, str]:
    return {"bookingId": str(charge.booking_id), "attempt": str(charge.attempt)}


def _idempotency_key(purpose: str, charge: Charge) -> str:
    return f"{purpose}-{charge.booking_id}-{charge.attempt}"


def _as_dict(stripe_object: stripe.StripeObject) -> dict[str, Any]:
    return stripe_object.to_dict()


@contextmanager
def _translate_errors(*, idempotent: bool = False) -> Iterator[None]:
    """Raise Unreachable for transient errors and unknown outcomes, and PaymentRefused for rejected calls.

    With an idempotency key, an error on Stripe's side is final too: Stripe stores the response with the key
    and repeats it for a day, so the next attempt needs a key of its own (docs.stripe.com/error-low-level).
    """
    try:
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

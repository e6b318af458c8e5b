"""Payments through Stripe: the only module that imports its package."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

import stripe

from chalicelib.payments import stripe_objects
from chalicelib.payments.gateway import Charge, PaymentIntent, PaymentRefused, Refund
from chalicelib.payments.stripe_objects import to_stripe
from chalicelib.platform.errors import Unreachable

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, RefundCreateParams

API_VERSION = "2026-10-28.endive"

TIMEOUT = (3.0, 5.0)
"""Seconds to connect and to wait for an answer: eight at most, while an attendee waits."""


class StripePayments:
    """Stripe's API with one key; threads may share it."""

    def __init__(self, api_key: str, api_base: str | None = None) -> None:
        self._stripe = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base} if api_base else {},
            http_client=stripe.RequestsClient(timeout=TIMEOUT),
            max_network_retries=0,  # whoever calls knows what can wait
        )

    def open(self, due: Charge, event_id: UUID, receipt_email: str) -> PaymentIntent:
        asked: PaymentIntentCreateParams = {
            "amount": to_stripe(due.amount, due.currency),
            "currency": due.currency,
            "automatic_payment_methods": {"enabled": True},
            "metadata": {**_metadata(due), "eventId": str(event_id)},
        }
        try:
            return self._open({**asked, "receipt_email": receipt_email}, _key("payment", due))
        except PaymentRefused as refused:
            if refused.member != "receipt_email":
                raise
            # An address that Stripe does not take keeps nobody from paying: a receipt comes from here too.
            return self._open(asked, _key("payment-without-receipt", due))

    def _open(self, asked: "PaymentIntentCreateParams", key: str) -> PaymentIntent:
        with _reaching(keyed=True):
            made = self._stripe.v1.payment_intents.create(asked, {"idempotency_key": key})
        return stripe_objects.intent(_plain(made))

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        with _reaching():
            found = self._stripe.v1.payment_intents.retrieve(intent_id)
        return stripe_objects.intent(_plain(found))

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        try:
            with _reaching():
                ended = self._stripe.v1.payment_intents.cancel(intent_id)
        except PaymentRefused:
            # Paid meanwhile, called off before, or in the hands of a bank: it is as it is.
            return self.get_payment_intent(intent_id)
        return stripe_objects.intent(_plain(ended))

    def refund(self, due: Charge, intent_id: str) -> Refund:
        asked: RefundCreateParams = {
            "payment_intent": intent_id,
            "amount": to_stripe(due.amount, due.currency),
            "metadata": _metadata(due),
        }
        try:
            with _reaching(keyed=True):
                made = self._stripe.v1.refunds.create(asked, {"idempotency_key": _key("refund", due)})
        except PaymentRefused:
            # Perhaps because it is refunded already, by an attempt whose answer was lost or by somebody else.
            earlier = self._refund_of(intent_id, due)
            if earlier is None:
                raise
            return earlier
        return stripe_objects.refund(_plain(made))

    def get_refund(self, refund_id: str) -> Refund:
        with _reaching():
            found = self._stripe.v1.refunds.retrieve(refund_id)
        return stripe_objects.refund(_plain(found))

    def _refund_of(self, intent_id: str, due: Charge) -> Refund | None:
        """A refund of the whole amount that stands, if there is one."""
        with _reaching():
            made = self._stripe.v1.refunds.list({"payment_intent": intent_id, "limit": 100}).data
        refunds = map(stripe_objects.refund, map(_plain, made))
        return next((one for one in refunds if one.status != "failed" and one.amount == due.amount), None)


def _metadata(due: Charge) -> dict[str, str]:
    return {"bookingId": str(due.booking_id), "attempt": str(due.attempt)}


def _key(what: str, due: Charge) -> str:
    return f"{what}-{due.booking_id}-{due.attempt}"


def _plain(of: stripe.StripeObject) -> dict[str, Any]:
    return of.to_dict()


@contextmanager
def _reaching(*, keyed: bool = False) -> Iterator[None]:
    """Tell Stripe's errors apart: those that pass or leave open what was done, and definite refusals.

    With an idempotency key a fault on Stripe's side is definite too: Stripe keeps it with the key and would
    answer with it for a day, so the next attempt needs a key of its own (docs.stripe.com/error-low-level).
    """
    try:
        yield
    except _PASSING as error:
        raise Unreachable(f"Stripe: {error}") from error
    except stripe.StripeError as error:
        status = error.http_status or 0
        if status == HTTPStatus.CONFLICT or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and not keyed):
            raise Unreachable(f"Stripe: {error}") from error
        code = error.code or type(error).__name__
        raise PaymentRefused(code, getattr(error, "param", None)) from error


_PASSING = (
    stripe.APIConnectionError,
    stripe.RateLimitError,
    stripe.AuthenticationError,  # this and the next: the key is mended, and the same attempt goes through
    stripe.PermissionError,
)

"""Builds Stripe's objects with all members of the API version below."""

import secrets
import string
import time
from typing import Any

from infra.stripe_fake.errors import Json
from infra.stripe_fake.test_cards import Decline, Method

API_VERSION = "2026-10-28.endive"

_ALPHABET = string.ascii_letters + string.digits
_DISPUTE_RESPONSE_TIME = 7 * 24 * 3600  # seconds


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(length))}"


def now() -> int:
    return int(time.time())


def payment_intent(amount: int, currency: str) -> Json:
    intent = _object(
        "payment_intent",
        "pi",
        "allowed_payment_method_types application application_fee_amount canceled_at cancellation_reason "
        "customer customer_account description excluded_payment_method_types hooks last_payment_error "
        "latest_charge managed_payments next_action on_behalf_of payment_details payment_method "
        "payment_method_configuration_details payment_record presentment_details processing receipt_email "
        "review setup_future_usage shipping source statement_descriptor statement_descriptor_suffix "
        "transfer_data transfer_group",
        amount=amount,
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        automatic_payment_methods={"allow_redirects": "always", "enabled": True},
        capture_method="automatic_async",
        confirmation_method="automatic",
        currency=currency,
        livemode=False,
        metadata={},
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        payment_method_types=["card", "us_bank_account"],
        status="requires_payment_method",
    )
    return intent | {"client_secret": new_id(f"{intent['id']}_secret", 25)}


def payment_method(method: Method) -> Json:
    made = _object("payment_method", "pm", billing_details={}, livemode=False, metadata={"name": method.name})
    return made | _details(method)


def charge(intent: Json, method: Method, receipt_url: str) -> Json:
    """Build the charge of a successful card payment, or of a bank debit that is processing."""
    paid = method.debit is None
    return _object(
        "charge",
        "ch",
        "application application_fee application_fee_amount authorization_code balance_transaction "
        "calculated_statement_descriptor customer failure_balance_transaction failure_code failure_message "
        "level3 on_behalf_of presentment_details receipt_number refunds review shipping source "
        "source_transfer statement_descriptor statement_descriptor_suffix transfer transfer_data "
        "transfer_group",
        amount=intent["amount"],
        amount_captured=intent["amount"] if paid else 0,
        amount_refunded=0,
        billing_details={},
        captured=True,
        currency=intent["currency"],
        description=intent["description"],
        disputed=False,
        fraud_details={},
        livemode=False,
        metadata=intent["metadata"],
        outcome={"type": "authorized"},
        paid=paid,
        payment_intent=intent["id"],
        payment_method=intent["payment_method"],
        payment_method_details=_details(method),
        radar_options={},
        receipt_email=intent["receipt_email"],
        receipt_url=receipt_url,
        refunded=False,
        status="succeeded" if paid else "pending",
    )


def failed_charge(decline: Decline) -> Json:
    """Return the members of a charge that differ after it failed."""
    return {
        "amount_captured": 0,
        "captured": False,
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": {"type": "issuer_declined", "reason": decline.decline_code or decline.code},
        "paid": False,
        "receipt_url": None,
        "status": "failed",
    }


def refund(charge: Json, amount: int, metadata: dict[str, str], status: str) -> Json:
    return _object(
        "refund",
        "re",
        "customer customer_account description destination_details failure_balance_transaction "
        "failure_reason instructions_email next_action presentment_details reason receipt_number "
        "source_transfer_reversal transfer_reversal",
        amount=amount,
        balance_transaction=new_id("txn"),
        charge=charge["id"],
        currency=charge["currency"],
        metadata=metadata,
        payment_intent=charge["payment_intent"],
        payment_method=charge["payment_method"],
        pending_reason="processing" if status == "pending" else None,
        status=status,
    )


def dispute(charge: Json, reason: str, amount: int) -> Json:
    return _object(
        "dispute",
        "du",
        "intended_submission_method network_reason_code payment_method_details",
        amount=amount,
        balance_transactions=[],
        charge=charge["id"],
        currency=charge["currency"],
        enhanced_eligibility_types=[],
        evidence={"enhanced_evidence": {}},
        evidence_details={
            "due_by": now() + _DISPUTE_RESPONSE_TIME,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        is_charge_refundable=False,
        livemode=False,
        metadata={},
        payment_intent=charge["payment_intent"],
        reason=reason,
        status="needs_response",
    )


def event(kind: str, about: Json, pending_webhooks: int) -> Json:
    return _object(
        "event",
        "evt",
        "account context request",
        api_version=API_VERSION,
        data={"object": about},
        livemode=False,
        pending_webhooks=pending_webhooks,
        type=kind,
    )


def redirect(url: str) -> Json:
    """Build the `next_action` of a PaymentIntent that needs 3-D Secure."""
    return {"redirect_to_url": {"return_url": None, "url": url}, "type": "redirect_to_url"}


def _object(kind: str, prefix: str, null: str = "", **members: Any) -> Json:
    """Build an object; `null` names the members that are null at first."""
    base = {"id": new_id(prefix), "object": kind, "created": now()}
    return {**base, **dict.fromkeys(null.split()), **members}


def _details(method: Method) -> Json:
    last4 = method.number[-4:]
    if method.debit is not None:
        return {"type": "us_bank_account", "us_bank_account": {"last4": last4}}
    card = {"brand": "visa", "exp_month": 12, "exp_year": 2034, "funding": "credit", "last4": last4}
    return {"type": "card", "card": card}

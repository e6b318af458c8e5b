"""Makes Stripe's objects with all their members, as API version 2026-10-28.endive has them."""

import secrets
import string
import time
from typing import Any

from infra.local.stripe.errors import Json
from infra.local.stripe.methods import Method

API_VERSION = "2026-10-28.endive"
EXPIRY = {"exp_month": 12, "exp_year": 2034}

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(length))}"


def now() -> int:
    return int(time.time())


def payment_intent(amount: int, currency: str, *, allow_redirects: str = "always") -> Json:
    identity = new_id("pi")
    return {
        **_nothing(
            "allowed_payment_method_types application application_fee_amount canceled_at "
            "cancellation_reason customer customer_account description excluded_payment_method_types "
            "hooks last_payment_error latest_charge managed_payments next_action on_behalf_of "
            "payment_details payment_method payment_method_configuration_details payment_record "
            "presentment_details processing receipt_email review setup_future_usage shipping source "
            "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
        ),
        "id": identity,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "automatic_payment_methods": {"allow_redirects": allow_redirects, "enabled": True},
        "capture_method": "automatic_async",
        "client_secret": new_id(f"{identity}_secret", 25),
        "confirmation_method": "automatic",
        "created": now(),
        "currency": currency,
        "livemode": False,
        "metadata": {},
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card", "us_bank_account"],
        "status": "requires_payment_method",
    }


def payment_method(method: Method) -> Json:
    kind, details = _instrument(method)
    if kind == "card":
        details = {
            **details,
            "display_brand": method.brand,
            "generated_from": None,
            "networks": {"available": [method.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
        }
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _nobody(),
        kind: details,
        "created": now(),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
    }


def charge(intent: Json, payment_method_id: str, method: Method, page: str) -> Json:
    """Make the charge of a payment that succeeds, or of a bank debit under way."""
    identity = new_id("ch")
    paid = method.is_card
    kind, details = _instrument(method)
    if paid:
        details |= {
            "amount_authorized": intent["amount"],
            "network": method.brand,
            "authorization_code": None,
        }
    return {
        **_nothing(
            "application application_fee application_fee_amount authorization_code balance_transaction "
            "customer failure_balance_transaction failure_code failure_message level3 on_behalf_of "
            "presentment_details receipt_number refunds review shipping source source_transfer "
            "statement_descriptor statement_descriptor_suffix transfer transfer_data transfer_group"
        ),
        "id": identity,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "billing_details": _nobody(),
        "calculated_statement_descriptor": "EVENT BOOKING" if paid else None,
        "captured": True,
        "created": now(),
        "currency": intent["currency"],
        "description": intent["description"],
        "disputed": False,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "outcome": _outcome("authorized" if paid else "pending"),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": payment_method_id,
        "payment_method_details": {kind: details, "type": kind},
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_url": page,
        "refunded": False,
        "status": "succeeded" if paid else "pending",
    }


def declined(made: Json, code: str, decline_code: str | None, message: str) -> Json:
    """Return a charge as it is when the bank has said no."""
    return made | {
        "amount_captured": 0,
        "calculated_statement_descriptor": None,
        "captured": False,
        "failure_code": code,
        "failure_message": message,
        "outcome": {
            **_outcome("issuer_declined"),
            "network_status": "declined_by_network",
            "reason": decline_code or code,
            "seller_message": "The bank did not say why it declined the payment.",
        },
        "paid": False,
        "receipt_url": None,
        "status": "failed",
    }


def refund(of: Json, amount: int, reason: str | None, metadata: dict[str, str], status: str) -> Json:
    kind = of["payment_method_details"]["type"]
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    destination = {"card": card, "type": "card"} if kind == "card" else {"us_bank_transfer": {}, "type": kind}
    return {
        **_nothing(
            "customer customer_account description failure_balance_transaction failure_reason "
            "instructions_email next_action payment_method pending_reason presentment_details receipt_number "
            "source_transfer_reversal transfer_reversal"
        ),
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": new_id("txn"),
        "charge": of["id"],
        "created": now(),
        "currency": of["currency"],
        "destination_details": destination,
        "metadata": metadata,
        "payment_intent": of["payment_intent"],
        "payment_method": of["payment_method"],
        "pending_reason": "processing" if status == "pending" else None,
        "reason": reason,
        "status": status,
    }


def dispute(of: Json, reason: str) -> Json:
    empty = _nothing(
        "access_activity_log appeal billing_address cancellation_policy cancellation_policy_disclosure "
        "cancellation_rebuttal customer_communication customer_email_address customer_name "
        "customer_purchase_ip customer_signature duplicate_charge_documentation "
        "duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy "
        "refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
        "shipping_address shipping_carrier shipping_date shipping_documentation "
        "shipping_tracking_number uncategorized_file uncategorized_text"
    )
    made = now()
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": of["amount"],
        "balance_transactions": [],
        "charge": of["id"],
        "created": made,
        "currency": of["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**empty, "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": made + 7 * 24 * 3600,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": of["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "case_type": "chargeback",
                "network": "visa",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def event(kind: str, of: Json, previous: Json | None, request: Json, pending_webhooks: int) -> Json:
    return {
        "id": new_id("evt"),
        "object": "event",
        "account": None,
        "api_version": API_VERSION,
        "context": None,
        "created": now(),
        "data": {"object": of} if previous is None else {"object": of, "previous_attributes": previous},
        "livemode": False,
        "pending_webhooks": pending_webhooks,
        "request": request,
        "type": kind,
    }


def listed(url: str, data: list[Json], *, has_more: bool) -> Json:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def redirect(url: str, return_url: str | None) -> Json:
    return {"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"}


def _nothing(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split())


def _nobody() -> Json:
    lines = _nothing("city country line1 line2 postal_code state")
    return {"address": lines, "email": None, "name": None, "phone": None, "tax_id": None}


def _outcome(kind: str) -> Json:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "Payment complete.",
        "type": kind,
    }


def _instrument(method: Method) -> tuple[str, Json]:
    last4 = method.number[-4:]
    if not method.is_card:
        account = {"account_holder_type": "individual", "account_type": "checking", "last4": last4}
        return "us_bank_account", {**account, "bank_name": "STRIPE TEST BANK", "routing_number": "110000000"}
    return "card", {
        "brand": method.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "fail" if method.decline and method.decline.code == "incorrect_cvc" else "pass",
        },
        "country": "US",
        **EXPIRY,
        "fingerprint": f"Stand1n{last4}",
        "funding": "credit",
        "last4": last4,
        "regulated_status": "unregulated",
        "wallet": None,
    }

"""Brings to an end what Stripe settles later: bank debits, and refunds that are under way."""

import time

from infra.local.stripe import payments, refunds
from infra.local.stripe.account import Account
from infra.local.stripe.errors import Json
from infra.local.stripe.methods import named


def end(account: Account, identity: str, *, well: bool | None = None) -> Json:
    """Settle a payment or a refund, as its test payment method says when nobody else does. Raises Refused."""
    with account.changing():
        account.run("DELETE FROM endings WHERE id = ?", identity)
        if identity.startswith("re_"):
            refund = account.get("refund", identity)
            method = named(account.tag(refund["payment_method"]))
            return refunds.settle(account, refund, done=method.refund != "failed" if well is None else well)
        intent = account.get("payment_intent", identity)
        if well is None and intent["payment_method"]:
            well = named(account.tag(intent["payment_method"])).settles != "failed"
        return payments.settle(account, intent, paid=well is not False)


def due(account: Account) -> str | None:
    """Return what should end now, if anything."""
    for (identity,) in account.run("SELECT id FROM endings WHERE due <= ? ORDER BY due LIMIT 1", time.time()):
        found: str = identity
        return found
    return None

"""Settles bank debits, and refunds whose outcome comes later."""

import contextlib
import time

from infra.stripe_fake import payment_intents, refunds
from infra.stripe_fake.errors import ApiError, Json
from infra.stripe_fake.store import Store


def settle(store: Store, object_id: str, *, succeed: bool | None = None) -> Json:
    """Settle a bank debit or a refund: as its test method does, unless told. Raise ApiError."""
    store.sql("DELETE FROM settlements WHERE id = ?", object_id)
    if object_id.startswith("re_"):
        refund = store.get("refund", object_id)
        if succeed is None:
            succeed = payment_intents.method_of(store, refund).refund != "failed"
        return refunds.settle(store, refund, succeed=succeed)
    intent = store.get("payment_intent", object_id)
    if succeed is None and intent["payment_method"]:
        succeed = payment_intents.method_of(store, intent).debit != "failed"
    return payment_intents.settle(store, intent, succeed=bool(succeed))


def settle_next_due(store: Store) -> bool:
    """Settle one object that is due, and say whether there was one."""
    found = store.sql("SELECT id FROM settlements WHERE due <= ? ORDER BY due LIMIT 1", time.time())
    for (object_id,) in found:
        with contextlib.suppress(ApiError), store.transaction():  # settled by hand meanwhile
            settle(store, object_id)
    return bool(found)

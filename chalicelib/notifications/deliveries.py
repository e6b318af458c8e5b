"""Sent e-mails: claimed before sending and marked after, so that a redelivery sends only what is missing.

It cannot be known whether a delivery was killed before or after SES accepted an e-mail. That e-mail is sent
once more. If this is killed at the same e-mail too, it is given up: kills never send it a third time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, Uuid, and_, any_, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, array, insert
from sqlalchemy.sql.dml import ReturningInsert

from chalicelib.notifications.models import deliveries
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database
from chalicelib.platform.observability import logs
from chalicelib.users.models import credentials

CLAIM_LEASE = timedelta(minutes=3)
"""How long claimed recipients are reserved for one delivery.

Longer than the timeout of the function, shorter than the visibility timeout of the queue.
"""

MAX_SENDS = 2
"""Calls of SES for one e-mail that did not fail."""

RETENTION = timedelta(days=30)
"""SQS keeps a message for at most 14 days, and a dead-letter queue keeps it for another 14."""


@dataclass(frozen=True)
class Claim:
    """The unsent recipients of one message, by the delivery that claimed them."""

    mine: frozenset[UUID]
    others: frozenset[UUID]
    """Claimed by another delivery that may still be running."""


_domain_event_id = bindparam("this_domain_event", type_=Uuid)
_users = bindparam("users", type_=ARRAY(Uuid))
_unsent = (
    deliveries.c.domain_event_id == _domain_event_id,
    deliveries.c.user_id == any_(_users),
    deliveries.c.sent_at.is_(None),
)


def _claiming(recipients: Select[Any]) -> ReturningInsert[Any]:
    statement = insert(deliveries).from_select(["domain_event_id", "user_id", "claimed_at"], recipients)
    return statement.on_conflict_do_update(
        index_elements=["domain_event_id", "user_id"],
        set_={"claimed_at": statement.excluded.claimed_at},
        where=and_(
            deliveries.c.sent_at.is_(None),
            deliveries.c.claimed_at < now_parameter - CLAIM_LEASE,
            deliveries.c.sends < MAX_SENDS,
        ),
    ).returning(deliveries.c.user_id)


_CLAIM = _claiming(
    select(_domain_event_id, credentials.c.user_id, now_parameter)
    .where(credentials.c.user_id == any_(_users))
    .order_by(credentials.c.user_id)
)
_CLAIM_NOTICES = _claiming(select(_domain_event_id, func.unnest(_users), now_parameter))
_UNSENT = select(deliveries.c.user_id, deliveries.c.sends, deliveries.c.claimed_at).where(*_unsent)
_RELEASE = (
    update(deliveries)
    .where(*_unsent)
    .values(
        claimed_at=deliveries.c.claimed_at - CLAIM_LEASE,
        sends=deliveries.c.sends
        - case((deliveries.c.user_id == any_(bindparam("failed", type_=ARRAY(Uuid))), 1), else_=0),
    )
)
_sent = bindparam("sent_user", type_=Uuid)
_begun = bindparam("begun_user", type_=Uuid)
_ADVANCE = (
    update(deliveries)
    .where(
        deliveries.c.domain_event_id == _domain_event_id, deliveries.c.user_id == any_(array([_sent, _begun]))
    )
    .values(
        sent_at=case((deliveries.c.user_id == _sent, now_parameter), else_=deliveries.c.sent_at),
        sends=deliveries.c.sends + case((deliveries.c.user_id == _begun, 1), else_=0),
    )
)


def claim(connection: Connection, domain_event_id: UUID, user_ids: Sequence[UUID], now: datetime) -> Claim:
    """Claim the recipients whose e-mail is neither sent nor claimed by a running delivery."""
    return _claim(connection, _CLAIM, domain_event_id, user_ids, now)


def claim_notices(
    connection: Connection, domain_event_id: UUID, keys: Sequence[UUID], now: datetime
) -> Claim:
    """Claim e-mails to addresses that need no account. A key stands for each in the place of the user."""
    return _claim(connection, _CLAIM_NOTICES, domain_event_id, keys, now)


def _claim(
    connection: Connection,
    statement: ReturningInsert[Any],
    domain_event_id: UUID,
    user_ids: Sequence[UUID],
    now: datetime,
) -> Claim:
    parameters = {"this_domain_event": domain_event_id, "users": list(user_ids), "now": now}
    mine = frozenset(connection.scalars(statement, parameters))
    unsent = connection.execute(_UNSENT, parameters).all()
    others = frozenset(row.user_id for row in unsent if row.sends < MAX_SENDS) - mine
    for row in unsent:
        if row.user_id not in mine | others and row.claimed_at < now - CLAIM_LEASE:
            logs.error(
                "e-mail given up",
                domainEventId=str(domain_event_id),
                userId=str(row.user_id),
                sends=row.sends,
            )
    return Claim(mine, others)


def advance(
    connection: Connection, domain_event_id: UUID, *, sent: UUID | None, begun: UUID | None, now: datetime
) -> None:
    """Mark the e-mail to one recipient as sent, and the one to the next as begun, in one round trip."""
    parameters = {"this_domain_event": domain_event_id, "sent_user": sent, "begun_user": begun, "now": now}
    connection.execute(_ADVANCE, parameters)


def release(
    connection: Connection, domain_event_id: UUID, unsent: Sequence[UUID], failed: Sequence[UUID]
) -> None:
    """Release unsent claims, so that the next delivery need not wait for the lease to end.

    The sends of those that `failed` do not count.
    """
    parameters = {"this_domain_event": domain_event_id, "users": list(unsent), "failed": list(failed)}
    connection.execute(_RELEASE, parameters)


def purge(database: Database, now: datetime) -> int:
    """Delete the rows of e-mails whose messages are in no queue any more. Return how many."""
    return database.purge(deliveries.c.claimed_at, now - RETENTION)

"""Idempotency: a POST that is sent again with its key gets the first answer again.

The key's row is written in the transaction of its effect, so the two cannot disagree. Refusals are not kept:
they changed nothing, and a retry may fare better.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    bindparam,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSON, insert
from sqlalchemy.exc import DBAPIError

from chalicelib.platform.database.columns import SystemTime
from chalicelib.platform.database.engine import LOCK_NOT_AVAILABLE, Database, metadata, sqlstate
from chalicelib.platform.errors import FieldError, IdempotencyKeyReused, InvalidInput, RequestInProgress
from chalicelib.platform.http.request import Request, Response

HEADER = "Idempotency-Key"
RETENTION = timedelta(hours=24)
MAX_KEY_LENGTH = 255

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Uuid, primary_key=True),
    Column("fingerprint", Uuid, nullable=False),
    Column("created_at", SystemTime(), nullable=False),
    Column("status", Integer, nullable=True),
    Column("headers", JSON, nullable=True),
    Column("response", Text, nullable=True),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), nullable=True),
    Index(None, "created_at"),
)
"""Keys and requests are kept as hashes: what a client sends here is nobody's business later.

`user_id` is set where the answer holds personal data, which then goes when the account goes.
"""

Index(
    "ix_idempotency_keys_user_id",
    idempotency_keys.c.user_id,
    postgresql_where=idempotency_keys.c.user_id.is_not(None),
)


class Key(NamedTuple):
    """An Idempotency-Key, told apart by caller and route, and the request that it was sent with."""

    key: UUID
    fingerprint: UUID


def key_of(request: Request, owner: str | None = None) -> Key | None:
    """Read the key that the request was sent with, if any.

    `owner` tells the keys of one client from another's where there is no caller.
    The fingerprint is keyed with a secret: bodies contain passwords, and a plain hash invites guessing.

    Raises:
        InvalidInput: The header is empty, too long or not printable ASCII.
    """
    given = request.headers.get(HEADER.lower())
    if given is None:
        return None
    if not 0 < len(given) <= MAX_KEY_LENGTH or not given.isascii() or not given.isprintable():
        message = f"must be 1 to {MAX_KEY_LENGTH} printable ASCII characters"
        raise InvalidInput(errors=[FieldError(HEADER, message)])
    scope = "\n".join((str(request.caller_id), owner or "", request.method, request.path, given))
    fingerprint = hmac.digest(request.settings.jwt_secret, request.raw_body, "sha256")
    return Key(UUID(bytes=hashlib.sha256(scope.encode()).digest()[:16]), UUID(bytes=fingerprint[:16]))


_claim_key = insert(idempotency_keys)
_CLAIM = _claim_key.on_conflict_do_update(
    index_elements=["key"],
    set_={
        "fingerprint": _claim_key.excluded.fingerprint,
        "created_at": _claim_key.excluded.created_at,
    },
    where=idempotency_keys.c.created_at <= bindparam("outdated", type_=DateTime(timezone=True)),
).returning(idempotency_keys.c.key)
_STORED = select(idempotency_keys).where(idempotency_keys.c.key == bindparam("key"))
_STORE = update(idempotency_keys).where(idempotency_keys.c.key == bindparam("this_key"))


def run_idempotent(
    connection: Connection, request: Request, work: Callable[[], Response], owner: str | None = None
) -> Response:
    """Do the work, or replay the answer that it had when this key was first used.

    An answer that is about one account says so by its `personal_to`.

    Raises:
        IdempotencyKeyReused: The key came with another body before.
        RequestInProgress: The first request with it has not ended.
    """
    key = key_of(request, owner)
    if key is None:
        return work()
    if not _claim(connection, key, request):
        return _replay(connection, key)
    response = work()
    connection.execute(
        _STORE,
        {
            "this_key": key.key,
            "status": int(response.status),
            "headers": dict(response.headers),
            "response": response.body,
            "user_id": response.personal_to,
        },
    )
    return response


def _claim(connection: Connection, key: Key, request: Request) -> bool:
    """Insert the key's row, waiting for another request that is inserting it; False if it is there."""
    try:
        claimed = connection.execute(
            _CLAIM,
            {
                "key": key.key,
                "fingerprint": key.fingerprint,
                "created_at": request.now,
                "outdated": request.now - RETENTION,
            },
        )
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise RequestInProgress(retry_after=1) from error
        raise
    return claimed.first() is not None


def _replay(connection: Connection, key: Key) -> Response:
    row = connection.execute(_STORED, {"key": key.key}).one()
    if row.fingerprint != key.fingerprint:
        raise IdempotencyKeyReused
    return Response(row.status, row.response, {**row.headers, "Idempotent-Replayed": "true"})


def purge(database: Database, now: datetime, at_once: int = 10_000) -> int:
    """Delete keys past their time and say how many."""
    return database.delete_before(idempotency_keys.c.created_at, now - RETENTION, at_once)

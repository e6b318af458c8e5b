"""Idempotency-Key: a POST that is repeated with its key gets the stored first response.

The key's row is written in the transaction of the effect, so both are committed or neither is. Refusals are
not stored: they changed nothing, and a retry may succeed.
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
"""Keys and requests are stored as hashes only.

`user_id` is set if the response contains personal data: the row is then deleted with the account.
"""

Index(
    "ix_idempotency_keys_user_id",
    idempotency_keys.c.user_id,
    postgresql_where=idempotency_keys.c.user_id.is_not(None),
)


class Key(NamedTuple):
    """The hash of an Idempotency-Key with its caller and route, and the fingerprint of its request."""

    key: UUID
    fingerprint: UUID


def key_of(request: Request, owner: str | None = None) -> Key | None:
    """Read the request's key, if it has one.

    `owner` separates the keys of clients on routes without a caller. The fingerprint is keyed with a secret,
    because bodies contain passwords, which could be guessed from a plain hash.

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
    fingerprint = hmac.digest(request.settings.token_key, request.raw_body, "sha256")
    return Key(UUID(bytes=hashlib.sha256(scope.encode()).digest()[:16]), UUID(bytes=fingerprint[:16]))


_claim_key = insert(idempotency_keys)
_CLAIM = _claim_key.on_conflict_do_update(
    index_elements=["key"],
    set_={
        "fingerprint": _claim_key.excluded.fingerprint,
        "created_at": _claim_key.excluded.created_at,
    },
    where=idempotency_keys.c.created_at <= bindparam("outdated", type_=SystemTime()),
).returning(idempotency_keys.c.key)
_STORED = select(idempotency_keys).where(idempotency_keys.c.key == bindparam("key"))
_STORE = update(idempotency_keys).where(idempotency_keys.c.key == bindparam("this_key"))


def run_idempotent(
    connection: Connection, request: Request, work: Callable[[], Response], owner: str | None = None
) -> Response:
    """Do the work, or replay the response that is stored for the request's key.

    Raises:
        IdempotencyKeyReused: The key was used with a different body.
        RequestInProgress: The first request with the key is still running.
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
    """Insert the key's row, waiting for a request that is inserting it. Return False if it exists."""
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


def purge(database: Database, now: datetime, batch_size: int = 10_000) -> int:
    """Delete keys past their retention, and return how many."""
    return database.purge(idempotency_keys.c.created_at, now - RETENTION, batch_size)

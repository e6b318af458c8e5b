"""E-mail addresses: each belongs to one account at most, ignoring case."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.exc import DBAPIError

from chalicelib.domain_events import AccountNotice
from chalicelib.platform.database.engine import violated
from chalicelib.platform.errors import Conflict
from chalicelib.platform.messaging import outbox
from chalicelib.users.models import users


class EmailTaken(Conflict):
    """An account with this e-mail address already exists."""


@contextmanager
def unique_email() -> Iterator[None]:
    """Write an address of an account.

    Raises:
        EmailTaken: The unique index of e-mail addresses is violated.
    """
    try:
        yield
    except DBAPIError as error:
        if violated(error) == "uq_users_email":
            raise EmailTaken from error
        raise


OWNER = select(users.c.user_id).where(func.lower(users.c.email) == func.lower(bindparam("email")))


def require_free(connection: Connection, email: str) -> None:
    """Check that no account has the address. It may be taken until it is written: see `unique_email`.

    Raises:
        EmailTaken
    """
    if connection.execute(OWNER, {"email": email}).first() is not None:
        raise EmailTaken


def is_new(connection: Connection, user_id: UUID, email: str) -> bool:
    """Whether the address is another one than the account's, ignoring case."""
    current: str = connection.execute(select(users.c.email).where(users.c.user_id == user_id)).scalar_one()
    return email.lower() != current.lower()


def subject_of(address: str, user_id: UUID | None = None) -> UUID:
    """The subject of domain events about an address, or about an address of one account."""
    return uuid5(user_id or NAMESPACE_URL, f"mailto:{address.lower()}")


def record_notice(connection: Connection, notice: AccountNotice, now: datetime) -> None:
    """Record that an address is to be told what happened to its account."""
    outbox.record(connection, notice, subject=subject_of(notice.email, notice.user_id), now=now)

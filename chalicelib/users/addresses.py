"""E-mail addresses: each belongs to one account at most, ignoring case."""

from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.exc import DBAPIError

from chalicelib.platform.database.engine import violated
from chalicelib.platform.errors import Conflict
from chalicelib.users.models import users


class EmailTaken(Conflict):
    """An account with this e-mail address already exists."""


def email_taken(error: DBAPIError) -> Exception:
    """Return EmailTaken for a violation of the unique e-mail index, else the error itself."""
    return EmailTaken() if violated(error) == "uq_users_email" else error


OWNER = select(users.c.user_id).where(func.lower(users.c.email) == func.lower(bindparam("email")))


def require_free(connection: Connection, email: str) -> None:
    """Check that no account has the address. It may be taken until it is written: see `email_taken`.

    Raises:
        EmailTaken
    """
    if connection.execute(OWNER, {"email": email}).first() is not None:
        raise EmailTaken


def is_new(connection: Connection, user_id: UUID, email: str) -> bool:
    """Whether the address is another one than the account's, ignoring case."""
    current: str = connection.execute(select(users.c.email).where(users.c.user_id == user_id)).scalar_one()
    return email.lower() != current.lower()

"""Account deletion: erase name, e-mail and credentials."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, update

from chalicelib.users.models import credentials, users


def erase(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Take name, e-mail and credentials away; the row stays for the records that point at it."""
    connection.execute(delete(credentials).where(credentials.c.user_id == user_id))
    connection.execute(
        update(users)
        .where(users.c.user_id == user_id)
        .values(name=None, email=None, deleted_at=now, updated_at=now, version=users.c.version + 1)
    )

"""Account deletion: erase personal data and credentials."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, update

from chalicelib.users.models import credentials, users


def erase(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Erase name, e-mail address and credentials. The row stays, because payments refer to it."""
    connection.execute(delete(credentials).where(credentials.c.user_id == user_id))
    connection.execute(
        update(users)
        .where(users.c.user_id == user_id)
        .values(name=None, email=None, deleted_at=now, updated_at=now, version=users.c.version + 1)
    )

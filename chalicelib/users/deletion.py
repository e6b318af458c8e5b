"""Account deletion: erase personal data and credentials."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, select, update

from chalicelib.domain_events import AccountDeleted
from chalicelib.users import addresses
from chalicelib.users.models import credentials, users


def erase(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Erase name, e-mail address and credentials. The row stays, because payments refer to it.

    The address gets a notice.
    """
    address: str = connection.execute(select(users.c.email).where(users.c.user_id == user_id)).scalar_one()
    addresses.record_notice(connection, AccountDeleted(user_id=user_id, email=address), now)
    connection.execute(delete(credentials).where(credentials.c.user_id == user_id))
    connection.execute(
        update(users)
        .where(users.c.user_id == user_id)
        .values(
            name=None,
            email=None,
            pending_email=None,
            deleted_at=now,
            updated_at=now,
            version=users.c.version + 1,
        )
    )

"""Alembic's entry: runs migrations on one connection, all of them in one transaction."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

import chalicelib.bookings.models
import chalicelib.notifications.models
import chalicelib.payments.models
import chalicelib.platform.http.idempotency
import chalicelib.platform.messaging.outbox  # noqa: F401 (each registers its tables)
from chalicelib.platform.database.engine import metadata

_ONE_AT_A_TIME = 7_310_482_656
"""Key of the advisory lock: arbitrary, but the same for every runner."""


def run() -> None:
    given = context.config.attributes
    engine = create_engine(
        given["database_url"], poolclass=NullPool, connect_args={"ssl_context": given["ssl_context"]}
    )
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
        context.configure(connection=connection, target_metadata=metadata)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()

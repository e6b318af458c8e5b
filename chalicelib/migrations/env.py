"""Alembic's entry point: run all migrations in one transaction."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

import chalicelib.bookings.models
import chalicelib.check_in.models
import chalicelib.notifications.models
import chalicelib.payments.models
import chalicelib.platform.http.idempotency
import chalicelib.platform.messaging.outbox  # noqa: F401 (the imports register the tables)
from chalicelib.migrations import LOCK_KEY, UnknownSchema
from chalicelib.platform.database.engine import metadata, verified_tls


def run() -> None:
    url, given = (context.config.attributes[name] for name in ("database_url", "ssl_context"))
    tls = verified_tls(url) if given is None else given
    engine = create_engine(url, poolclass=NullPool, connect_args={"ssl_context": tls})
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        context.configure(connection=connection, target_metadata=metadata)
        _check_revision()
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def _check_revision() -> None:
    known = {migration.revision for migration in context.script.walk_revisions()}
    unknown = set(context.get_context().get_current_heads()) - known
    if unknown:
        raise UnknownSchema(f"the database has schema {min(unknown)}, which this version does not know")


run()

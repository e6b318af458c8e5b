"""Alembic's entry point: run all migrations in one transaction."""

from alembic import context
from alembic.script import Script
from sqlalchemy import NullPool, create_engine, text

import chalicelib.bookings.models
import chalicelib.check_in.models
import chalicelib.notifications.models
import chalicelib.payments.models
import chalicelib.platform.http.idempotency
import chalicelib.platform.messaging.poison  # noqa: F401 (the imports register the tables)
from chalicelib.migrations import LOCK_KEY, SkippedRelease, UnknownSchema
from chalicelib.platform.database.engine import metadata, verified_tls


def run() -> None:
    url, given = (context.config.attributes[name] for name in ("database_url", "ssl_context"))
    tls = verified_tls(url) if given is None else given
    engine = create_engine(url, poolclass=NullPool, connect_args={"ssl_context": tls})
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        # Another migration may take long. No request waits for the advisory lock.
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        connection.execute(text("SET LOCAL lock_timeout = '3s'"))
        context.configure(connection=connection, target_metadata=metadata)
        _check_revision()
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def _check_revision() -> None:
    """Refuse a database of a newer version, and one that is behind by more than one release.

    A release may drop what only the code of two releases before uses, and that code would still run.
    """
    known = list(context.script.walk_revisions())
    current = set(context.get_context().get_current_heads())
    unknown = current - {migration.revision for migration in known}
    if unknown:
        raise UnknownSchema(f"the database has schema {min(unknown)}, which this version does not know")
    if not current:
        return  # no code runs on an empty database
    applied = {m.revision for m in context.script.iterate_revisions(tuple(current), "base")}
    missing = sorted({_release(m) for m in known if m.revision not in applied}, key=_version)
    if len(missing) > 1:
        raise SkippedRelease(
            f"the database lacks the migrations of {', '.join(missing)}: deploy {missing[0]} first, "
            "then each later release"
        )


def _release(migration: Script) -> str:
    release: str = migration.module.release
    return release


def _version(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


run()

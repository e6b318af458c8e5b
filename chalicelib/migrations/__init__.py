"""Migrations: upgrade a database to the schema that this code expects."""

import ssl
import time
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from chalicelib.platform.database.engine import LOCK_NOT_AVAILABLE, sqlstate
from chalicelib.platform.observability import logs

LOCK_KEY = 7_310_482_656
"""Key of the advisory lock, by which one process migrates at a time. Arbitrary, but it must never change."""

LOCK_BACKOFF_SECONDS = (1, 2, 4, 8, 15, 30, 60)
"""Back-off after each lock timeout. The attempts take at most 2.5 minutes, besides the work itself."""

VERSIONS = Path(__file__).parent / "versions"

TLS = ssl.SSLContext | bool | None
"""As pg8000 takes it; None: verified TLS, except on loopback."""


class UnknownSchema(Exception):
    """The database has a migration that this version does not know, probably of a newer version."""


class SkippedRelease(Exception):
    """The missing migrations are of several releases. Each release suits the code of the one before only."""


def upgrade(
    database_url: str,
    ssl_context: TLS = None,
    *,
    folders: Sequence[Path] = (VERSIONS,),
    backoff: Sequence[float] = LOCK_BACKOFF_SECONDS,
) -> None:
    """Apply all missing migrations of the folders. Idempotent, and safe to call concurrently.

    A statement waits for a table lock for a short time only, because every request to the table waits behind
    it. After a lock timeout, everything is rolled back and tried again.

    By default, a remote server must offer TLS and a certificate that the system's store trusts. For the
    deployment's own settings, pass `engine.tls(settings)`.

    Raises:
        UnknownSchema, SkippedRelease: The database is unchanged.
        DBAPIError: For example, the last attempt waited for a lock too. The database is unchanged.
    """
    for pause in (*backoff, None):
        try:
            command.upgrade(config(database_url, ssl_context, folders), "head")
        except DBAPIError as error:
            if pause is None or sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
            logs.warning("migration waits for a lock", retryAfterSeconds=pause)
            time.sleep(pause)
        else:
            return


def config(database_url: str, ssl_context: TLS = None, folders: Sequence[Path] = (VERSIONS,)) -> Config:
    """Return Alembic's configuration for a database. It replaces an alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.set_main_option("path_separator", "newline")
    alembic.set_main_option("version_locations", "\n".join(map(str, folders)))
    alembic.attributes["database_url"] = database_url
    alembic.attributes["ssl_context"] = ssl_context
    return alembic

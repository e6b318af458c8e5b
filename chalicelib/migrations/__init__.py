"""Migrations: upgrade a database to the schema that this code expects."""

import ssl
from pathlib import Path

from alembic import command
from alembic.config import Config

LOCK_KEY = 7_310_482_656
"""Key of the advisory lock, by which one process migrates at a time. Arbitrary, but it must never change."""

TLS = ssl.SSLContext | bool | None
"""As pg8000 takes it; None: verified TLS, except on loopback."""


class UnknownSchema(Exception):
    """The database has a migration that this version does not know, probably of a newer version."""


def upgrade(database_url: str, ssl_context: TLS = None) -> None:
    """Apply all missing migrations. Idempotent, and safe to call concurrently.

    By default, a remote server must offer TLS and a certificate that the system's store trusts. For the
    deployment's own settings, pass `engine.tls(settings)`.

    Raises:
        UnknownSchema: The database is unchanged.
    """
    command.upgrade(config(database_url, ssl_context), "head")


def config(database_url: str, ssl_context: TLS = None) -> Config:
    """Return Alembic's configuration for a database. It replaces an alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.attributes["database_url"] = database_url
    alembic.attributes["ssl_context"] = ssl_context
    return alembic

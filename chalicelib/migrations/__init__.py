"""Migrations: upgrade a database to the schema that this code expects."""

import ssl
from pathlib import Path

from alembic import command
from alembic.config import Config


class UnknownSchema(Exception):
    """The database has a migration that this version does not know, probably of a newer version."""


def upgrade(database_url: str, ssl_context: ssl.SSLContext | bool = False) -> None:  # noqa: FBT001, FBT002 (as in pg8000)
    """Apply all missing migrations. Idempotent, and safe to call concurrently.

    For a remote database, pass `engine.tls(settings)` as `ssl_context`.

    Raises:
        UnknownSchema: The database is unchanged.
    """
    command.upgrade(config(database_url, ssl_context), "head")


def config(database_url: str, ssl_context: ssl.SSLContext | bool = False) -> Config:  # noqa: FBT001, FBT002
    """Return Alembic's configuration for a database. It replaces an alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.attributes["database_url"] = database_url
    alembic.attributes["ssl_context"] = ssl_context
    return alembic

"""Migrations: bring a database to the schema that this code expects."""

import ssl
from pathlib import Path

from alembic import command
from alembic.config import Config


class UnknownSchema(Exception):
    """The database was migrated by another version, with a migration that is not here."""


def upgrade(database_url: str, ssl_context: ssl.SSLContext | bool = False) -> None:  # noqa: FBT001, FBT002 (as in pg8000)
    """Apply all migrations that a database lacks. Safe to repeat, and to call concurrently.

    `ssl_context` is for a database on another machine: `db.tls(settings)`.

    Raises:
        UnknownSchema: Nothing was changed.
    """
    command.upgrade(config(database_url, ssl_context), "head")


def config(database_url: str, ssl_context: ssl.SSLContext | bool = False) -> Config:  # noqa: FBT001, FBT002
    """Return Alembic's configuration for one database, in place of an alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.attributes["database_url"] = database_url
    alembic.attributes["ssl_context"] = ssl_context
    return alembic

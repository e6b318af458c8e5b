"""Migrations: brings a database to the schema that this code knows."""

import ssl
from pathlib import Path

from alembic import command
from alembic.config import Config


def upgrade(database_url: str, ssl_context: ssl.SSLContext | bool = False) -> None:  # noqa: FBT001, FBT002 (as pg8000 has it)
    """Apply all migrations that a database lacks; safe to run twice, and at once.

    `ssl_context` is for a database that is not on this machine: `db.tls(settings)`.
    """
    command.upgrade(config(database_url, ssl_context), "head")


def downgrade(database_url: str, revision: str) -> None:
    """Take back the migrations after a revision; `base` takes back all."""
    command.downgrade(config(database_url), revision)


def config(database_url: str, ssl_context: ssl.SSLContext | bool = False) -> Config:  # noqa: FBT001, FBT002
    """Make Alembic's configuration for one database; there is no alembic.ini to keep in step."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.attributes["database_url"] = database_url
    alembic.attributes["ssl_context"] = ssl_context
    return alembic

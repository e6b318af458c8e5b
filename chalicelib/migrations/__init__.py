"""Migrations: brings a database to the schema that this code knows."""

from pathlib import Path

from alembic import command
from alembic.config import Config


def upgrade(database_url: str) -> None:
    """Apply all migrations that a database lacks; safe to run twice, and at once."""
    command.upgrade(config(database_url), "head")


def downgrade(database_url: str, revision: str) -> None:
    """Take back the migrations after a revision; `base` takes back all."""
    command.downgrade(config(database_url), revision)


def config(database_url: str) -> Config:
    """Make Alembic's configuration for one database; there is no alembic.ini to keep in step."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.attributes["database_url"] = database_url
    return alembic

"""/health: whether the process runs, and whether it can serve requests."""

import time
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

from msgspec import Struct
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from chalicelib.api.routing import new_router
from chalicelib.platform.database import schema
from chalicelib.platform.database.engine import UNDEFINED_TABLE, Database, sqlstate
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.http.request import Request, Response, json_response
from chalicelib.platform.observability import logs

_CHALICELIB = Path(__file__).parents[1]
_MIGRATIONS = _CHALICELIB / "migrations" / "versions"
_ROUTINES = (
    _CHALICELIB / "platform" / "database" / "functions.sql",
    _CHALICELIB / "events" / "bookable.sql",
    _CHALICELIB / "bookings" / "book.sql",
    _CHALICELIB / "bookings" / "ticket_changes.sql",
    _CHALICELIB / "check_in" / "check_in.sql",
)
"""The files with the functions and procedures that the code calls."""

_RECHECK_AFTER_SECONDS = 60
"""To compare the schema takes the database 4 ms, and anyone may ask."""
_MAX_LOGGED = 5

routes = new_router("health", "Whether the service runs.")

_VERSION = text("SELECT version_num FROM alembic_version")

_complete_at: WeakKeyDictionary[Database, float] = WeakKeyDictionary()
"""When a database was last found to have the schema."""


class Health(Struct):
    """The status of the service."""

    status: str


@routes.get("/health", auth="none", responses={200: Health})
def health(_request: Request) -> Response:
    """Report that the process runs. Nothing else is checked."""
    return json_response(200, {"status": "ok"})


@routes.get("/health/ready", auth="none", responses={200: Health})
def ready(request: Request) -> Response:
    """Report that the API has its secrets, and that the database has the schema that this code needs."""
    _ = request.tokens, request.settings.link_key, request.settings.ticket_keys
    try:
        with request.database.transaction() as connection:
            version = connection.execute(_VERSION).scalar()
            lacks = _missing(request.database, connection)
    except DBAPIError as error:
        if sqlstate(error) != UNDEFINED_TABLE:
            raise
        version, lacks = None, []
    if version is None or version < newest_migration() or lacks:
        logs.error("schema differs", version=version, lacks=", ".join(lacks[:_MAX_LOGGED]))
        raise Unavailable("The database has another schema.", retry_after=10)
    return json_response(200, {"status": "ok"})


def _missing(database: Database, connection: Connection) -> list[str]:
    """List what the schema lacks, unless it was complete within the last minute."""
    now = time.monotonic()
    if now - _complete_at.get(database, -_RECHECK_AFTER_SECONDS) < _RECHECK_AFTER_SECONDS:
        return []
    lacks = schema.missing(connection, _ROUTINES)
    if not lacks:
        _complete_at[database] = now
    return lacks


@cache
def newest_migration() -> str:
    """Return the newest migration's revision, with which its file's name starts."""
    return max(path.name.partition("_")[0] for path in _MIGRATIONS.glob("[0-9]*.py"))

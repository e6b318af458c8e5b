"""/health: whether the process runs, and whether it can serve requests."""

from functools import cache
from pathlib import Path

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from chalicelib.api.routing import new_router
from chalicelib.platform.database.engine import UNDEFINED_TABLE, sqlstate
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.http.request import Request, Response, json_response

_MIGRATIONS = Path(__file__).parents[1] / "migrations" / "versions"

routes = new_router("health", "Whether the service runs.")

_SCHEMA = text("SELECT version_num FROM alembic_version")


class Health(Struct):
    """The status of the service."""

    status: str


@routes.get("/health", auth="none", responses={200: Health})
def health(_request: Request) -> Response:
    """Report that the process runs. Nothing else is checked."""
    return json_response(200, {"status": "ok"})


@routes.get("/health/ready", auth="none", responses={200: Health})
def ready(request: Request) -> Response:
    """Report that the API has its secrets, and that the database has the schema version of this code."""
    _ = request.tokens, request.settings.link_key, request.settings.ticket_keys
    try:
        with request.database.transaction() as connection:
            schema = connection.execute(_SCHEMA).scalar()
    except DBAPIError as error:
        if sqlstate(error) != UNDEFINED_TABLE:
            raise
        schema = None
    if schema != newest_migration():
        raise Unavailable("The database has another schema version.", retry_after=10)
    return json_response(200, {"status": "ok"})


@cache
def newest_migration() -> str:
    """Return the newest migration's revision, with which its file's name starts."""
    return max(path.name.partition("_")[0] for path in _MIGRATIONS.glob("[0-9]*.py"))

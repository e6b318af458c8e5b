"""Health: whether the process runs, and whether it can serve."""

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from chalicelib.platform.database.engine import UNDEFINED_TABLE, sqlstate
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router, json_response

SCHEMA = "0004"
"""The migration that this code was written for."""

routes = Router("health")

_SCHEMA = text("SELECT version_num FROM alembic_version")


class Health(Struct):
    """That all is well."""

    status: str


@routes.get("/health", auth="none", responses={200: Health})
def health(_request: Request) -> Response:
    """Say that the process runs; nothing else is touched."""
    return json_response(200, {"status": "ok"})


@routes.get("/health/ready", auth="none", responses={200: Health})
def ready(request: Request) -> Response:
    """Say that the database can be reached and has the schema that this code knows."""
    try:
        with request.transaction() as connection:
            schema = connection.execute(_SCHEMA).scalar()
    except DBAPIError as error:
        if sqlstate(error) != UNDEFINED_TABLE:
            raise
        schema = None
    if schema != SCHEMA:
        raise Unavailable("The database has another schema version.", retry_after=10)
    return json_response(200, {"status": "ok"})

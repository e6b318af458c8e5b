"""/events/{eventId}/attendees: list, and export as a CSV file."""

import csv
import io
import json
import re
import unicodedata
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.attendees import (
    AttendeeFileQuery,
    AttendeeQuery,
    EventAttendee,
    attendee_json,
    filters_of,
)
from chalicelib.check_in import attendees
from chalicelib.events.locks import NotYourEvent, require_own_event
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response

CSV = "text/csv; charset=utf-8"
MAX_FILE_BYTES = 4_000_000
"""Of one page. Lambda returns at most 6 MB, in which quotes and line ends are escaped."""

COLUMNS = EventAttendee.__struct_encode_fields__

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r]")  # noqa: RUF001 (full-width forms count too)

routes = new_router("attendees", "Who has tickets of an event, for its host.")


@routes.get(
    "/events/{eventId}/attendees",
    auth="host",
    responses={200: list[EventAttendee]},
    errors=(NoSuchEvent, NotYourEvent),
)
def list_attendees(
    request: Request, connection: Connection, event_id: UUID, query: AttendeeQuery
) -> Response:
    """List the tickets of your event with their attendees, in the order of booking."""
    require_own_event(connection, request.require_caller().user_id, event_id)
    page_request = query.page(query.sort)
    page = attendees.list_attendees(connection, event_id, filters_of(query), page_request, attendee_json)
    return list_response(request, page_request, page)


@routes.get(
    "/events/{eventId}/attendees.csv",
    auth="host",
    responses={200: CSV},
    errors=(NoSuchEvent, NotYourEvent),
)
def export_attendees(
    request: Request, connection: Connection, event_id: UUID, query: AttendeeFileQuery
) -> Response:
    """Export the tickets of your event with their attendees as a CSV file (RFC 4180), in UTF-8.

    A page has up to 5,000 rows, or fewer if these are long. While `X-Next-Cursor` is sent, get the next page
    with it as `cursor`, or follow the `next` link. Only the first page has the header row, so that the pages
    one after another are one file. A cell that a spreadsheet would read as a formula starts with `'`.
    """
    title = require_own_event(connection, request.require_caller().user_id, event_id).title
    limit = query.limit
    while True:
        page = attendees.list_attendees(
            connection, event_id, filters_of(query), query.page(limit), attendee_json
        )
        rows = _rows(page.items)
        if limit == 1 or len(rows.encode()) <= MAX_FILE_BYTES:
            break
        limit //= 2
    first = "" if query.cursor else ("\ufeff" if query.bom else "") + ",".join(COLUMNS) + "\r\n"
    headers = {"Content-Disposition": f'attachment; filename="{_filename(title)}"'}
    if page.next_cursor:
        onwards = {name: values for name, values in request.parameters.items() if name != "cursor"}
        target = urlencode({**onwards, "cursor": page.next_cursor}, doseq=True)
        headers["Link"] = f'<{request.settings.public_url}{request.path}?{target}>; rel="next"'
        headers["X-Next-Cursor"] = page.next_cursor
    return Response(200, first + rows, headers, CSV)


def _rows(items: str) -> str:
    """Render a JSON array of attendees as CSV."""
    out = io.StringIO()
    writer = csv.writer(out)  # by default, with the quotes and line ends of RFC 4180
    for attendee in json.loads(items):
        writer.writerow(
            _FORMULA.sub(r"'\g<0>", value, count=1)
            if isinstance(value, str) and _FORMULA.match(value)
            else value
            for value in (attendee.get(column, "") for column in COLUMNS)
        )
    return out.getvalue()


def _filename(title: str) -> str:
    """Return a name in ASCII letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall("[a-z0-9]+", plain)
    return "-".join(["attendees", *words])[:80].rstrip("-") + ".csv"

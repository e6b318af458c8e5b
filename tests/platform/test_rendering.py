"""JSON is declared once: a struct renders the columns of a row."""

import json
from datetime import datetime
from typing import Any

import pytest
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause, Integer, Text, column, func, literal_column, select, text

from chalicelib.platform.database.columns import SystemTime, UserTime
from chalicelib.platform.database.rendering import as_json
from tests.client import Client

_COLUMNS: list[ColumnElement[Any]] = [
    column("show_id", Integer),
    column("title", Text),
    column("starts_at", UserTime()),
]
_VALUES = "(VALUES (1, 'Jazz', timestamptz '2027-06-05 19:30:00.5+02')) AS show (show_id, title, starts_at)"


class Show(Struct, kw_only=True, rename="camel"):
    show_id: int
    title: str | UnsetType = UNSET
    starts_at: datetime


def row() -> FromClause:
    return text(f"SELECT * FROM {_VALUES}").columns(*_COLUMNS).subquery("show")  # noqa: S608 (a constant)


def rendered(client: Client, expression: ColumnElement[Any], source: FromClause) -> dict[str, Any]:
    with client.wiring.database.transaction() as connection:
        [(value,)] = connection.execute(select(func.to_json(expression)).select_from(source))
    found: dict[str, Any] = value if isinstance(value, dict) else json.loads(value)
    return found


def test_fields_are_rendered_by_name_with_their_names_in_json(client: Client) -> None:
    show = row()

    assert rendered(client, as_json(Show, show), show) == {
        "showId": 1,
        "title": "Jazz",
        "startsAt": "2027-06-05T17:30:00.5Z",
    }


def test_system_times_have_milliseconds_and_user_times_what_was_given(client: Client) -> None:
    show = row()
    on_the_hour = "timestamptz '2027-06-05 17:00Z'"

    for kind, expected in ((SystemTime(), "2027-06-05T17:00:00.000Z"), (UserTime(), "2027-06-05T17:00:00Z")):
        shown = as_json(Show, show, starts_at=literal_column(on_the_hour, kind))
        assert rendered(client, shown, show)["startsAt"] == expected


def test_null_is_left_out_unless_the_type_allows_none(client: Client) -> None:
    class Nullable(Struct, kw_only=True):
        show_id: int
        venue: str | UnsetType = UNSET
        title: str | UnsetType | None = UNSET

    show = row()
    null: ColumnElement[Any] = literal_column("NULL::text")

    assert rendered(client, as_json(Nullable, show, venue=null, title=null), show) == {
        "show_id": 1,
        "title": None,
    }
    assert rendered(client, as_json(Nullable, show, venue=null), show) == {"show_id": 1, "title": "Jazz"}


def test_a_field_without_a_column_fails_when_the_statement_is_built() -> None:
    class WithVenue(Show, kw_only=True):
        venue: str

    with pytest.raises(LookupError, match="venue"):
        as_json(WithVenue, row())


def test_a_value_without_a_field_fails_when_the_statement_is_built() -> None:
    with pytest.raises(LookupError, match="venue"):
        as_json(Show, row(), venue=literal_column("'Hall'"))

"""Render rows as JSON in PostgreSQL, from the struct that declares its members."""

from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, get_args, get_type_hints

from sqlalchemy import JSON, ColumnElement, FromClause, Text, cast, func, literal_column

from chalicelib.platform.database.columns import SystemTime, UserTime, sql_literal

Render = Callable[[FromClause], ColumnElement[Any]]
"""Renders one row as JSON."""


def as_json(declared: type, row: FromClause, **values: ColumnElement[Any]) -> ColumnElement[Any]:
    """Render a row as the JSON of a msgspec struct.

    Each field takes the value given by its name, or else the row's column of that name. Null members are left
    out, unless the field's type allows None. A struct with such a field needs a member that is never null.

    Raises:
        LookupError: A field has neither a value nor a column, or a value has no field.
    """
    members: dict[str, ColumnElement[Any]] = {}
    nullable: dict[str, ColumnElement[Any]] = {}
    for name, encoded, allows_none in _fields(declared):
        value = values.pop(name) if name in values else row.c[name]
        (nullable if allows_none else members)[encoded] = value
    if values:
        raise LookupError(f"{declared.__name__} has no field {', '.join(values)}")
    rendered: ColumnElement[Any] = func.json_strip_nulls(json_object(**members))
    if not nullable:
        return rendered
    text: ColumnElement[Any] = func.left(cast(rendered, Text), literal_column("-1"))
    for name, value in nullable.items():
        text = text.op("||")(sql_literal(f',"{name}":'))
        text = text.op("||")(func.coalesce(cast(func.to_json(_rendered(value)), Text), sql_literal("null")))
    return cast(text.op("||")(sql_literal("}")), JSON)


def json_object(**members: ColumnElement[Any]) -> ColumnElement[Any]:
    """Build a JSON object. The names are literals: parameters would be sent with every call."""
    parts: list[ColumnElement[Any]] = []
    for name, value in members.items():
        parts += [sql_literal(name), _rendered(value)]
    return func.json_build_object(*parts)


def _fields(declared: type) -> Iterator[tuple[str, str, bool]]:
    """Yield each field's name, its name in JSON, and whether its type allows None."""
    struct: Any = declared
    hints = get_type_hints(declared)
    for name, encoded in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True):
        yield name, encoded, NoneType in get_args(hints[name])


def _rendered(value: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(value.type, SystemTime):
        return system_time_json(value)
    if isinstance(value.type, UserTime):
        return user_time_json(value)
    return value


def system_time_json(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Format a time in UTC with Z, always with milliseconds."""
    return func.to_char(func.timezone("UTC", column), sql_literal('YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))


def user_time_json(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Format a time in UTC with Z, with fractions of a second only if it has any."""
    utc = func.to_json(func.timezone("UTC", column)).op("#>>")(sql_literal("{}"))
    return utc.op("||")(sql_literal("Z"))

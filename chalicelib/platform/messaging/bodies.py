"""Bodies of domain events: typed in Python, JSON objects in the outbox and in messages."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import IntEnum
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, func

from chalicelib.platform.database.columns import sql_literal
from chalicelib.platform.database.rendering import system_time_json, user_time_json
from chalicelib.platform.times import rfc3339

_SYSTEM = "system time"
SystemTime = Annotated[datetime, _SYSTEM]
"""A time that the server recorded; JSON shows it to the millisecond. A user-supplied time is a `datetime`."""


class Lane(IntEnum):
    """How urgently the outbox publishes a type of domain event: the lowest lane first."""

    BOOKINGS = 0
    """Bookings and money. Also the default of the column, for the statements that do not name a lane."""
    EVENTS = 1
    ACCOUNT_EMAILS = 2
    """What a person without an account can cause, as often as they like."""


@dataclass(frozen=True, kw_only=True)
class DomainEventBody:
    """Base of the typed bodies. A subclass with a `name` is a type of domain event.

    Fields are snake_case here and camelCase in JSON. A field that has a default is left out of the JSON where
    it is None; any other field is always there. A list of objects is a `tuple[Class, ...]`. A dict in a
    field's `Annotated` holds JSON Schema keywords, for the documentation.
    """

    type: ClassVar[str]
    version: ClassVar[int]
    lane: ClassVar[Lane] = Lane.BOOKINGS

    def __init_subclass__(cls, *, name: str | None = None, version: int = 1) -> None:
        if name is not None:
            cls.type = name
            cls.version = version

    def as_json(self) -> dict[str, Any]:
        return _encode(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read a body. Members without a field are ignored: later releases may add some.

        Raises:
            ValueError: A member is missing or has another type.
        """
        return cls(**_decode(cls, body))

    @classmethod
    def json_column(cls, row: FromClause, **columns: ColumnElement[Any]) -> ColumnElement[Any]:
        """The body as a SQL expression: each field is the column of its name, in `columns` or else in `row`.

        Raises:
            LookupError: A field has no column, or `columns` has one that is no field.
            TypeError: The body has optional fields and others that can be null.
        """
        parts: list[ColumnElement[Any]] = []
        for member in members(cls):
            if member.field not in columns and member.field not in row.c:
                raise LookupError(f"{cls.__name__}.{member.field} has no column")
            column = columns.pop(member.field) if member.field in columns else row.c[member.field]
            parts += [sql_literal(member.name), _sql(member, column)]
        if columns:
            raise LookupError(f"{cls.__name__} has no fields {', '.join(columns)}")
        body = func.json_build_object(*parts)
        if not any(member.optional for member in members(cls)):
            return body
        if any(member.nullable and not member.optional for member in members(cls)):
            raise TypeError(f"{cls.__name__}: PostgreSQL removes all nulls of an object, or none")
        return func.json_strip_nulls(body)


@dataclass(frozen=True)
class Member:
    """A member of a body's JSON object, as its dataclass field declares it."""

    field: str
    name: str
    type: Any
    """Without `None` and `Annotated`."""
    system_time: bool
    nullable: bool
    optional: bool
    schema: Mapping[str, Any]
    """JSON Schema keywords beyond the type."""


def members(cls: Any) -> tuple[Member, ...]:
    """The members of a dataclass's JSON object."""
    return tuple(_member(f.name, f.type, optional=f.default is not MISSING) for f in fields(cls))


def _member(field: str, annotation: Any, *, optional: bool) -> Member:
    nullable = False
    notes: list[Any] = []
    while (origin := get_origin(annotation)) in {Annotated, Union, UnionType}:
        if origin is Annotated:
            notes = [*annotation.__metadata__, *notes]
            annotation = annotation.__origin__
        else:
            nullable = True
            (annotation,) = (part for part in get_args(annotation) if part is not NoneType)
    schema = {key: value for note in notes if isinstance(note, dict) for key, value in note.items()}
    return Member(field, _camel(field), annotation, _SYSTEM in notes, nullable, optional, schema)


def _camel(field: str) -> str:
    first, *others = field.rstrip("_").split("_")
    return first + "".join(map(str.title, others))


def _encode(value: Any) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    for member in members(type(value)):
        own = getattr(value, member.field)
        if own is not None or not member.optional:
            encoded[member.name] = _plain(own, "milliseconds" if member.system_time else "auto")
    return encoded


def _plain(value: Any, timespec: str) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return rfc3339(value.astimezone(UTC), timespec)
    if isinstance(value, tuple):
        return [_plain(item, timespec) for item in value]
    return _encode(value) if is_dataclass(value) else value


def _sql(member: Member, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if member.type is not datetime:
        return column
    return system_time_json(column) if member.system_time else user_time_json(column)


def _decode(cls: Any, body: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for member in members(cls):
        if member.name in body:
            values[member.field] = _typed(member, body[member.name])
        elif not member.optional:
            raise ValueError(f"{cls.__name__} lacks {member.name}")
    return values


def _typed(member: Member, value: Any) -> Any:  # noqa: PLR0911 (one for each type)
    if value is None and member.nullable:
        return None
    if isinstance(value, str):
        if member.type is UUID:
            return UUID(value)
        if member.type is datetime:
            return datetime.fromisoformat(value)
        # Later releases may add values to a `Literal`.
        if member.type is str or get_origin(member.type) is Literal:
            return value
    if isinstance(value, dict) and is_dataclass(member.type):
        return _nested(member.type, value)
    if isinstance(value, list) and get_origin(member.type) is tuple:
        return tuple(_nested(get_args(member.type)[0], item) for item in value)
    if member.type is int and type(value) is int:
        return value
    raise ValueError(f"{member.name} has another type")


def _nested(cls: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{cls.__name__} is not an object")  # noqa: TRY004 (as any malformed body)
    return cls(**_decode(cls, value))

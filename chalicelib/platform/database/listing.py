"""Lists: filtered, in total order, page by page, rendered and counted by one statement."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Label,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from chalicelib.platform.errors import FieldError, InvalidInput

MAX_EXACT_TOTAL = 10_000
"""Rows are counted exactly up to here; counting on would cost more the longer the list is."""

Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class Sort:
    """A sort key: the columns of the list's rows that it compares, before the id breaks ties."""

    columns: tuple[str, ...]
    order: Order = "asc"
    """The order when none is asked for."""


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """Which part of a list is asked for. A cursor, where given, says where to go on."""

    sort: str
    limit: int = 20
    offset: int = 0
    order: Order | None = None
    cursor: str | None = None


@dataclass(frozen=True)
class Page:
    """One page: JSON text of its items, and what leads to the others."""

    items: str
    total: int
    """Exact up to COUNTED; COUNTED + 1 stands for more."""
    next_cursor: str | None


@dataclass(frozen=True, eq=False)
class ListQuery:
    """A list that clients page through.

    `rows` selects what there is to list; joins in it that only decorate are outer joins on a unique key,
    so that PostgreSQL leaves them out when it counts. `filters` are the predicates that a request may
    add, by name; their values are bound by the names of their parameters.

    `searched` are those of which PostgreSQL cannot tell how much they leave. To go through the rows in order
    until a page is full is right where that is much, and takes all of them where it is little. So what they
    leave is looked up first, as far as it is counted anyway, and what is found tells which way is taken.
    """

    rows: Select[Any]
    id: str
    sorts: Mapping[str, Sort]
    filters: Mapping[str, ColumnElement[bool]]
    item: Callable[[FromClause], ColumnElement[Any]]
    searched: frozenset[str] = frozenset()

    def fetch(
        self, connection: Connection, page: PageRequest, filters: Sequence[str], values: Mapping[str, Any]
    ) -> Page:
        """Read one page in one statement.

        Raises:
            InvalidInput: The cursor is not one of this list in this order.
        """
        sort = self.sorts[page.sort]
        order = page.order or sort.order
        mark = f"{page.sort} {order}"
        after = self._decode(page.cursor, mark, sort) if page.cursor else {}
        statement = self.statement(frozenset(filters), page.sort, order, after=bool(after))
        parameters = {"limit": page.limit, "offset": page.offset, **values, **after}
        items, last, total = connection.execute(statement, parameters).one()
        return Page(items, total, _encode({mark: json.loads(last)}) if last else None)

    @lru_cache(maxsize=256)  # noqa: B019 (listings are module constants; building costs 1 ms each)
    def statement(self, filters: frozenset[str], sort: str, order: Order, *, after: bool) -> Select[Any]:
        """Build the statement of one combination, once per process."""
        keys = (*self.sorts[sort].columns, self.id)
        wanted = self.rows.where(*(self.filters[name] for name in sorted(filters)))
        counted = wanted.with_only_columns(wanted.selected_columns[self.id]).limit(MAX_EXACT_TOTAL + 1)
        if filters & self.searched:
            found = counted.cte("found")
            total = select(func.count()).select_from(found)
            size = total.scalar_subquery()
            # By a limit PostgreSQL is made to look each up, and by a CASE to walk, whatever it expects.
            its_id = self.rows.selected_columns[self.id]
            its_row = self.rows.where(its_id == found.c[self.id]).limit(1).lateral("its_row")
            few = select(its_row).join_from(found, its_row, true()).where(size <= MAX_EXACT_TOTAL)
            walked = [
                case((self.filters[name], true())) if name in self.searched else self.filters[name]
                for name in sorted(filters)
            ]
            many = self.rows.where(*walked, size > MAX_EXACT_TOTAL)
            parts = [_part(rows, keys, order, after=after).subquery().select() for rows in (few, many)]
            page = union_all(*parts).subquery("page")
            number = func.row_number().over(order_by=_ordered([page.c[name] for name in keys], order))
        else:
            total = select(func.count()).select_from(counted.subquery("counted"))
            page = _part(wanted, keys, order, after=after).subquery("page")
            number = func.row_number().over()
        row = select(
            number.label("n"),
            self.item(page).label("item"),
            func.json_build_array(*(page.c[name] for name in keys)).label("key"),
        ).subquery("row")
        in_page = row.c.n <= _limit
        items = func.json_agg(aggregate_order_by(row.c.item, row.c.n)).filter(in_page)
        last = func.max(case((row.c.n == _limit, cast(row.c.key, Text))))
        return select(
            func.coalesce(cast(items, Text), "[]"),
            case((func.count() > _limit, last)),
            total.scalar_subquery(),
        ).select_from(row)

    def _decode(self, cursor: str, mark: str, sort: Sort) -> dict[str, Any]:
        columns = [self.rows.selected_columns[name] for name in (*sort.columns, self.id)]
        try:
            values = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))[mark]
            return {
                f"after_{i}": _parse(column.type.python_type, value)
                for i, (column, value) in enumerate(zip(columns, values, strict=True))
            }
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            message = "is not a cursor of this list in this order; take it from the Link header"
            raise InvalidInput(errors=[FieldError("cursor", message)]) from error


_limit = bindparam("limit", type_=Integer)


def _part(rows: Select[Any], keys: Sequence[str], order: Order, *, after: bool) -> Select[Any]:
    """Select the rows of a page, in order, and one more."""
    columns = [rows.selected_columns[name] for name in keys]
    values = [_value_of(column) for column in columns]
    # A sort key of a table that only decorates the rows: PostgreSQL can begin with that table's index
    # if told that no row lacks the key, and go on in it if the cursor bounds the key by itself.
    joined = isinstance(values[0], Column) and values[0].table is not columns[-1].table
    if joined:
        rows = rows.where(values[0].is_not(None))
    if after:
        here = tuple_(*values)
        bounds = [bindparam(f"after_{i}", type_=column.type) for i, column in enumerate(columns)]
        there = tuple_(*bounds)
        rows = rows.where(here < there if order == "desc" else here > there)
        if joined:
            rows = rows.where(values[0] <= bounds[0] if order == "desc" else values[0] >= bounds[0])
    return (
        rows.order_by(*_ordered(columns, order)).limit(_limit + 1).offset(bindparam("offset", type_=Integer))
    )


def _ordered(columns: Sequence[ColumnElement[Any]], order: Order) -> list[ColumnElement[Any]]:
    return [column.desc() if order == "desc" else column.asc() for column in columns]


def _value_of(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column.element if isinstance(column, Label) else column


def _encode(place: dict[str, Any]) -> str:
    raw = json.dumps(place, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(raw).decode("ascii")


def _parse(kind: type, value: Any) -> Any:
    """Turn a cursor's JSON value into what the column holds; it came back from a client, so strictly.

    Raises:
        ValueError, OverflowError: It is not such a value.
    """
    if kind is int and type(value) is int and abs(value) < 2**31:
        return value
    if kind is str and isinstance(value, str) and "\0" not in value:
        value.encode()  # a lone surrogate is a ValueError
        return value
    if kind is UUID and isinstance(value, str):
        return UUID(value)
    if kind is datetime and isinstance(value, str):
        time = datetime.fromisoformat(value)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    raise ValueError(value)


def json_object(*members: Any) -> ColumnElement[Any]:
    """A JSON object of names and values in turn; the names are our own, and part of the statement's text.

    As parameters they would be most of what a list hands over each time.
    """
    names: list[ColumnElement[str]] = [literal_column(f"'{name}'") for name in members[::2]]
    pairs = zip(names, members[1::2], strict=True)
    return func.json_build_object(*(part for pair in pairs for part in pair))


def search_terms(words: str) -> str:
    """A to_tsquery text that finds what has, for each word, one that begins with it.

    Each word is quoted, so that no character of it is an operator.
    """
    quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in words.split())
    return " & ".join(f"'{word}':*" for word in quoted)


def system_time_json(column: ColumnElement[datetime]) -> ColumnElement[str]:
    """A time that this system noted, as API text: UTC with Z, to the millisecond, always as long."""
    return func.to_char(func.timezone("UTC", column), literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'"""))


def user_time_json(column: ColumnElement[datetime]) -> ColumnElement[str]:
    """A time that somebody gave, as API text: UTC with Z, fractions of a second only where given."""
    utc = func.to_json(func.timezone("UTC", column)).op("#>>")(literal_column("'{}'"))
    return utc.op("||")(literal_column("'Z'"))

"""Lists that clients filter, sort and page through. One statement reads, renders and counts a page."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
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

from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import FieldError, InvalidInput

MAX_EXACT_TOTAL = 10_000
"""Counting stops here, so that its cost is bounded."""

Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class Sort:
    """A sort key: the columns to compare. The id breaks ties."""

    columns: tuple[str, ...]
    order: Order = "asc"
    """The default order."""


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """The part of a list to read: from the cursor, or else from the offset."""

    sort: str
    limit: int = 20
    offset: int = 0
    order: Order | None = None
    cursor: str | None = None


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    items: str
    """A JSON array."""
    total: int
    """Exact up to MAX_EXACT_TOTAL; MAX_EXACT_TOTAL + 1 stands for any larger number."""
    next_cursor: str | None
    previous_cursor: str | None
    """None on the first page, and on pages that were found by offset."""


@dataclass(frozen=True, eq=False)
class ListQuery:
    """A list that clients page through.

    `rows` selects the items. Joins that only add columns are outer joins on a unique key, so that PostgreSQL
    drops them from the count. `filters` are the predicates that a request may add, by name.

    `searched` names the filters whose selectivity PostgreSQL cannot estimate. Walking the index in order
    until a page is full is fast if many rows match, but reads all rows if few do. So the statement first
    collects the keys of the matches, up to MAX_EXACT_TOTAL. If there are no more, it sorts them and looks the
    rows of the page up; else it walks the index.
    """

    rows: Select[Any]
    id: str
    sorts: Mapping[str, Sort]
    filters: Mapping[str, ColumnElement[bool]]
    searched: frozenset[str] = frozenset()
    also: Select[Any] | None = None
    """More items, from other rows of the same tables. Each part is read in the order of its own index."""
    found_by: Mapping[str, ColumnElement[bool]] = field(default_factory=dict)
    """Equivalents of filters of `rows` that suit collecting matches of a search, where those suit walking."""

    def fetch(
        self,
        connection: Connection,
        page: PageRequest,
        filters: Sequence[str],
        values: Mapping[str, Any],
        render: Render,
    ) -> Page:
        """Read one page in one statement.

        Raises:
            InvalidInput: The cursor belongs to another list or order.
        """
        sort = self.sorts[page.sort]
        order = page.order or sort.order
        scope = f"{page.sort} {order}"
        start, backwards = self._decode(page.cursor, scope, sort) if page.cursor else ({}, False)
        reading: Order = _OPPOSITE[order] if backwards else order
        statement = self.statement(
            render, frozenset(filters), page.sort, reading, after=bool(start), backwards=backwards
        )
        parameters = {"limit": page.limit, "offset": page.offset, **values, **start}
        items, near, far, total = connection.execute(statement, parameters).one()
        onwards = {True: _before(scope), False: scope}
        far_cursor = _encode({onwards[backwards]: json.loads(far)}) if far else None
        near_cursor = _encode({onwards[not backwards]: json.loads(near)}) if near and start else None
        if backwards:
            return Page(items, total, next_cursor=near_cursor, previous_cursor=far_cursor)
        return Page(items, total, next_cursor=far_cursor, previous_cursor=near_cursor)

    @lru_cache(maxsize=256)  # noqa: B019 (list queries are module constants)
    def statement(
        self,
        render: Render,
        filters: frozenset[str],
        sort: str,
        order: Order,
        *,
        after: bool,
        backwards: bool = False,
    ) -> Select[Any]:
        """Build the statement for one combination, once per process: it takes about 1 ms.

        The rows are read in `order`, and with `backwards` their page is returned in the opposite one. The
        statement also returns the keys of the first row that was read, and of the last if more rows follow.
        """
        keys = (*self.sorts[sort].columns, self.id)
        parts = [self.rows] if self.also is None else [self.rows, self.also]
        if filters & self.searched:
            conditions = {**self.filters, **self.found_by}
            matches = [
                part.where(*(which[name] for name in sorted(filters)))
                for part, which in zip(parts, (conditions, self.filters), strict=False)
            ]
            found = _bounded(matches, keys).cte("found")
            total = select(func.count()).select_from(found)
            size = total.scalar_subquery()
            first = _page([select(found).where(size <= MAX_EXACT_TOTAL)], keys, order, after=after).subquery()
            # LIMIT forces PostgreSQL to look each row of the page up, and CASE forces it to walk the index.
            lookups = [
                part.where(part.selected_columns[self.id] == first.c[self.id]).limit(1).lateral("its_row")
                for part in parts
            ]
            few = [select(its_row).join_from(first, its_row, true()) for its_row in lookups]
            walked = [
                case((self.filters[name], true())) if name in self.searched else self.filters[name]
                for name in sorted(filters)
            ]
            many = [part.where(*walked, size > MAX_EXACT_TOTAL) for part in parts]
            walk = _page(many, keys, order, after=after).subquery().select()
            page = union_all(*few, walk).subquery("page")
            number = func.row_number().over(order_by=_ordered([page.c[name] for name in keys], order))
        else:
            wanted = [part.where(*(self.filters[name] for name in sorted(filters))) for part in parts]
            total = select(func.count()).select_from(_bounded(wanted, [self.id]).subquery("counted"))
            page = _page(wanted, keys, order, after=after).subquery("page")
            number = func.row_number().over()
        row = select(
            number.label("n"),
            render(page).label("item"),
            func.json_build_array(*(page.c[name] for name in keys)).label("key"),
        ).subquery("row")
        in_page = row.c.n <= _limit
        position = row.c.n.desc() if backwards else row.c.n
        items = func.json_agg(aggregate_order_by(row.c.item, position)).filter(in_page)
        first_key = func.max(case((row.c.n == literal_column("1"), cast(row.c.key, Text))))
        last_key = func.max(case((row.c.n == _limit, cast(row.c.key, Text))))
        return select(
            func.coalesce(cast(items, Text), "[]"),
            first_key,
            case((func.count() > _limit, last_key)),
            total.scalar_subquery(),
        ).select_from(row)

    def _decode(self, cursor: str, scope: str, sort: Sort) -> tuple[dict[str, Any], bool]:
        """Return the key that the page starts after, and whether it goes backwards from there."""
        columns = [self.rows.selected_columns[name] for name in (*sort.columns, self.id)]
        try:
            position = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
            backwards = scope not in position
            values = position[_before(scope) if backwards else scope]
            start = {
                f"after_{i}": _parse(column.type.python_type, value)
                for i, (column, value) in enumerate(zip(columns, values, strict=True))
            }
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            message = "is not a cursor of this list and order; copy it from the Link header"
            raise InvalidInput(errors=[FieldError("cursor", message)]) from error
        return start, backwards


_OPPOSITE: Mapping[Order, Order] = {"asc": "desc", "desc": "asc"}


def _before(scope: str) -> str:
    """Return the scope of cursors that lead backwards."""
    return f"before {scope}"


_limit = bindparam("limit", type_=Integer)
_offset = bindparam("offset", type_=Integer)


def _bounded(parts: Sequence[Select[Any]], names: Sequence[str]) -> Select[Any] | CompoundSelect[Any]:
    """Select these columns of all parts, up to MAX_EXACT_TOTAL rows, and one more."""
    bounded = [
        part.with_only_columns(*(part.selected_columns[name] for name in names)).limit(MAX_EXACT_TOTAL + 1)
        for part in parts
    ]
    return bounded[0] if len(parts) == 1 else _all_of(bounded).limit(MAX_EXACT_TOTAL + 1)


def _page(parts: Sequence[Select[Any]], keys: Sequence[str], order: Order, *, after: bool) -> Select[Any]:
    """Select the rows of a page in order, and one more, which tells whether a next page exists."""
    if len(parts) == 1:
        return _first(parts[0], keys, order, after=after).limit(_limit + 1).offset(_offset)
    firsts = [_first(part, keys, order, after=after).limit(_limit + _offset + 1) for part in parts]
    both = _all_of(firsts).subquery("both")
    in_order = select(both).order_by(*_ordered([both.c[name] for name in keys], order))
    return in_order.limit(_limit + 1).offset(_offset)


def _all_of(parts: Sequence[Select[Any]]) -> CompoundSelect[Any]:
    """The rows of all parts, each with its own order and limit."""
    return union_all(*(part.subquery().select() for part in parts))


def _first(rows: Select[Any], keys: Sequence[str], order: Order, *, after: bool) -> Select[Any]:
    """Select rows in order, from the cursor."""
    columns = [rows.selected_columns[name] for name in keys]
    values = [_value_of(column) for column in columns]
    # The sort key is in an outer-joined table. PostgreSQL can read that table's index if the key is not null,
    # and start in the middle of it if the cursor bounds the key by itself.
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
    return rows.order_by(*_ordered(columns, order))


def _ordered(columns: Sequence[ColumnElement[Any]], order: Order) -> list[ColumnElement[Any]]:
    return [column.desc() if order == "desc" else column.asc() for column in columns]


def _value_of(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column.element if isinstance(column, Label) else column


def _encode(position: dict[str, Any]) -> str:
    raw = json.dumps(position, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(raw).decode("ascii")


def _parse(kind: type, value: Any) -> Any:
    """Convert a cursor's JSON value to the column's type, strictly, because a client sent it.

    Raises:
        ValueError, OverflowError: The value is not of that type.
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

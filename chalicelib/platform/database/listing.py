"""Lists that clients filter, sort and page through. One statement reads, renders and counts a page."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Label,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
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


@dataclass(frozen=True, eq=False)
class ListQuery:
    """A list that clients page through.

    `rows` selects the items. Joins that only add columns are outer joins on a unique key, so that PostgreSQL
    drops them from the count. `filters` are the predicates that a request may add, by name.

    `searched` names the filters whose selectivity PostgreSQL cannot estimate. Walking the index in order
    until a page is full is fast if many rows match, but reads all rows if few do. So the statement first
    counts the matches, up to MAX_EXACT_TOTAL. It looks the matches up if there are few, and walks the index
    if many.
    """

    rows: Select[Any]
    id: str
    sorts: Mapping[str, Sort]
    filters: Mapping[str, ColumnElement[bool]]
    searched: frozenset[str] = frozenset()
    also: Select[Any] | None = None
    """More items, from other rows of the same tables. Each part is read in the order of its own index."""

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
        after = self._decode(page.cursor, scope, sort) if page.cursor else {}
        statement = self.statement(render, frozenset(filters), page.sort, order, after=bool(after))
        parameters = {"limit": page.limit, "offset": page.offset, **values, **after}
        items, last, total = connection.execute(statement, parameters).one()
        return Page(items, total, _encode({scope: json.loads(last)}) if last else None)

    @lru_cache(maxsize=256)  # noqa: B019 (list queries are module constants)
    def statement(
        self, render: Render, filters: frozenset[str], sort: str, order: Order, *, after: bool
    ) -> Select[Any]:
        """Build the statement for one combination, once per process: it takes about 1 ms."""
        keys = (*self.sorts[sort].columns, self.id)
        wanted = self.rows.where(*(self.filters[name] for name in sorted(filters)))
        counted = wanted.with_only_columns(wanted.selected_columns[self.id]).limit(MAX_EXACT_TOTAL + 1)
        if filters & self.searched:
            found = counted.cte("found")
            total = select(func.count()).select_from(found)
            size = total.scalar_subquery()
            # LIMIT forces PostgreSQL to look each match up, and CASE forces it to walk the index.
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
        elif self.also is not None:
            also = self.also.where(*(self.filters[name] for name in sorted(filters)))
            numbers = [
                part.with_only_columns(part.selected_columns[self.id])
                .limit(MAX_EXACT_TOTAL + 1)
                .subquery()
                .select()
                for part in (wanted, also)
            ]
            counted_in_both = union_all(*numbers).limit(MAX_EXACT_TOTAL + 1).subquery("counted")
            total = select(func.count()).select_from(counted_in_both)
            parts = [
                _first(part, keys, order, after=after).limit(_limit + _offset + 1).subquery().select()
                for part in (wanted, also)
            ]
            both = union_all(*parts).subquery("both")
            in_order = select(both).order_by(*_ordered([both.c[name] for name in keys], order))
            page = in_order.limit(_limit + 1).offset(_offset).subquery("page")
            number = func.row_number().over(order_by=_ordered([page.c[name] for name in keys], order))
        else:
            total = select(func.count()).select_from(counted.subquery("counted"))
            page = _part(wanted, keys, order, after=after).subquery("page")
            number = func.row_number().over()
        row = select(
            number.label("n"),
            render(page).label("item"),
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

    def _decode(self, cursor: str, scope: str, sort: Sort) -> dict[str, Any]:
        columns = [self.rows.selected_columns[name] for name in (*sort.columns, self.id)]
        try:
            values = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))[scope]
            return {
                f"after_{i}": _parse(column.type.python_type, value)
                for i, (column, value) in enumerate(zip(columns, values, strict=True))
            }
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            message = "is not a cursor of this list and order; copy it from the Link header"
            raise InvalidInput(errors=[FieldError("cursor", message)]) from error


_limit = bindparam("limit", type_=Integer)
_offset = bindparam("offset", type_=Integer)


def _part(rows: Select[Any], keys: Sequence[str], order: Order, *, after: bool) -> Select[Any]:
    """Select the rows of a page in order, and one more, which tells whether a next page exists."""
    return _first(rows, keys, order, after=after).limit(_limit + 1).offset(_offset)


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


def search_terms(words: str) -> str:
    """Make a to_tsquery text that matches texts with a word beginning with each of `words`.

    Each word is quoted, so that its characters are not read as operators.
    """
    quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in words.split())
    return " & ".join(f"'{word}':*" for word in quoted)

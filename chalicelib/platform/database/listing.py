"""Lists that clients filter, sort and page through. One statement reads, renders and counts a page."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import product
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    CTE,
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

SAMPLE_SIZE = 250
"""How many of the newest rows are looked at before a search."""
MIN_SHARE = 0.25
"""From this share of matches in the sample, reading rows is faster than an index of words."""
SURPLUS = 1.25
"""Read so many times more rows than the sample lets expect, because its share is not exact."""

Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class Sort:
    """A sort key: the columns to compare. The id breaks ties."""

    columns: tuple[str, ...]
    order: Order = "asc"
    """The default order."""
    joined_by: Column[Any] | None = None
    """The unique key of the outer-joined table that has the columns, if it is not the table of the items."""
    parts: tuple[ColumnElement[bool], ...] = ()
    """Conditions that split the rows, so that each part can be read in the order of an index."""


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
    collects the keys of the matches, up to MAX_EXACT_TOTAL. If there are no more, it sorts them. Otherwise it
    walks the index.
    """

    rows: Select[Any]
    id: str
    sorts: Mapping[str, Sort]
    filters: Mapping[str, ColumnElement[bool]]
    searched: frozenset[str] = frozenset()
    also: Select[Any] | None = None
    """More items, from other rows of the same tables. Each part is read in the order of its own index."""
    found_by: Mapping[str, Sequence[ColumnElement[bool]]] = field(default_factory=dict)
    """Conditions that together replace a filter while the matches are collected. Each match meets exactly one
    of them, other rows meet none."""

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
            render,
            frozenset(filters),
            page.sort,
            reading,
            after=bool(start),
            skips=page.offset > 0,
            backwards=backwards,
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
        skips: bool = False,
        backwards: bool = False,
    ) -> Select[Any]:
        """Build the statement for one combination, once per process: it takes about 1 ms.

        The rows are read in `order`, and with `backwards` their page is returned in the opposite one. The
        statement also returns the keys of the first row that was read, and of the last if more rows follow.

        With `skips`, there may be an offset. The keys of the page are then read without the joins, so that
        the rows before it cost little.
        """
        by = self.sorts[sort]
        keys = (*by.columns, self.id)
        names = sorted(filters)
        wanted = self.rows.where(*(self.filters[name] for name in names))
        if filters & self.searched:
            found, counted = self._search(names, by)
            total = select(counted.c.number)
            size = total.scalar_subquery()
            few = _part([_keyed(found, by).where(size <= MAX_EXACT_TOTAL)], keys, order, after=after)
            walked = self._row_by_row({name: self.filters[name] for name in names})
            many = self.rows.where(*walked, size > MAX_EXACT_TOTAL)
            walk = _part(_split(many, by, order, skips=skips), keys, order, after=after)
            page = self._look_up(union_all(few.subquery().select(), walk.subquery().select()))
        elif self.also is not None:
            both = (wanted, self.also.where(*(self.filters[name] for name in names)))
            total = _count([part.with_only_columns(part.selected_columns[self.id]) for part in both])
            page = _part(both, keys, order, after=after, with_rows=True)
        else:
            total = _count([wanted.with_only_columns(wanted.selected_columns[self.id])])
            sources = _split(wanted, by, order, skips=skips)
            with_rows = not skips or by.joined_by is not None
            page = _part(sources, keys, order, after=after, with_rows=with_rows)
            page = page if with_rows else self._look_up(page)
        item = page.subquery("page")
        number = func.row_number().over(order_by=_ordered([item.c[name] for name in keys], order))
        row = select(
            number.label("n"),
            render(item).label("item"),
            func.json_build_array(*(item.c[name] for name in keys)).label("key"),
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

    def _search(self, filters: Sequence[str], by: Sort) -> tuple[CTE, CTE]:
        """Select the ids of the matches, with the sort keys of the same table, and their number.

        Both stop at MAX_EXACT_TOTAL + 1. If most of a sample match, counting the newest rows one by one may
        suffice and is faster than reading an index of the filters. If it does, no ids are selected.
        """
        alternatives = [self.found_by.get(name, (self.filters[name],)) for name in filters]
        parts = [self.rows.where(*conditions) for conditions in product(*alternatives)]
        numbers = []
        if len(parts) == 1:
            conditions = {name: condition for name, [condition] in zip(filters, alternatives, strict=True)}
            rows = self.rows.where(*self._row_by_row(conditions))
            sample = _number(self._newest(rows, literal_column(str(SAMPLE_SIZE)))).cte("sample")
            hits = select(sample.c.number).scalar_subquery()
            enough = cast(MAX_EXACT_TOTAL * SAMPLE_SIZE * SURPLUS / func.greatest(hits, 1), Integer)
            rows = rows.where(hits >= SAMPLE_SIZE * MIN_SHARE)
            numbers.append(_number(self._newest(rows, enough)).cte("newest"))
            uncounted = select(numbers[0].c.number).scalar_subquery() <= MAX_EXACT_TOTAL
            parts = [parts[0].where(uncounted)]
        keys = (*(() if by.joined_by is not None else by.columns), self.id)
        found = _limited([part.with_only_columns(*_columns(part, keys)) for part in parts]).cte("found")
        numbers.append(_number(select(found)).cte("listed"))
        largest = func.greatest(*(select(each.c.number).scalar_subquery() for each in numbers))
        return found, select(largest.label("number")).cte("counted")

    def _row_by_row(self, conditions: Mapping[str, ColumnElement[bool]]) -> list[ColumnElement[bool]]:
        """Hide searched conditions in CASE, so that PostgreSQL checks them for each row, without an index."""
        return [
            case((condition, true())) if name in self.searched else condition
            for name, condition in conditions.items()
        ]

    def _newest(self, rows: Select[Any], window: ColumnElement[int]) -> Select[Any]:
        """Select those of the newest rows of the table that are in `rows`, up to MAX_EXACT_TOTAL + 1.

        Select nothing if the table has fewer rows than `window`. Ids are in the order of creation, which is
        about the order on disk, so that these rows are read fast.
        """
        its_id: Any = rows.selected_columns[self.id]
        every_id = its_id.table.alias("every").c[self.id]
        oldest = select(every_id).order_by(every_id.desc()).offset(window - 1).limit(1).scalar_subquery()
        newest = rows.with_only_columns(its_id).where(its_id >= oldest).order_by(its_id.desc())
        return newest.limit(MAX_EXACT_TOTAL + 1)

    def _look_up(self, keys: Select[Any] | CompoundSelect[Any]) -> Select[Any]:
        """Select the rows of ids."""
        key = keys.subquery("key")
        # LIMIT forces PostgreSQL to look each row up, instead of reading the whole table for a join.
        row = (
            self.rows.where(self.rows.selected_columns[self.id] == key.c[self.id]).limit(1).lateral("its_row")
        )
        columns = (key.c.get(column.key, column) for column in row.c)
        return select(*columns).join_from(key, row, true())

    def _decode(self, cursor: str, scope: str, sort: Sort) -> tuple[dict[str, Any], bool]:
        """Return the key that the page starts after, and whether it goes backwards from there."""
        columns = _columns(self.rows, (*sort.columns, self.id))
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


def _columns(rows: Select[Any], names: Sequence[str]) -> list[ColumnElement[Any]]:
    return [rows.selected_columns[name] for name in names]


def _number(rows: Select[Any] | CompoundSelect[Any]) -> Select[Any]:
    return select(func.count().label("number")).select_from(rows.subquery())


def _limited(parts: Sequence[Select[Any]]) -> Select[Any] | CompoundSelect[Any]:
    """Select from each part in turn, up to MAX_EXACT_TOTAL + 1."""
    limited = [part.limit(MAX_EXACT_TOTAL + 1) for part in parts]
    if len(limited) == 1:
        return limited[0]
    return union_all(*(part.subquery().select() for part in limited)).limit(MAX_EXACT_TOTAL + 1)


def _count(parts: Sequence[Select[Any]]) -> Select[Any]:
    return _number(_limited(parts))


def _keyed(found: CTE, by: Sort) -> Select[Any]:
    """Select found ids with their sort keys."""
    if by.joined_by is None:
        return select(found)
    columns = [by.joined_by.table.c[name] for name in by.columns]
    # LIMIT forces PostgreSQL to look each key up, instead of reading the whole table for a join.
    key = select(*columns).where(by.joined_by == found.c[by.joined_by.name]).limit(1).lateral("sort_key")
    return select(*key.c, *found.c).join_from(found, key, true())


def _split(rows: Select[Any], by: Sort, order: Order, *, skips: bool) -> list[Select[Any]]:
    """Split rows into the parts of a sort, unless an offset may skip many rows of the first part."""
    if skips and order == by.order:
        return [rows]
    return [rows.where(part) for part in by.parts] or [rows]


def _part(
    sources: Sequence[Select[Any]],
    keys: Sequence[str],
    order: Order,
    *,
    after: bool,
    with_rows: bool = False,
) -> Select[Any]:
    """Select the page's keys or rows in order, and one more, which tells whether a next page exists.

    Each source is read in its order, and their beginnings are sorted.
    """
    parts = [_first(source, keys, order, after=after) for source in sources]
    if not with_rows:
        parts = [part.with_only_columns(*_columns(part, keys)) for part in parts]
    if len(parts) == 1:
        return parts[0].limit(_limit + 1).offset(_offset)
    beginnings = [part.limit(_limit + _offset + 1).subquery().select() for part in parts]
    merged = union_all(*beginnings).subquery("merged")
    in_order = select(merged).order_by(*_ordered([merged.c[name] for name in keys], order))
    return in_order.limit(_limit + 1).offset(_offset)


def _first(rows: Select[Any], keys: Sequence[str], order: Order, *, after: bool) -> Select[Any]:
    """Select rows in order, from the cursor."""
    columns = _columns(rows, keys)
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

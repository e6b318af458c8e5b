"""Compare a database with the schema that the code needs. A later release may have added more."""

import hashlib
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Index, text
from sqlalchemy.dialects import postgresql

from chalicelib.platform.database.engine import metadata

_PRESENT = text("""
    SELECT concat_ws(' ', 'column', relname, attname, format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN 'not null' END)
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass::text, conname)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND convalidated
    UNION ALL
    SELECT concat_ws(' ', 'index', indrelid::regclass::text, c.relname,
        CASE WHEN indisunique THEN 'unique' END)
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    WHERE c.relnamespace = 'public'::regnamespace AND indisvalid
    UNION ALL
    SELECT concat_ws(' ', 'routine', proname, md5(prosrc))
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
""")
"""Names, types and the texts of routines: PostgreSQL may render expressions otherwise in another version."""

_ROUTINE = re.compile(
    r"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) (\w+)\((?:(?!\bCREATE\b).)*?\bAS (\$\w*\$)(.*?)\2",
    re.DOTALL,
)
"""Routines with a text. PostgreSQL stores one that is a single RETURN in another form."""
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def missing(connection: Connection, routines: Collection[Path]) -> list[str]:
    """List the columns, constraints, indexes and routines of these files that the database lacks."""
    return sorted(_needed(tuple(routines)) - set(connection.scalars(_PRESENT)))


@cache
def _needed(routines: tuple[Path, ...]) -> frozenset[str]:
    return frozenset([*_tables(), *_routines(routines)])


def _tables() -> Iterator[str]:
    for table in metadata.tables.values():
        for column in table.columns:
            kind = column.type.compile(dialect=_DIALECT).lower()
            yield f"column {table.name} {column.name} {kind}{'' if column.nullable else ' not null'}"
        for constraint in table.constraints:
            if constraint.name is not None:
                yield f"constraint {table.name} {constraint.name}"
        yield from (_index(table.name, index) for index in table.indexes)


def _index(table: str, index: Index) -> str:
    return f"index {table} {index.name}{' unique' if index.unique else ''}"


def _routines(files: tuple[Path, ...]) -> Iterator[str]:
    for file in files:
        for name, _, body in _ROUTINE.findall(file.read_text()):
            digest = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
            yield f"routine {name} {digest}"

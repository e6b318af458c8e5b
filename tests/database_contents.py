"""Digests of a database, to compare its contents before and after."""

from chalicelib.platform.database.engine import metadata
from tests.client import Client
from tests.rows import value

_DIGEST = (
    "SELECT count(*) || ' rows, ' || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
)


def contents(client: Client) -> dict[str, str]:
    """Return a digest of the rows of each table."""
    return {table.name: value(client, _DIGEST.format(table.name)) for table in metadata.sorted_tables}


def count(client: Client, table: str) -> int:
    return int(value(client, f"SELECT count(*) FROM {table}"))  # noqa: S608 (the name of our own table)

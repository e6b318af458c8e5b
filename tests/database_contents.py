"""What a database holds, to be compared before and after."""

from chalicelib.platform.database.engine import metadata
from tests.client import Client
from tests.rows import value

_DIGEST = (
    "SELECT count(*) || ' rows, ' || md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
)


def contents(client: Client) -> dict[str, str]:
    """A digest of all rows of each table: the same before and after means that nothing was changed."""
    return {table.name: value(client, _DIGEST.format(table.name)) for table in metadata.sorted_tables}


def count(client: Client, table: str) -> int:
    return int(value(client, f"SELECT count(*) FROM {table}"))  # noqa: S608 (the name of our own table)

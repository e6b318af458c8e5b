"""Rate limits: windows of fixed length per client, account or e-mail address, counted in PostgreSQL.

docs/abuse.md says what each limit is for. A window starts with its first hit. One statement checks several
limits. A check that refuses is rolled back with its transaction, so a refused request uses up no limit.

Rows are locked in the order of their keys, and after all other rows of a transaction.
"""

import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Column, Connection, Index, Integer, Table, Uuid, delete, text

from chalicelib.platform.database.columns import SystemTime
from chalicelib.platform.database.engine import Database, metadata
from chalicelib.platform.errors import TooManyRequests
from chalicelib.platform.observability import metrics
from chalicelib.platform.settings import Quota, Settings

IPV6_PREFIX = 64
"""Bits of an IPv6 address that name one client: a subscriber usually gets a whole /64."""

throttles = Table(
    "throttles",
    metadata,
    Column("key", Uuid, primary_key=True),
    Column("hits", Integer, nullable=False),
    Column("expires_at", SystemTime(), nullable=False),
    Index(None, "expires_at"),
    prefixes=["UNLOGGED"],
)
"""Hits of a subject on a limit in the current window. The key is a keyed hash of both, so that no address is
stored. The table is unlogged: a crash of the database empties it."""


class Charge(NamedTuple):
    """Hits of one subject on one limit."""

    limit: str
    """The limit's name in `Settings`."""
    subject: str
    """A client, an account, an e-mail address, or a combination."""
    hits: int = 1


class Usage(NamedTuple):
    """A limit and how much of it a subject has used."""

    limit: str
    quota: Quota
    hits: int
    reset_seconds: int
    """Seconds until the window ends."""

    @property
    def remaining(self) -> int:
        return max(self.quota.hits - self.hits, 0)

    @property
    def is_exceeded(self) -> bool:
        return self.hits > self.quota.hits


_CHARGED = """
    unnest(CAST(:keys AS uuid[]), CAST(:hits AS integer[]), CAST(:ends AS timestamptz[]))
    AS charged (key, hits, expires_at)
"""

_COUNT = text(f"""
    INSERT INTO throttles (key, hits, expires_at)
    SELECT key, hits, expires_at FROM {_CHARGED} ORDER BY key
    ON CONFLICT (key) DO UPDATE SET
        hits = excluded.hits + CASE WHEN throttles.expires_at > :now THEN throttles.hits ELSE 0 END,
        expires_at = CASE
            WHEN throttles.expires_at > :now THEN throttles.expires_at ELSE excluded.expires_at
        END
    RETURNING key, hits, expires_at
""")  # noqa: S608 (constants only)

_GIVE_BACK = text(f"""
    WITH current AS (
        SELECT throttles.key, charged.hits
        FROM throttles JOIN {_CHARGED} ON charged.key = throttles.key
        WHERE throttles.expires_at > :now
        ORDER BY throttles.key
        FOR UPDATE OF throttles
    )
    UPDATE throttles SET hits = greatest(throttles.hits - current.hits, 0)
    FROM current WHERE current.key = throttles.key
""")  # noqa: S608 (constants only)


@dataclass(frozen=True)
class Throttle:
    """Counts hits against the limits of a deployment."""

    settings: Settings

    def check(self, connection: Connection, charges: Sequence[Charge], now: datetime) -> list[Usage]:
        """Count charges, unless limits are off. If a limit is exceeded, the caller has to roll back."""
        if not self.settings.rate_limits:
            return []
        return self.count(connection, {charge: self._quota(charge) for charge in charges}, now)

    def give_back(self, connection: Connection, charges: Sequence[Charge], now: datetime) -> None:
        """Undo charges, for example those of a login that did not fail."""
        if self.settings.rate_limits:
            values = self._values({charge: self._quota(charge) for charge in charges}, now)
            connection.execute(_GIVE_BACK, values)

    def count(self, connection: Connection, quotas: Mapping[Charge, Quota], now: datetime) -> list[Usage]:
        """Count charges against quotas that are not settings, also if limits are off."""
        charged = {self.key(charge): charge for charge in quotas}
        rows = connection.execute(_COUNT, self._values(quotas, now))
        found = [(charged[row.key], row) for row in rows]
        return [
            Usage(
                charge.limit,
                quotas[charge],
                row.hits,
                max(ceil((row.expires_at - now).total_seconds()), 1),
            )
            for charge, row in found
        ]

    def forget(self, connection: Connection, charge: Charge) -> None:
        """Delete all hits of a subject on a limit."""
        connection.execute(delete(throttles).where(throttles.c.key == self.key(charge)))

    def key(self, charge: Charge) -> UUID:
        message = f"throttle\n{charge.limit}\n{charge.subject}".encode()
        return UUID(bytes=hmac.digest(self.settings.link_key, message, "sha256")[:16])

    def _quota(self, charge: Charge) -> Quota:
        quota: Quota = getattr(self.settings, charge.limit)
        return quota

    def _values(self, quotas: Mapping[Charge, Quota], now: datetime) -> dict[str, object]:
        return {
            "keys": [self.key(charge) for charge in quotas],
            "hits": [charge.hits for charge in quotas],
            "ends": [now + timedelta(seconds=quota.seconds) for quota in quotas.values()],
            "now": now,
        }


def refuse_exceeded(usages: Sequence[Usage]) -> None:
    """Refuse the request if it exceeds a limit.

    Raises:
        TooManyRequests: With the seconds until all exceeded windows end.
    """
    exceeded = [usage for usage in usages if usage.is_exceeded]
    for usage in exceeded:
        metrics.put("RateLimited", 1, "Count", limit=usage.limit)
    if exceeded:
        raise TooManyRequests(retry_after=max(usage.reset_seconds for usage in exceeded))


def headers(usages: Sequence[Usage]) -> dict[str, str]:
    """Describe limits to the client (draft-ietf-httpapi-ratelimit-headers)."""
    if not usages:
        return {}
    policies = (f'"{_name(usage)}";q={usage.quota.hits};w={usage.quota.seconds}' for usage in usages)
    states = (f'"{_name(usage)}";r={usage.remaining};t={usage.reset_seconds}' for usage in usages)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}


def _name(usage: Usage) -> str:
    return usage.limit.replace("_", "-")


def client_of(address: str) -> str:
    """Return the part of an IP address that names one client."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), IPV6_PREFIX), strict=False))
    return str(parsed)


def mailbox_of(email: str) -> str:
    """Return the mailbox of an e-mail address: without case, and without a subaddress (RFC 5233)."""
    local, at, domain = email.strip().lower().rpartition("@")
    return re.sub(r"(?<=.)\+.*", "", local) + at + domain


def purge(database: Database, now: datetime) -> int:
    """Delete windows that are over, and return how many."""
    return database.purge(throttles.c.expires_at, now)

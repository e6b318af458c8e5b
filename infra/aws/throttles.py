"""API Gateway's throttles: shares of the CPU of a stage's database, at the measured cost of a request.

API Gateway counts each method of a path separately, so a throttle of several methods admits several times its
rate.
"""

from dataclasses import dataclass

from infra.aws.function_table import API, TABLE

MAX_SHARE = 0.70
"""Share of the database's CPU that requests may use. The rest is for functions on queues and schedules."""


@dataclass(frozen=True)
class Server:
    """The database of a stage."""

    instance_class: str
    cores: float
    """Cores that requests may count on."""
    connections: int
    """Connections that the server accepts from functions or from the proxy."""


# A db.t4g.micro has two cores in bursts, and one GB of memory: half of its CPU is counted.
SERVERS = {
    "lean": Server("db.t4g.micro", cores=1, connections=75),
    "dev": Server("db.t4g.micro", cores=1, connections=75),
    "prod": Server("db.m7g.large", cores=2, connections=850),
}


@dataclass(frozen=True, kw_only=True)
class Throttle:
    """The throttle of one class of requests."""

    name: str
    """Prefix of its stage values."""
    methods: tuple[tuple[str, str], ...]
    """Methods and paths, each of which has this rate."""
    concurrent_methods: int
    """How many of them are assumed to reach it at the same time."""
    database_ms: float
    """CPU of the database per request, as in docs/performance.md."""
    share: float
    """Share of the database's CPU for all its methods together."""
    max_per_second: int | None = None
    """Limit of another service."""
    function: str = API

    def per_second(self, stage: str) -> int:
        budget_ms = 1000 * SERVERS[stage].cores * self.share
        rate = max(1, int(budget_ms / (self.database_ms * self.concurrent_methods)))
        return rate if self.max_per_second is None else min(rate, self.max_per_second)

    def burst(self, stage: str) -> int:
        """Return how many requests may come at once: those of a second, if the function can serve them."""
        return min(self.per_second(stage), _concurrency(self.function, stage))

    def used_share(self, stage: str) -> float:
        """Return the share of the database's CPU that the admitted requests need."""
        used_ms = self.per_second(stage) * self.concurrent_methods * self.database_ms
        return used_ms / (1000 * SERVERS[stage].cores)


def _concurrency(name: str, stage: str) -> int:
    (function,) = (function for function in TABLE if function.name == name)
    return function.lean_concurrency if stage == "lean" else function.concurrency


_STRIPE_WRITES_PER_SECOND = 100
"""Stripe's limit with a live key. In a sandbox it is 25."""

THROTTLES = (
    Throttle(
        name="Bookings",
        methods=(("POST", "/bookings"),),
        concurrent_methods=1,
        database_ms=1.6,  # with a price and its payment; a free booking costs a fifth of it
        share=0.28,
    ),
    Throttle(
        name="Payments",
        methods=(("POST", "/bookings/{bookingId}/payment"),),
        concurrent_methods=1,
        database_ms=1.3,
        share=0.04,
        max_per_second=_STRIPE_WRITES_PER_SECOND,
    ),
    Throttle(
        name="Webhooks",
        methods=(("POST", "/webhooks/stripe"),),
        concurrent_methods=1,
        database_ms=0.95,
        share=0.10,
        function="confirm_payments",
    ),
    Throttle(
        name="EventReads",
        methods=(("GET", "/events/{eventId}"),),
        concurrent_methods=1,
        database_ms=0.9,
        share=0.08,
    ),
    Throttle(
        name="EventLists",
        methods=(("GET", "/events"),),
        concurrent_methods=1,
        database_ms=2.4,
        share=0.06,
    ),
    Throttle(
        name="Scans",
        methods=(("POST", "/events/{eventId}/check-ins"),),
        concurrent_methods=1,
        database_ms=0.3,
        share=0.04,
    ),
    Throttle(
        name="Logins",
        methods=(("POST", "/auth/login"), ("POST", "/auth/register")),
        concurrent_methods=2,
        database_ms=1.7,
        share=0.03,
    ),
    Throttle(
        name="Others",
        methods=(("*", "/*"),),
        # About 80 methods, most of which are rarely called.
        concurrent_methods=5,
        database_ms=2.2,
        share=0.07,
    ),
)
"""Separate throttles: readers cannot block bookings, bookings cannot block payments, and nothing can block
Stripe's webhooks."""

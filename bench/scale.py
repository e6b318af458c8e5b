"""Scales: a full measurement, and a quick one that only shows that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scale:
    quick: bool
    runs: int
    seconds: float
    """Of a run, without the warm-up."""
    warm_up: float
    """Seconds in which connections and plans are made; not counted."""
    pgbench_limit: str
    clients: tuple[int, ...]
    """Clients of pgbench, and processes of the app."""
    people: int
    """Accounts that can book, each event at most once."""
    rows: int
    """Rows of a long table. Smaller sizes are a tenth, a hundredth or a thousandth of it."""
    requests: int
    """Requests of one kind in a run, one after another."""

    @property
    def some(self) -> int:
        """The number of clients at which the app is compared with its references."""
        return self.clients[1]


FULL = Scale(
    quick=False,
    runs=5,
    seconds=2.0,
    warm_up=0.4,
    pgbench_limit="--time=3",
    clients=(1, 8, 32, 64),
    people=500_000,
    rows=1_000_000,
    requests=100,
)
QUICK = Scale(
    quick=True,
    runs=1,
    seconds=0.1,
    warm_up=0.0,
    pgbench_limit="--transactions=20",
    clients=(1, 2, 3),
    people=4000,
    rows=3000,
    requests=2,
)

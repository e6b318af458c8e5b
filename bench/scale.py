"""Scales: how much is measured, in full, or just enough to see that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scale:
    runs: int
    seconds: float
    """Of one run."""
    warm_up: float
    """Seconds before it that do not count: connections and plans are made in them."""
    clients: tuple[int, ...]
    """Of pgbench. The first is one; the second is compared with as many processes of the app."""
    crowd: int
    """Clients of the questions that are asked in SQL at one number of clients."""
    most_processes: int
    people: int
    cold_events: int
    """Over which bookings are spread where no event is hot."""
    old_bookings: int
    events: tuple[int, int]
    """In the short list and in the long one."""
    deep_page: int
    bookings_of_attendee: int
    bookings_of_host: int
    requests: int
    """Of each kind in a run, where they are made one after the other."""
    followers: tuple[int, int]
    crashes: int
    booked_before_crash: int
    """Bookings that are answered before the server is killed."""

    @property
    def processes(self) -> tuple[int, int, int]:
        return 1, self.clients[1], self.most_processes


FULL = Scale(
    runs=5,
    seconds=2.0,
    warm_up=0.4,
    clients=(1, 8, 32, 64),
    crowd=32,
    most_processes=64,
    people=320_000,
    cold_events=1000,
    old_bookings=1_000_000,
    events=(1000, 1_000_000),
    deep_page=1000,
    bookings_of_attendee=1000,
    bookings_of_host=100_000,
    requests=100,
    followers=(1000, 100_000),
    crashes=20,
    booked_before_crash=300,
)

QUICK = Scale(
    runs=1,
    seconds=0.2,
    warm_up=0.1,
    clients=(1, 2, 3, 4),
    crowd=3,
    most_processes=3,
    people=6000,
    cold_events=20,
    old_bookings=2000,
    events=(500, 1000),
    deep_page=3,
    bookings_of_attendee=30,
    bookings_of_host=200,
    requests=3,
    followers=(200, 2200),
    crashes=1,
    booked_before_crash=100,
)

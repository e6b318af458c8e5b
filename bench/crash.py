"""Crashes the server amidst bookings, again and again, and counts what of the answered ones is lost."""

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

from bench.figures import Figure, at_least, at_most
from bench.scale import Scale
from chalicelib.migrations import upgrade
from infra.local import postgres
from infra.local.postgres import Options, Postgres
from tests.bookings.crashes import DATABASE, DURABLE, book_until_the_crash, client_of, present
from tests.bookings.procedure import replace_procedure, without_guard
from tests.client import Client
from tests.rows import rows

EVENTS = 3
CAPACITY = 1_000_000
CONTROLS = 3
"""Crashes without the flush, of which the first may chance to come when all is on disk."""
GONE_WITHIN = 30.0
"""Seconds."""

Place = tuple[UUID, UUID]


def measure(scale: Scale) -> list[Figure]:
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # it tells of each lost connection
    answered, lost = _crash_again_and_again(scale, scale.crashes)
    _, lost_without = _crash_again_and_again(scale, CONTROLS, "flush")
    return [
        Figure(name="Crashes", unit="", runs=(scale.crashes,)),
        Figure(name="Bookings answered before them", unit="", runs=(answered,)),
        Figure(name="Of these lost", unit="", runs=(lost,), target=at_most(0)),
        Figure(
            name=f"Lost in {CONTROLS} crashes without the flush before the answer",
            unit="",
            runs=(lost_without,),
            target=at_least(1),
        ),
    ]


def _crash_again_and_again(scale: Scale, crashes: int, *guards: str) -> tuple[int, int]:
    """Return how many bookings were answered, and how many of them are not there."""
    told: set[Place] = set()
    lost: set[Place] = set()
    with _folder() as data:
        event_ids: Sequence[UUID] = ()
        for _ in range(crashes):
            with _server(data) as server:
                if not event_ids:
                    postgres.create_database(server, DATABASE)
                    upgrade(server.url(DATABASE))
                with client_of(server) as client:
                    event_ids = event_ids or _prepare(client, *guards)
                    lost |= told - present(client)
                    rows(client, "CHECKPOINT")
                    told |= book_until_the_crash(server, client, event_ids, scale.booked_before_crash)
        with _server(data) as server, client_of(server) as client:
            lost |= told - present(client)
    return len(told), len(lost)


def _prepare(client: Client, *guards: str) -> list[UUID]:
    replace_procedure(client.wiring.database, without_guard(*guards))
    host = client.host()
    return [UUID(client.event(host, capacity=CAPACITY)["eventId"]) for _ in range(EVENTS)]


def _server(data: Path) -> Postgres:
    """Start the server anew; on a busy machine those that were killed take a while to be gone."""
    deadline = time.monotonic() + GONE_WITHIN
    while True:
        try:
            return postgres.start(Options(data, settings=DURABLE), say=lambda _: None)
        except postgres.CannotStart as error:
            if "is still in use" not in str(error) or time.monotonic() > deadline:
                raise


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="event-booking-crash-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that stands in for root has to come through
        yield folder / "data"

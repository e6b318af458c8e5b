"""Measures what it costs to tell each follower of a new event, be they few or many."""

import time
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from bench import ground
from bench.figures import Figure, at_most, ratios
from bench.scale import Scale
from chalicelib.notifications.fan_out import fan_out
from chalicelib.platform import ids
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.wiring import Wiring, using

_FOLLOW = """
INSERT INTO follows (host_id, user_id, followed_at)
SELECT '{host}', user_id, now() FROM (SELECT user_id FROM users WHERE role = 'attendee' LIMIT {followers})
"""


class Sink:
    """Queues that let e-mails go, and keep the one message that says where to go on."""

    def __init__(self) -> None:
        self.emails = 0
        self.next: dict[str, Any] | None = None

    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        if queue == queues.EMAIL.name:
            self.emails += sum(len(message["people"]) for message in messages)
        else:
            [self.next] = messages

    def take(self) -> dict[str, Any] | None:
        taken, self.next = self.next, None
        return taken


def measure(scale: Scale) -> list[Figure]:
    few, many = scale.followers
    with ground.server() as server:
        urls = {size: ground.peopled(server, f"of_{size}", many, events=1) for size in scale.followers}
        for size, url in urls.items():
            follow = _FOLLOW.format(host=ground.HOST, followers=size)
            ground.run(url, ground.FILLING + follow)
            ground.settle(url)
        seconds: dict[int, list[float]] = {few: [], many: []}
        for _ in range(scale.runs):
            for size, url in urls.items():
                seconds[size].append(_tell(url, size))
        memory = _memory(urls[many])
    each = {size: tuple(took / size * 1e6 for took in runs) for size, runs in seconds.items()}
    return [
        *(Figure(name=f"A follower told, of {size}", unit="µs", runs=costs) for size, costs in each.items()),
        Figure(
            name=f"A follower told, of {many} to of {few}",
            unit="times",
            runs=ratios(each[many], each[few]),
            target=at_most(1.2),
        ),
        Figure(
            name=f"Memory at its peak, the last half of {many} followers to the first",
            unit="times",
            runs=(memory,),
            target=at_most(1.2),
        ),
    ]


def _tell(url: str, followers: int) -> float:
    """Tell all followers as the queue's function does, message by message; return the seconds it took."""
    ground.run(url, "TRUNCATE notifications CASCADE")
    with using(Wiring(ground.settings(url))) as wiring:
        wiring.database.call("SELECT 1")
        began = time.perf_counter()
        emails = sum(_spread(wiring.database))
        took = time.perf_counter() - began
    assert emails == followers
    assert ground.value(url, "SELECT count(*) FROM notifications") == followers
    return took


def _spread(database: Database) -> Iterator[int]:
    """Handle one message after the other; give the number of e-mails queued by each."""
    now = datetime.now(UTC)
    domain_event = DomainEvent(
        domain_event_id=ids.new(now),
        type="event-published",
        version=1,
        subject=UUID(ground.event(0)),
        time=now,
        body={"eventId": ground.event(0), "hostId": ground.HOST},
    )
    sink = Sink()
    message: dict[str, Any] | None = domain_event.as_message()
    while message is not None:
        before = sink.emails
        fan_out(database, sink, queues.FOLLOW_NOTIFICATIONS.name, message, now)
        yield sink.emails - before
        message = sink.take()


def _memory(url: str) -> float:
    """How much more memory Python has in use, at most, in the last half of the messages than in the first."""
    ground.run(url, "TRUNCATE notifications CASCADE")
    peaks: list[int] = []
    with using(Wiring(ground.settings(url))) as wiring:
        sum(_spread(wiring.database))  # the statement and the connection are made
        tracemalloc.start()
        try:
            for _ in _spread(wiring.database):
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
        finally:
            tracemalloc.stop()
    middle = len(peaks) // 2
    return max(peaks[middle:]) / max(peaks[:middle])

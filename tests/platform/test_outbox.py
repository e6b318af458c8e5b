"""The relay publishes every domain event, in order per subject, whatever fails."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import text

from chalicelib.platform import ids
from chalicelib.platform.messaging import outbox
from chalicelib.platform.messaging.bodies import DomainEventBody
from chalicelib.platform.messaging.outbox import LEASE, leases
from chalicelib.wiring import Wiring
from tests.fakes import FakePublisher


@dataclass(frozen=True, kw_only=True)
class Counted(DomainEventBody, name="counted"):
    number: int


def write(wiring: Wiring, count: int, subject: UUID | None = None) -> None:
    now = datetime.now(UTC)
    with wiring.database.transaction() as connection:
        for number in range(count):
            event = Counted(number=number)
            outbox.record(connection, event, subject=subject or uuid4(), now=now)


def run(wiring: Wiring, publisher: FakePublisher, rounds: int) -> int:
    left = iter(range(rounds))
    return outbox.relay(wiring.database, publisher, go_on=lambda: next(left, None) is not None, pause=0)


def waiting(wiring: Wiring) -> int:
    with wiring.database.transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM outbox")).scalar_one())


def test_domain_events_are_published_once_and_deleted(wiring: Wiring) -> None:
    publisher = FakePublisher()
    write(wiring, 2 * outbox.BATCH_SIZE + 1)

    assert run(wiring, publisher, rounds=3) == 2 * outbox.BATCH_SIZE + 1
    published = {domain_event.domain_event_id for domain_event in publisher.published}
    assert len(published) == 2 * outbox.BATCH_SIZE + 1
    assert waiting(wiring) == 0


def test_domain_events_wait_while_the_topic_is_unreachable(wiring: Wiring) -> None:
    publisher = FakePublisher()
    publisher.reachable = False
    write(wiring, 3)

    assert run(wiring, publisher, rounds=1) == 0
    assert waiting(wiring) == 3

    publisher.reachable = True
    assert run(wiring, publisher, rounds=1) == 3
    assert waiting(wiring) == 0


def test_a_refused_domain_event_keeps_its_place_in_the_order(wiring: Wiring) -> None:
    publisher, subject = FakePublisher(), uuid4()
    write(wiring, 4, subject)
    write(wiring, 1)
    with wiring.database.transaction() as connection:
        second = connection.execute(
            text("SELECT domain_event_id FROM outbox WHERE position = 2")
        ).scalar_one()
    publisher.refused_once = {second}

    run(wiring, publisher, rounds=2)

    last_seen = {
        domain_event.body["number"]: at
        for at, domain_event in enumerate(publisher.published)
        if domain_event.subject == subject
    }
    assert sorted(last_seen, key=last_seen.__getitem__) == [0, 1, 2, 3]
    assert waiting(wiring) == 0


def test_a_second_relay_waits_for_the_lease(wiring: Wiring) -> None:
    publisher = FakePublisher()
    write(wiring, 1)
    now = datetime.now(UTC)
    with wiring.database.transaction() as connection:
        connection.execute(leases.insert().values(name="relay", holder=ids.new(now), held_until=now + LEASE))

    assert run(wiring, publisher, rounds=1) == 0
    assert publisher.published == []


def test_the_lease_of_a_dead_relay_expires(wiring: Wiring) -> None:
    publisher = FakePublisher()
    write(wiring, 1)
    now = datetime.now(UTC)
    with wiring.database.transaction() as connection:
        connection.execute(leases.insert().values(name="relay", holder=ids.new(now), held_until=now - LEASE))

    assert run(wiring, publisher, rounds=1) == 1


def test_a_relay_releases_its_lease(wiring: Wiring) -> None:
    run(wiring, FakePublisher(), rounds=1)
    write(wiring, 1)

    assert run(wiring, FakePublisher(), rounds=1) == 1

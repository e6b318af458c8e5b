"""The relay: every domain event is published, in order per subject, whatever fails."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import text

from chalicelib.platform import ids
from chalicelib.platform.messaging import outbox
from chalicelib.platform.messaging.outbox import LEASE, leases
from chalicelib.wiring import Wiring
from tests.fakes import FakePublisher


def write(wiring: Wiring, count: int, subject: UUID | None = None) -> None:
    now = datetime.now(UTC)
    with wiring.database.transaction() as connection:
        for number in range(count):
            outbox.record(connection, "event-published", subject or uuid4(), {"number": number}, now)


def run(wiring: Wiring, publisher: FakePublisher, rounds: int) -> int:
    left = iter(range(rounds))
    return outbox.relay(wiring.database, publisher, go_on=lambda: next(left, None) is not None, pause=0)


def waiting(wiring: Wiring) -> int:
    with wiring.database.transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM outbox")).scalar_one())


def test_all_facts_are_published_once_and_leave_the_outbox(wiring: Wiring) -> None:
    publisher = FakePublisher()
    write(wiring, 2 * outbox.BATCH_SIZE + 1)

    assert run(wiring, publisher, rounds=3) == 2 * outbox.BATCH_SIZE + 1
    assert (
        len({domain_event.domain_event_id for domain_event in publisher.published})
        == 2 * outbox.BATCH_SIZE + 1
    )
    assert waiting(wiring) == 0


def test_facts_wait_while_the_topic_is_out_of_reach(wiring: Wiring) -> None:
    publisher = FakePublisher()
    publisher.reachable = False
    write(wiring, 3)

    assert run(wiring, publisher, rounds=1) == 0
    assert waiting(wiring) == 3

    publisher.reachable = True
    assert run(wiring, publisher, rounds=1) == 3
    assert waiting(wiring) == 0


def test_a_refused_fact_is_published_again_before_later_ones_of_its_subject(wiring: Wiring) -> None:
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


def test_a_second_relay_leaves_the_work_to_the_first(wiring: Wiring) -> None:
    publisher = FakePublisher()
    write(wiring, 1)
    now = datetime.now(UTC)
    with wiring.database.transaction() as connection:
        connection.execute(leases.insert().values(name="relay", holder=ids.new(now), held_until=now + LEASE))

    assert run(wiring, publisher, rounds=1) == 0
    assert publisher.published == []


def test_the_lease_of_a_relay_that_died_runs_out(wiring: Wiring) -> None:
    publisher = FakePublisher()
    write(wiring, 1)
    now = datetime.now(UTC)
    with wiring.database.transaction() as connection:
        connection.execute(leases.insert().values(name="relay", holder=ids.new(now), held_until=now - LEASE))

    assert run(wiring, publisher, rounds=1) == 1


def test_a_relay_that_ends_leaves_the_lease_to_the_next(wiring: Wiring) -> None:
    run(wiring, FakePublisher(), rounds=1)
    write(wiring, 1)

    assert run(wiring, FakePublisher(), rounds=1) == 1

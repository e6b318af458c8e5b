"""The relay publishes every domain event, in order per subject, whatever fails."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from chalicelib.platform import ids
from chalicelib.platform.clock import Clock
from chalicelib.platform.messaging import outbox
from chalicelib.platform.messaging.bodies import DomainEventBody, Lane
from chalicelib.platform.messaging.outbox import IDLE_AFTER, LEASE, leases
from chalicelib.platform.observability import logs
from chalicelib.platform.polling import NextDue
from chalicelib.wiring import Wiring
from tests.fakes import FakePublisher


@dataclass(frozen=True, kw_only=True)
class Counted(DomainEventBody, name="counted"):
    number: int


@dataclass(frozen=True, kw_only=True)
class AboutEvent(Counted, name="about-event"):
    lane: ClassVar[Lane] = Lane.EVENTS


@dataclass(frozen=True, kw_only=True)
class AboutAccount(Counted, name="about-account"):
    lane: ClassVar[Lane] = Lane.ACCOUNT_EMAILS


def write(
    wiring: Wiring, count: int, subject: UUID | None = None, kind: type[Counted] = Counted, first: int = 0
) -> None:
    now = datetime.now(UTC)
    with wiring.database.transaction() as connection:
        for number in range(first, first + count):
            event = kind(number=number)
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


def rounds_of(wiring: Wiring, *, at: datetime, next_due: NextDue = lambda _: None) -> int:
    """Return how many rounds a relay makes, up to 5."""
    rounds = 0

    def go_on() -> bool:
        nonlocal rounds
        rounds += 1
        return rounds <= 5

    clock = Clock(now=lambda: at, sleep=lambda _: None)
    outbox.relay(wiring.database, FakePublisher(), go_on, next_due=next_due, clock=clock)
    return min(rounds, 5)


def test_a_relay_without_work_ends_after_one_round(wiring: Wiring) -> None:
    now = datetime.now(UTC)
    assert rounds_of(wiring, at=now) == 1
    assert rounds_of(wiring, at=now, next_due=lambda _: now) == 5


def test_a_relay_goes_on_for_a_while_after_a_domain_event(wiring: Wiring) -> None:
    now = datetime.now(UTC)
    write(wiring, 1)

    assert [rounds_of(wiring, at=now + after) for after in (timedelta(0), IDLE_AFTER / 2)] == [5, 5]
    assert rounds_of(wiring, at=now + IDLE_AFTER) == 1


def test_a_relay_waits_for_the_end_of_another(wiring: Wiring) -> None:
    now = datetime.now(UTC)
    with wiring.database.transaction() as connection:
        connection.execute(leases.insert().values(name="relay", holder=ids.new(now), held_until=now + LEASE))

    assert rounds_of(wiring, at=now) == 5


def types(publisher: FakePublisher) -> list[str]:
    """The published types, without repetitions in a row."""
    return [kind for kind, _ in groupby(domain_event.type for domain_event in publisher.published)]


def test_bookings_are_published_before_events_before_account_emails(wiring: Wiring) -> None:
    publisher = FakePublisher()
    write(wiring, outbox.BATCH_SIZE, kind=AboutAccount)
    write(wiring, outbox.BATCH_SIZE, kind=AboutEvent)
    write(wiring, outbox.BATCH_SIZE, kind=Counted)

    assert run(wiring, publisher, rounds=3) == 3 * outbox.BATCH_SIZE
    assert types(publisher) == ["counted", "about-event", "about-account"]
    assert waiting(wiring) == 0


def test_a_booking_overtakes_any_number_of_account_emails(wiring: Wiring) -> None:
    publisher = FakePublisher()
    write(wiring, 5 * outbox.BATCH_SIZE, kind=AboutAccount)
    run(wiring, publisher, rounds=1)
    write(wiring, 1)
    publisher.published.clear()

    run(wiring, publisher, rounds=1)

    assert "counted" in types(publisher)


def test_the_order_within_a_subject_holds_across_lanes(wiring: Wiring) -> None:
    publisher, subject = FakePublisher(), uuid4()
    write(wiring, outbox.BATCH_SIZE, kind=AboutEvent)
    write(wiring, 1, subject, AboutEvent, first=1)
    write(wiring, 1, subject, Counted, first=2)
    write(wiring, 1, subject, AboutEvent, first=3)
    write(wiring, outbox.BATCH_SIZE)

    run(wiring, publisher, rounds=1)
    first_round = [one.body["number"] for one in publisher.published if one.subject == subject]
    run(wiring, publisher, rounds=3)

    assert first_round == [1, 2]
    assert [one.body["number"] for one in publisher.published if one.subject == subject] == [1, 2, 3]
    assert waiting(wiring) == 0


def test_an_account_email_waits_once_per_address_and_purpose(wiring: Wiring) -> None:
    publisher, subject = FakePublisher(), uuid4()
    write(wiring, 3, subject, AboutAccount)
    write(wiring, 1, kind=AboutAccount)
    assert waiting(wiring) == 2

    run(wiring, publisher, rounds=1)
    write(wiring, 1, subject, AboutAccount)
    assert waiting(wiring) == 1


def test_the_age_of_the_outbox_counts_every_lane(wiring: Wiring, capsys: pytest.CaptureFixture[str]) -> None:
    """Account e-mails that are never reached show in the metric of their lane only."""
    logs.set_up()
    write(wiring, 1, kind=AboutAccount)
    with wiring.database.transaction() as connection:
        connection.execute(text("UPDATE outbox SET occurred_at = occurred_at - interval '1 hour'"))
    write(wiring, outbox.BATCH_SIZE)

    run(wiring, FakePublisher(), rounds=1)

    lines = map(json.loads, capsys.readouterr().out.splitlines())
    [ages] = [line for line in lines if "OutboxAgeBookings" in line]
    assert ages["OutboxAgeAccountEmails"] > 3000
    assert 0 <= ages["OutboxAgeBookings"] < 60
    assert ages["OutboxAgeEvents"] == 0

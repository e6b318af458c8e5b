"""Operations: what a person does to the running service, and the log of it."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest

import app
from chalicelib import operations
from chalicelib.domain_events import EmailVerificationRequested
from chalicelib.notifications import bounces
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging import outbox, poison, queues
from chalicelib.platform.observability import logs
from chalicelib.wiring import Wiring, using
from infra.local.lambda_runner import Context
from tests.client import Client
from tests.fakes import FakePublisher, FakeQueues
from tests.rows import rows, value

ADDRESS = "ada@example.com"
NOW = datetime(2027, 5, 1, tzinfo=UTC)


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def fake_queues() -> FakeQueues:
    return FakeQueues()


@pytest.fixture
def wiring(wiring: Wiring, publisher: FakePublisher, fake_queues: FakeQueues) -> Iterator[Wiring]:
    with using(Wiring(wiring.settings, publisher=publisher, queues=fake_queues)) as with_fakes:
        yield with_fakes


@pytest.fixture
def log() -> Iterator[StringIO]:
    output = StringIO()
    logs.set_up(output)
    yield output
    logs.set_up()


def operate(name: str, *, dry_run: bool = False, **arguments: Any) -> Any:
    """Run an operation as Lambda does."""
    request = {
        "operation": name,
        "arguments": arguments,
        "who": "ana",
        "why": f"{ADDRESS} has asked",
        "dryRun": dry_run,
    }
    response = app.operate(request, Context("operate", 300, threading.Event()))
    return response.get("result", response)


def lines(log: StringIO) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, log.getvalue().splitlines()) if line["message"] == "operation"]


def suppress(wiring: Wiring) -> None:
    report = {
        "notificationType": "Complaint",
        "complaint": {"complainedRecipients": [{"emailAddress": ADDRESS}]},
    }
    with wiring.database.transaction() as connection:
        bounces.apply_report(connection, report, NOW)


def record(wiring: Wiring, count: int = 1) -> list[UUID]:
    """Record domain events about one address. Return their ids."""
    with wiring.database.transaction() as connection:
        for _ in range(count):
            event = EmailVerificationRequested(email=ADDRESS)
            outbox.record(connection, event, subject=uuid4(), now=NOW)
        return list(
            connection.scalars(
                outbox.outbox.select()
                .order_by(outbox.outbox.c.position)
                .with_only_columns(outbox.outbox.c.domain_event_id)
            )
        )


def relay(wiring: Wiring, publisher: FakePublisher) -> list[UUID]:
    left = iter(range(2))
    outbox.relay(wiring.database, publisher, go_on=lambda: next(left, None) is not None, pause=0)
    return [published.domain_event_id for published in publisher.published]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"operation": "drop-tables"}, "no such operation"),
        ({"operation": None}, "no such operation"),
        ({"arguments": {}}, "the arguments must be: address"),
        ({"arguments": {"address": ADDRESS, "force": "yes"}}, "the arguments must be: address"),
        ({"arguments": {"address": 1}}, "address must be a text"),
        ({"arguments": ["address"]}, "the arguments must be: address"),
        (
            {"operation": "settle-flag", "arguments": {"bookingId": "1", "flag": "x"}},
            "bookingId must be a UUID",
        ),
        (
            {"operation": "redrive", "arguments": {"queue": "letters"}},
            "queue must be one of follow-notifications",
        ),
        ({"who": ""}, "say who"),
        ({"why": None}, "say why"),
        ({"who": ADDRESS}, "who must be a name"),
    ],
)
def test_a_wrong_request_is_refused_with_what_exists(
    wiring: Wiring, log: StringIO, changed: dict[str, Any], error: str
) -> None:
    suppress(wiring)
    request = {
        "operation": "lift-suppression",
        "arguments": {"address": ADDRESS},
        "who": "ana",
        "why": "asked",
    }

    response = operations.run(wiring, request | changed, keep_going=lambda: True)

    assert response["error"].startswith(error)
    assert response["operations"]["settle-flag"] == {
        "arguments": ["bookingId", "flag"],
        "does": "Clear the flag of a payment.",
    }
    [line] = lines(log)
    assert line["outcome"].startswith("refused: ")
    assert ADDRESS not in log.getvalue()
    with wiring.database.transaction() as connection:
        assert bounces.lift(connection, ADDRESS)


def test_a_run_is_one_log_line_without_addresses(wiring: Wiring, log: StringIO) -> None:
    suppress(wiring)

    assert operate("lift-suppression", dry_run=True, address=ADDRESS) == "would be done"
    assert operate("lift-suppression", address=ADDRESS) == "done"
    assert operate("lift-suppression", address=ADDRESS)["error"] == "the address is not suppressed"

    assert [(line["dryRun"], line["outcome"]) for line in lines(log)] == [
        (True, "dry run"),
        (False, "done"),
        (False, "refused: the address is not suppressed"),
    ]
    line = lines(log)[1]
    assert (line["operation"], line["who"], line["why"]) == ("lift-suppression", "ana", "[address] has asked")
    assert json.loads(line["arguments"]) == {"address": "[address]"}
    assert line["requestId"]
    assert ADDRESS not in log.getvalue()


def test_a_failed_operation_is_logged_and_raises(
    wiring: Wiring, fake_queues: FakeQueues, log: StringIO
) -> None:
    fake_queues.reachable = False

    with pytest.raises(Unreachable):
        operate("dead-letters", queue="email")

    [line] = lines(log)
    assert (line["level"], line["outcome"]) == ("error", "failed")
    assert wiring.queues is fake_queues


def test_the_outbox_is_shown_by_lane(wiring: Wiring, client: Client) -> None:
    first, _ = record(wiring, 2)
    client.event(client.host())

    state = operate("outbox-state")

    assert list(state) == ["bookings", "events", "account-emails"]
    assert state["account-emails"]["waiting"] > 2
    assert state["account-emails"]["oldest"] == {
        "domainEventId": str(first),
        "type": "email-verification-requested",
        "version": 1,
        "subject": str(value(client, "SELECT subject FROM outbox WHERE domain_event_id = :id", id=first)),
        "occurredAt": "2027-05-01T00:00:00.000Z",
        "requestId": None,
    }
    assert state["events"]["waiting"] == 1
    event_id = state["events"]["oldest"]["domainEventId"]
    assert operate("show-domain-event", domainEventId=event_id)["body"]["title"]
    assert operate("show-domain-event", domainEventId=str(first))["body"] is None


def test_a_poisoned_domain_event_is_skipped_and_put_back(
    wiring: Wiring, client: Client, publisher: FakePublisher
) -> None:
    poisoned, other = record(wiring, 2)

    assert operate("skip-domain-event", dry_run=True, domainEventId=str(poisoned)) == "would be done"
    assert operate("skip-domain-event", domainEventId=str(poisoned)) == "done"
    assert relay(wiring, publisher) == [other]
    [kept] = rows(client, "SELECT domain_event_id, reason FROM skipped_domain_events")
    assert kept == (poisoned, f"{ADDRESS} has asked")
    assert "error" in operate("skip-domain-event", domainEventId=str(poisoned))

    assert operate("put-back-domain-event", domainEventId=str(poisoned)) == "done"
    assert relay(wiring, publisher) == [other, poisoned]
    assert "error" in operate("put-back-domain-event", domainEventId=str(poisoned))


def test_skipped_domain_events_are_kept_for_a_month(wiring: Wiring) -> None:
    [poisoned] = record(wiring)
    with wiring.database.transaction() as connection:
        poison.skip(connection, poisoned, reason="too large", now=NOW)

    assert poison.purge(wiring.database, NOW + timedelta(days=29)) == 0
    assert poison.purge(wiring.database, NOW + timedelta(days=31)) == 1


def test_dead_letters_of_one_queue_are_shown_and_redriven(wiring: Wiring, fake_queues: FakeQueues) -> None:
    assert wiring.queues is fake_queues
    event = {"id": str(uuid4()), "type": "event-published", "body": {"email": ADDRESS}}
    fake_queues.put(queues.EMAIL.dead_letters, {"domainEvent": event, "recipients": []})
    fake_queues.put(queues.REFUNDS.dead_letters, event)

    shown = operate("dead-letters", queue="email")
    assert shown["waiting"] == 1
    assert shown["some"][0]["type"] == "event-published"
    assert ADDRESS not in json.dumps(shown)

    assert operate("redrive", dry_run=True, queue="email") == {"moved": 1}
    assert operate("redrive", queue="email") == {"moved": 1}
    assert [len(fake_queues.waiting[name]) for name in ("email", "refunds-dead-letters")] == [1, 1]

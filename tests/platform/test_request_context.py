"""The id of a request is carried along, from the response to the e-mail."""

import json
import logging
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from chalice.app import SQSEvent

from chalicelib.platform.messaging.messages import EmailBatch, FanOutPage
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.messaging.sqs_consumer import process_batch
from chalicelib.platform.observability import logs, request_context
from chalicelib.platform.observability.request_context import RequestId
from tests.client import Client
from tests.rows import rows


def traced(client: Client) -> list[tuple[str, str | None]]:
    """The domain events in the outbox, each with the id of the request that caused it."""
    found = rows(client, "SELECT type, request_id FROM outbox ORDER BY position")
    return [(row.type, row.request_id) for row in found]


def as_sqs(*bodies: str) -> SQSEvent:
    records = [
        {"messageId": f"message-{i}", "receiptHandle": "", "body": body} for i, body in enumerate(bodies)
    ]
    return SQSEvent({"Records": records}, None)


def test_domain_events_have_the_id_of_their_request(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client("POST", "/events", body(), by=host, headers={"X-Request-Id": "publish-1"}).json
    booked = client.book(attendee, event["eventId"], **{"X-Request-Id": "book-2"})
    path = f"/bookings/{booked.json['bookingId']}"
    client("DELETE", path, by=attendee, headers={"X-Request-Id": "cancel-3"})

    assert booked.headers["x-request-id"] == "book-2"
    assert traced(client)[-3:] == [
        ("event-published", "publish-1"),
        ("booking-confirmed", "book-2"),
        ("booking-cancelled", "cancel-3"),
    ]


def body() -> dict[str, Any]:
    return {
        "title": "Jazz",
        "startDateTime": "2030-06-05T19:30:00Z",
        "endDateTime": "2030-06-05T22:30:00Z",
        "capacity": 3,
    }


def test_without_a_request_there_is_no_id(client: Client) -> None:
    client.attendee()

    assert {request_id for _, request_id in traced(client)} == {None}


CONFIRMED = DomainEvent(
    domain_event_id=uuid4(),
    type="booking-confirmed",
    version=1,
    subject=uuid4(),
    time=datetime(2027, 5, 1, tzinfo=UTC),
    request_id="book-2",
    body={},
)


@pytest.mark.parametrize(
    ("message", "decode"),
    [
        (CONFIRMED, DomainEvent.from_message),
        (FanOutPage(domain_event=CONFIRMED, after=uuid4()), FanOutPage.from_message),
        (EmailBatch(domain_event=CONFIRMED, recipients=(uuid4(),)), EmailBatch.from_message),
    ],
)
def test_messages_are_handled_with_the_id_of_their_request(message: Any, decode: Any) -> None:
    seen: list[str | None] = []

    process_batch(
        as_sqs(json.dumps(message.as_message())), decode, lambda _: seen.append(request_context.current())
    )

    assert seen == ["book-2"]
    assert request_context.current() is None


def test_the_log_line_of_a_failed_message_has_its_request(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[dict[str, Any]] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(logs.FORMATTER.format(record)))

    log, keeper = logging.getLogger("event-booking"), Keeper()
    log.addHandler(keeper)

    def fail(_: DomainEvent) -> None:
        raise RuntimeError("the cause")

    try:
        answer = process_batch(
            as_sqs(json.dumps(CONFIRMED.as_message()), "{}"), DomainEvent.from_message, fail
        )
    finally:
        log.removeHandler(keeper)

    assert caplog.records
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-0"}, {"itemIdentifier": "message-1"}]}
    failed, malformed = [line for line in lines if line["message"] == "message failed"]
    assert (failed["requestId"], failed["messageId"]) == ("book-2", "message-0")
    assert (failed["type"], "the cause" in failed["error"]) == ("booking-confirmed", True)
    assert (malformed["messageId"], "requestId" in malformed) == ("message-1", False)


@pytest.mark.parametrize("odd", [None, 7, "", "-", "a'b", "a b", "x" * 129, ["book-2"]])
def test_an_invalid_id_is_dropped(odd: Any) -> None:
    with request_context.bind(odd):
        assert request_context.current() is None


@pytest.mark.parametrize("text", ["'", "a'; DROP TABLE bookings; --", "ä", "\0", "a\nb"])
def test_text_that_could_end_a_literal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a request id"):
        RequestId(text)


def test_malformed_messages_fail_alone() -> None:
    handled: list[DomainEvent] = []

    answer = process_batch(
        as_sqs("no JSON", "[1]", "null", json.dumps(CONFIRMED.as_message())),
        DomainEvent.from_message,
        handled.append,
    )

    assert handled == [CONFIRMED]
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == [
        "message-0",
        "message-1",
        "message-2",
    ]

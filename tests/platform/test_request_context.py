"""Following a request: its id goes with all that it brings about, from the answer to the e-mail."""

import json
import logging
from typing import Any

import pytest
from chalice.app import SQSEvent

from chalicelib.platform.messaging.sqs_consumer import process_batch
from chalicelib.platform.observability import logs, request_context
from chalicelib.platform.observability.request_context import RequestId
from tests.client import Client
from tests.rows import rows


def traced(client: Client) -> list[tuple[str, str | None]]:
    """The domain events that wait, each with the request that it goes back to."""
    found = rows(client, "SELECT type, request_id FROM outbox ORDER BY position")
    return [(row.type, row.request_id) for row in found]


def as_sqs(*bodies: str) -> SQSEvent:
    records = [
        {"messageId": f"message-{i}", "receiptHandle": "", "body": body} for i, body in enumerate(bodies)
    ]
    return SQSEvent({"Records": records}, None)


def test_the_facts_of_a_request_have_its_id(client: Client) -> None:
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


def test_what_no_request_brought_about_is_on_nobodys_behalf(client: Client) -> None:
    client.attendee()

    assert {request_id for _, request_id in traced(client)} == {None}


@pytest.mark.parametrize("message", [{"requestId": "book-2"}, {"domainEvent": {"requestId": "book-2"}}])
def test_a_message_is_done_on_behalf_of_the_request_that_it_goes_back_to(message: dict[str, Any]) -> None:
    seen: list[str | None] = []

    process_batch(as_sqs(json.dumps(message)), lambda _: seen.append(request_context.current()))

    assert seen == ["book-2"]
    assert request_context.current() is None


def test_the_line_of_a_message_that_failed_has_its_request(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[dict[str, Any]] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(logs.FORMATTER.format(record)))

    log, keeper = logging.getLogger("event-booking"), Keeper()
    log.addHandler(keeper)

    def fail(_: dict[str, Any]) -> None:
        raise RuntimeError("the cause")

    try:
        answer = process_batch(as_sqs('{"requestId": "book-2", "type": "booking-confirmed"}'), fail)
    finally:
        log.removeHandler(keeper)

    assert caplog.records
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-0"}]}
    [line] = [line for line in lines if line["message"] == "A message was not done"]
    assert (line["requestId"], line["messageId"]) == ("book-2", "message-0")


@pytest.mark.parametrize("odd", [None, 7, "", "-", "a'b", "a b", "x" * 129, ["book-2"]])
def test_an_id_that_is_none_is_followed_by_nobody(odd: Any) -> None:
    with request_context.bind(odd):
        assert request_context.current() is None


@pytest.mark.parametrize("text", ["'", "a'; DROP TABLE bookings; --", "ä", "\0", "a\nb"])
def test_no_text_that_could_end_a_literal_is_a_request_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a request id"):
        RequestId(text)


def test_messages_that_are_no_objects_fail_alone() -> None:
    done: list[Any] = []

    def work(message: dict[str, Any]) -> None:
        done.append(message["type"])

    answer = process_batch(
        as_sqs("no JSON", "[1]", "null", '{"type": "a-domain event", "requestId": 7}'), work
    )

    assert done == ["a-domain event"]
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == [
        "message-0",
        "message-1",
        "message-2",
    ]

"""Batches of queue messages: a poison message fails alone, and an outage uses up no attempt."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.platform.errors import Unavailable, Unreachable
from chalicelib.platform.messaging import sqs_consumer
from chalicelib.platform.messaging.messages import EmailBatch, FanOutPage
from chalicelib.platform.messaging.ports import TIMES_PUT_BACK, DomainEvent
from chalicelib.platform.messaging.sqs_consumer import MAX_TIMES_PUT_BACK, process_batch

GOOD = '{"name": "good"}'
ENVELOPE = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "type": "booking-confirmed",
    "version": 1,
    "subject": "01890a5d-ac96-774b-bcce-b302099a8058",
    "time": "2027-05-01T08:00:00Z",
    "requestId": None,
}


@dataclass
class Message:
    """A record as Chalice hands it over."""

    body: Any
    attributes: Any = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"messageId": f"message {id(self)}", "messageAttributes": self.attributes}


@dataclass
class Queue:
    """Keeps what was put back."""

    reachable: bool = True
    calls: int = 0
    put_back: list[tuple[str, int, int]] = field(default_factory=list)

    def __call__(self, body: str, *, times: int, delay: int) -> None:
        self.calls += 1
        if not self.reachable:
            raise Unreachable("SQS is down")
        self.put_back.append((body, times, delay))


def number(value: str) -> dict[str, Any]:
    return {TIMES_PUT_BACK: {"dataType": "Number", "stringValue": value}}


def failed(answer: dict[str, Any], messages: list[Message]) -> list[int]:
    """The positions of the messages that SQS delivers again."""
    ids = [one["itemIdentifier"] for one in answer["batchItemFailures"]]
    return [at for at, message in enumerate(messages) if message.to_dict()["messageId"] in ids]


def nested(depth: int) -> str:
    return json.dumps(ENVELOPE)[:-1] + ', "body": {"a": ' + "[" * depth + "]" * depth + "}}"


def recurse(message: Any) -> None:
    recurse(message)


def exhaust(_: Any) -> None:
    raise MemoryError


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def fail_unprintably(_: Any) -> None:
    raise Unprintable


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "NaN",
        "7" * 5_000,
        '{"a": ' + "7" * 5_000 + "}",
        '"\ud800"',
        "\ufeff{}",
        "\0",
        '{"a":' * 1_000_000,
        "[" * 1_000_000 + "]" * 1_000_000,
        b"\xff\xfe",
        None,
        *(nested(depth) for depth in (500, 900, 1_000, 5_000, 100_000)),
    ],
    ids=lambda body: f"{body!r:.20}",
)
@pytest.mark.parametrize(
    "decode", [DomainEvent.from_message, FanOutPage.from_message, EmailBatch.from_message]
)
def test_a_malformed_or_deep_message_fails_alone(decode: Any, body: Any) -> None:
    handled = []
    good = json.dumps({**ENVELOPE, "body": {"number": 1}})
    messages = [Message(good), Message(body), Message(good.replace("1}", "2}"))]

    def handle(message: Any) -> None:
        event = message if isinstance(message, DomainEvent) else message.domain_event
        if "a" in event.body:
            json.dumps(event.body)
            recurse(message)
        handled.append(event.body["number"])

    assert failed(process_batch(messages, decode, handle), messages) == [1]
    assert handled == [1, 2]


@pytest.mark.parametrize("poison", [recurse, exhaust, fail_unprintably, next])
def test_no_error_of_a_message_fails_its_neighbours(poison: Any) -> None:
    handled = []
    messages = [Message('{"name": "bad"}'), Message(GOOD)]

    def handle(message: dict[str, Any]) -> None:
        if message["name"] == "bad":
            poison(message)
        handled.append(message["name"])

    assert failed(process_batch(messages, dict, handle, Queue()), messages) == [0]
    assert handled == ["good"]


@pytest.mark.parametrize("outage", [Unreachable("SES is down"), Unavailable("no database")])
def test_an_outage_uses_up_no_attempt(outage: Exception) -> None:
    queue = Queue()
    messages = [Message('{"name": "unlucky"}'), Message(GOOD)]

    def handle(message: dict[str, Any]) -> None:
        if message["name"] == "unlucky":
            raise outage

    assert process_batch(messages, dict, handle, queue) == {"batchItemFailures": []}
    assert queue.put_back == [('{"name": "unlucky"}', 1, 5)]


def fail(_: Any) -> None:
    raise Unreachable("SES is down")


@pytest.mark.parametrize(
    ("attributes", "times", "delay"),
    [
        (number("1"), 2, 10),
        (number("3"), 4, 40),
        (number("4"), 5, 60),
        (number(str(MAX_TIMES_PUT_BACK - 1)), MAX_TIMES_PUT_BACK, 60),
        *((number(odd), 1, 5) for odd in ("", "-1", "x", "1e9", "7" * 5_000, "٣")),
        ({TIMES_PUT_BACK: {}}, 1, 5),
        (None, 1, 5),
    ],
)
def test_the_delay_grows_with_the_outage(attributes: Any, times: int, delay: int) -> None:
    queue = Queue()

    process_batch([Message(GOOD, attributes)], dict, fail, queue)

    assert queue.put_back == [(GOOD, times, delay)]


def test_a_message_is_not_put_back_for_ever() -> None:
    queue, messages = Queue(), [Message(GOOD, number(str(MAX_TIMES_PUT_BACK)))]

    assert failed(process_batch(messages, dict, fail, queue), messages) == [0]
    assert queue.put_back == []


def test_a_message_that_cannot_be_put_back_fails() -> None:
    queue = Queue(reachable=False)
    messages = [Message(GOOD), Message('{"name": "other"}')]

    assert failed(process_batch(messages, dict, fail, queue), messages) == [0, 1]
    assert queue.calls == 1


def test_a_long_outage_does_not_use_up_the_time_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the batch is put back without an attempt."""
    monkeypatch.setattr(sqs_consumer, "_OUTAGE_BUDGET_SECONDS", 0.0)
    queue, tried = Queue(), []
    bodies = [f'{{"name": "{number}"}}' for number in range(10)]

    def handle(message: dict[str, Any]) -> None:
        tried.append(message["name"])
        raise Unavailable

    answer = process_batch([Message(body) for body in bodies], dict, handle, queue)

    assert answer == {"batchItemFailures": []}
    assert [body for body, _, _ in queue.put_back] == bodies
    assert tried == ["0"]

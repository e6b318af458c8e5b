"""The embedded triggers, with small apps of their own."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pytest
from chalice.app import Chalice, CloudWatchEvent, Rate, ScheduledEventConfig, SQSEvent

from app import app as booking_app
from chalicelib.adapters.sqs import SqsQueues
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging import sqs_consumer
from chalicelib.platform.messaging.queues import EMAIL, MAIL_REPORTS
from chalicelib.platform.messaging.sqs_consumer import process_batch
from infra.local import schedules, triggers
from infra.local.lambda_runner import Context, Function
from infra.local.pollers import count, failed_messages
from infra.local.schedules import Schedule
from infra.local.startup import CannotStart
from tests.infra.local.conftest import TIMEOUT, Cloud, becomes_true

Handler = Callable[[list[str], SQSEvent], Any]


class Consumer:
    """An app with one function on the e-mail queue, which calls the given handler."""

    def __init__(self, cloud: Cloud, handle: Handler, *, window: int = 0) -> None:
        self.app = Chalice("consumer")
        self.seen: list[list[str]] = []
        self.attempts: Counter[str] = Counter()
        self._sqs = cloud.sqs

        @self.app.on_sqs_message(
            queue=EMAIL.name, batch_size=EMAIL.batch_size, maximum_batching_window_in_seconds=window
        )
        def send_email(event: SQSEvent) -> Any:
            bodies = [json.loads(record.body) for record in event]
            self.seen.append(bodies)
            self.attempts.update(bodies)
            return handle(bodies, event)

    def running(self, timeout: float = 0.2) -> AbstractContextManager[None]:
        return triggers.running(self.app, self._sqs, long_poll=0, timeout=timeout)


def send(*bodies: Any, queue: str = EMAIL.name) -> None:
    SqsQueues().send(queue, bodies)


def in_queue(cloud: Cloud, queue: str) -> int:
    url = cloud.resources.queues[queue]
    return count(cloud.sqs, url, hidden=True)


def trigger_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("trigger ")]


def reports(*failed: str) -> Handler:
    """Return a handler that reports the messages with these bodies as failed."""

    def handle(bodies: list[str], event: SQSEvent) -> Any:
        ids = [record.to_dict()["messageId"] for record in event]
        return {
            "batchItemFailures": [
                {"itemIdentifier": message_id}
                for message_id, body in zip(ids, bodies, strict=True)
                if body in failed
            ]
        }

    return handle


def test_messages_arrive_in_batches_of_lambdas_records(cloud: Cloud) -> None:
    events: list[dict[str, Any]] = []
    consumer = Consumer(cloud, lambda _, event: events.append(event.to_dict()))
    names = [str(i) for i in range(10)]
    send(*names)
    with consumer.running():
        assert becomes_true(lambda: in_queue(cloud, EMAIL.name) == 0)
    assert [len(batch) for batch in consumer.seen] == [4, 4, 2]
    assert Counter(names) == consumer.attempts
    records = [record for event in events for record in event["Records"]]
    assert len({record["messageId"] for record in records}) == 10
    assert len({record["receiptHandle"] for record in records}) == 10
    for record in records:
        assert record["eventSource"] == "aws:sqs"
        assert record["eventSourceARN"].endswith(f":{EMAIL.name}")
        assert record["awsRegion"] == record["eventSourceARN"].split(":")[3]
        assert record["attributes"]["ApproximateReceiveCount"] == "1"
        assert record["messageAttributes"] == {}


def test_only_a_failed_message_is_retried(cloud: Cloud) -> None:
    def handle(bodies: list[str], event: SQSEvent) -> Any:
        return reports("bad")(bodies, event) if consumer.attempts["bad"] < 3 else None

    consumer = Consumer(cloud, handle)
    send("good", "bad", "better")
    with consumer.running():
        assert becomes_true(lambda: in_queue(cloud, EMAIL.name) == 0)
    assert consumer.attempts == {"good": 1, "bad": 3, "better": 1}
    assert in_queue(cloud, EMAIL.dead_letters) == 0


def test_a_poison_message_becomes_a_dead_letter_and_is_redriven(cloud: Cloud) -> None:
    poisonous = Consumer(cloud, reports("poison"))
    send("good", "poison", "better")
    with poisonous.running():
        assert becomes_true(lambda: in_queue(cloud, EMAIL.dead_letters) == 1)
    assert poisonous.attempts == {"good": 1, "poison": EMAIL.attempts, "better": 1}
    cured = Consumer(cloud, reports())
    with cured.running():
        assert redrive() == 1
        assert becomes_true(lambda: cured.attempts == {"poison": 1})
    assert in_queue(cloud, EMAIL.dead_letters) == in_queue(cloud, EMAIL.name) == 0


def test_an_outage_makes_no_dead_letters(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message meets more outages than it has attempts, beside one that is poison."""
    monkeypatch.setattr(sqs_consumer, "_MAX_DELAY_SECONDS", 0)
    outages = 2 * EMAIL.attempts

    def handle(message: dict[str, str]) -> None:
        if message["name"] == "poison":
            raise ValueError
        seen[message["name"]] += 1
        if seen["unlucky"] <= outages:
            raise Unreachable

    def put_back(body: str, *, times: int, delay: int) -> None:
        SqsQueues().put_back(EMAIL.name, body, times=times, delay=delay)

    app, seen = Chalice("outage"), Counter[str]()

    @app.on_sqs_message(queue=EMAIL.name)
    def send_email(event: SQSEvent) -> dict[str, Any]:
        return process_batch(event, dict, handle, put_back)

    send({"name": "unlucky"}, {"name": "poison"})
    with triggers.running(app, cloud.sqs, long_poll=0, timeout=0.2):
        assert becomes_true(lambda: in_queue(cloud, EMAIL.name) == 0)
    assert seen == {"unlucky": outages + 1}
    assert in_queue(cloud, EMAIL.dead_letters) == 1


def redrive(keep_going: Callable[[], bool] = lambda: True) -> int:
    return SqsQueues().redrive(EMAIL, keep_going=keep_going)


def test_dead_letters_are_shown_and_stay(cloud: Cloud) -> None:
    url = cloud.resources.queues[EMAIL.dead_letters]
    cloud.sqs.send_message(QueueUrl=url, MessageBody="{}")
    for _ in range(2):
        count, [letter] = SqsQueues().dead_letters(EMAIL)
        assert (count, letter.body) == (1, "{}")
        assert abs((letter.sent_at - datetime.now(UTC)).total_seconds()) < 60


def test_a_redrive_keeps_attributes_and_moves_each_message_once(cloud: Cloud) -> None:
    url = cloud.resources.queues[EMAIL.dead_letters]
    for i in range(23):
        cloud.sqs.send_message(
            QueueUrl=url,
            MessageBody=f'"{i}"',
            MessageAttributes={"type": {"DataType": "String", "StringValue": f"type-{i}"}},
        )
    assert redrive(keep_going=lambda: False) == 0
    assert redrive() == 23
    assert redrive() == 0
    attributes: list[dict[str, Any]] = []

    def handle(_: list[str], event: SQSEvent) -> None:
        attributes.extend(record.to_dict()["messageAttributes"]["type"] for record in event)

    with Consumer(cloud, handle).running():
        assert becomes_true(lambda: len(attributes) == 23)
    assert {attribute["stringValue"] for attribute in attributes} == {f"type-{i}" for i in range(23)}
    assert {attribute["dataType"] for attribute in attributes} == {"String"}


def test_all_messages_of_a_raised_error_are_retried(cloud: Cloud, capfd: pytest.CaptureFixture[str]) -> None:
    def handle(_bodies: list[str], _event: SQSEvent) -> None:
        if len(consumer.seen) == 1:
            raise RuntimeError("out of ink")

    consumer = Consumer(cloud, handle)
    send("one", "two")
    with consumer.running():
        assert becomes_true(lambda: in_queue(cloud, EMAIL.name) == 0)
    assert consumer.attempts == {"one": 2, "two": 2}
    assert "send_email has failed" in (output := capfd.readouterr().err)
    assert "out of ink" in output


def test_a_response_that_is_not_json_fails_the_batch(cloud: Cloud) -> None:
    consumer = Consumer(cloud, lambda *_: object() if len(consumer.seen) == 1 else None)
    send("one")
    with consumer.running():
        assert becomes_true(lambda: in_queue(cloud, EMAIL.name) == 0)
    assert consumer.attempts == {"one": 2}


@pytest.mark.parametrize(
    ("response", "failed"),
    [
        (None, ""),
        ({}, ""),
        ({"batchItemFailures": None}, ""),
        ({"batchItemFailures": []}, ""),
        ({"batchItemFailures": [{"itemIdentifier": "a"}]}, "a"),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}, "ab"),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, "abc"),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, "abc"),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "z"}]}, "abc"),
        ({"batchItemFailures": [{"itemIdentifier": ["a"]}]}, "abc"),
        ({"batchItemFailures": [{"messageId": "a"}]}, "abc"),
        ({"batchItemFailures": ["a"]}, "abc"),
        ({"batchItemFailures": 1}, "abc"),
        (["a"], "abc"),
        ("done", "abc"),
    ],
)
def test_a_response_is_read_as_lambda_reads_it(response: Any, failed: str) -> None:
    assert failed_messages(response, ["a", "b", "c"]) == set(failed)


def test_a_batch_window_collects_single_messages(cloud: Cloud) -> None:
    url = cloud.resources.queues[EMAIL.name]
    cloud.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})
    consumer = Consumer(cloud, lambda *_: None, window=20)
    with consumer.running():
        for i in range(EMAIL.batch_size):
            send(str(i))
        assert becomes_true(lambda: in_queue(cloud, EMAIL.name) == 0)
    assert [len(batch) for batch in consumer.seen] == [EMAIL.batch_size]


def test_a_stop_finishes_messages_and_leaves_no_thread(cloud: Cloud) -> None:
    app = Chalice("chain")
    done: list[str] = []

    @app.on_sqs_message(queue=EMAIL.name)
    def first(event: SQSEvent) -> None:
        time.sleep(0.2)
        send(*[json.loads(record.body) for record in event], queue=MAIL_REPORTS.name)

    @app.on_sqs_message(queue=MAIL_REPORTS.name)
    def second(event: SQSEvent) -> None:
        done.extend(json.loads(record.body) for record in event)

    @app.schedule(Rate(1, unit=Rate.MINUTES))
    def looping(event: CloudWatchEvent) -> None:
        context: Any = event.context
        while context.get_remaining_time_in_millis() > 0:
            time.sleep(0.01)
        done.append("looping")

    running = triggers.Triggers(app, cloud.sqs, long_poll=0)
    running.start()
    assert len(trigger_threads()) == 3
    send("under way")
    assert running.stop() == 0
    assert done == ["looping", "under way"]
    assert not trigger_threads()


def test_a_stop_counts_unprocessed_messages(cloud: Cloud) -> None:
    release = threading.Event()
    consumer = Consumer(cloud, lambda *_: release.wait(TIMEOUT))
    running = triggers.Triggers(consumer.app, cloud.sqs, long_poll=0)
    running.start()
    send("slow")
    assert becomes_true(lambda: consumer.attempts["slow"] == 1)
    assert running.stop(timeout=0.1) == 1
    release.set()
    assert becomes_true(lambda: not trigger_threads())


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    stopping = threading.Event()
    yield stopping
    stopping.set()


class RecordedWaits(threading.Event):
    """An event that records how long a schedule would wait for it, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


def waits_between_calls(
    handler: Callable[[], object], *, period: float, backoff: float
) -> list[float | None]:
    """Run a function on a schedule for three calls, and return the waits between them."""
    stopping = RecordedWaits()
    calls = 0

    def called(event: dict[str, Any], _: Context) -> None:
        nonlocal calls
        assert event["detail-type"] == "Scheduled Event"
        calls += 1
        if calls == 3:
            stopping.set()
        handler()

    Schedule(Function("on_time", called, 60, stopping), period, stopping=stopping, backoff=backoff).run()
    assert calls == 3
    return stopping.waits[:2]


def test_a_short_function_is_called_at_its_rate() -> None:
    for wait in waits_between_calls(lambda: None, period=3600, backoff=1):
        assert wait is not None
        assert 1800 <= wait <= 3600  # the rest of the period, after a call that took some of it


@pytest.mark.parametrize(("took", "wait"), [(0, 60), (20, 40), (55, 0), (90, 0)])
def test_a_long_function_is_called_again_without_delay(took: float, wait: float) -> None:
    assert schedules.delay(took, 60) == wait


def test_a_failed_function_is_called_again_after_a_backoff(capfd: pytest.CaptureFixture[str]) -> None:
    assert waits_between_calls(lambda: 1 // 0, period=60, backoff=7) == [7, 7]

    output = capfd.readouterr().err
    assert output.count("on_time has failed") == 3
    assert "ZeroDivisionError" in output


def test_a_call_has_its_timeout_and_no_time_after_a_stop(stopping: threading.Event) -> None:
    context = Context("on_time", 60, stopping)
    assert 50_000 < context.get_remaining_time_in_millis() <= 60_000
    assert Context("on_time", 0, stopping).get_remaining_time_in_millis() == 0
    stopping.set()
    assert context.get_remaining_time_in_millis() == 0


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 hour)", 3600), ("rate(2 days)", 172_800)],
)
def test_a_rate_is_converted_to_seconds(expression: str, seconds: int) -> None:
    assert schedules.period(expression) == seconds


def test_a_schedule_without_a_rate_is_refused() -> None:
    with pytest.raises(CannotStart, match="with a rate only, not 'cron"):
        schedules.period("cron(0 8 * * ? *)")


def test_functions_that_poll_are_called_every_second(cloud: Cloud) -> None:
    """What a developer does is seen at once, even after a quiet time."""
    app, calls = Chalice("polling"), Counter[str]()

    @app.schedule(Rate(1, unit=Rate.MINUTES))
    def relay_outbox(_event: CloudWatchEvent) -> None:
        calls["relay_outbox"] += 1

    @app.schedule(Rate(1, unit=Rate.MINUTES))
    def notify_hosts(_event: CloudWatchEvent) -> None:
        calls["notify_hosts"] += 1

    with triggers.running(app, cloud.sqs, long_poll=0, timeout=0.2):
        assert becomes_true(lambda: calls["relay_outbox"] == 2)
    assert calls["notify_hosts"] == 1


def test_the_functions_that_poll_are_scheduled_functions_of_the_app() -> None:
    scheduled = {
        source.name for source in booking_app.event_sources if isinstance(source, ScheduledEventConfig)
    }
    assert scheduled > triggers.POLLING

"""Runs the triggers of an app: its queues and its schedules."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from chalice.app import Chalice, ScheduledEventConfig, SQSEventConfig

from chalicelib.platform.messaging import queues
from infra.local import schedules
from infra.local.lambda_runner import Function
from infra.local.pollers import EventSource, Poller
from infra.local.schedules import Schedule

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

SHUTDOWN_TIMEOUT = 3.0
"""Seconds that a stop waits for messages and calls in progress."""
LONG_POLL_SECONDS = 1
"""Seconds that a receive waits for a message. A stop waits for the receive."""
SCHEDULE_BACKOFF = 5.0
"""Seconds before the next call of a function on a schedule that has failed."""
POLLING = frozenset({"relay_outbox", "start_sales", "expire_holds"})
"""Functions that end while nothing is due. On AWS, new work then waits for up to a minute."""
POLL_INTERVAL = 1.0
"""Seconds between two calls of these functions, so that a developer never waits for that minute."""
DEFAULT_TIMEOUT = 60
"""Seconds that a call may take if the topology has no timeout for the function."""


class Triggers:
    """One thread for each trigger of an app.

    `concurrency` gives a function on a queue several threads, as Lambda handles several batches of a queue
    concurrently.
    """

    def __init__(
        self,
        app: Chalice,
        sqs: "SQSClient",
        *,
        long_poll: int = LONG_POLL_SECONDS,
        concurrency: dict[str, int] | None = None,
    ) -> None:
        self._stop_schedules = threading.Event()
        self._stop_pollers = threading.Event()
        self._schedules = [
            Schedule(
                _function(app, source.name, self._stop_schedules),
                POLL_INTERVAL if source.name in POLLING else schedules.period(_expression(source)),
                stopping=self._stop_schedules,
                backoff=SCHEDULE_BACKOFF,
            )
            for source in app.event_sources
            if isinstance(source, ScheduledEventConfig)
        ]
        self._pollers = [
            Poller(
                sqs,
                _event_source(sqs, source),
                _function(app, source.name, self._stop_pollers),
                draining=self._stop_schedules,
                stopping=self._stop_pollers,
                long_poll=long_poll,
            )
            for source in app.event_sources
            if isinstance(source, SQSEventConfig)
        ]
        self._schedule_threads = [_thread(schedule) for schedule in self._schedules]
        threads = concurrency or {}
        self._poller_threads = [
            _thread(poller) for poller in self._pollers for _ in range(threads.get(poller.function.name, 1))
        ]

    def start(self) -> None:
        for thread in (*self._poller_threads, *self._schedule_threads):
            thread.start()

    def stop(self, timeout: float = SHUTDOWN_TIMEOUT) -> int:
        """Stop all triggers, and return the number of messages left in the queues.

        Schedules stop first, so that no more messages are published. Queues stop when they are empty, or
        after the timeout. Calls in progress then have the timeout to end.
        """
        until = time.monotonic() + timeout
        self._stop_schedules.set()
        _join(self._schedule_threads, until)
        try:
            while self._backlog() and time.monotonic() < until:
                time.sleep(0.05)
        finally:
            self._stop_pollers.set()
            _join(self._poller_threads, time.monotonic() + timeout)
        return self._backlog()

    def _backlog(self) -> int:
        return sum(poller.backlog() for poller in self._pollers)


@contextlib.contextmanager
def running(
    app: Chalice,
    sqs: "SQSClient",
    *,
    long_poll: int = LONG_POLL_SECONDS,
    timeout: float = SHUTDOWN_TIMEOUT,
) -> Iterator[None]:
    """Run the triggers of an app for a block."""
    triggers = Triggers(app, sqs, long_poll=long_poll)
    triggers.start()
    try:
        yield
    finally:
        triggers.stop(timeout)


def _function(app: Chalice, name: str, halt: threading.Event) -> Function:
    timeouts = {queue.function: queue.timeout for queue in queues.QUEUES}
    return Function(name, app.handler_map[name], timeouts.get(name, DEFAULT_TIMEOUT), halt)


def _event_source(sqs: "SQSClient", source: SQSEventConfig) -> EventSource:
    name = source.queue or str(source.queue_arn).rpartition(":")[2]
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return EventSource(
        url, attributes["QueueArn"], source.batch_size, source.maximum_batching_window_in_seconds
    )


def _expression(source: ScheduledEventConfig) -> str:
    expression = source.schedule_expression
    return expression if isinstance(expression, str) else expression.to_string()


def _thread(trigger: Schedule | Poller) -> threading.Thread:
    return threading.Thread(target=trigger.run, name=f"trigger {trigger.function.name}", daemon=True)


def _join(threads: list[threading.Thread], until: float) -> None:
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))

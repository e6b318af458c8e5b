"""Runs an app's triggers, which Chalice's local server leaves out: its queues and its schedules."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from chalice.app import Chalice, ScheduledEventConfig, SQSEventConfig

from chalicelib.platform.messaging import queues
from infra.local import schedules
from infra.local.functions import Function
from infra.local.pollers import Mapping, Poller
from infra.local.schedules import Schedule

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

GRACE = 3.0
"""Seconds for what is under way when the triggers stop."""
LONG_POLL = 1
"""Seconds that a receive waits for a message; a stop waits for the receive."""
PAUSE = 5.0
"""Seconds before a function on a schedule that has failed is called again."""
MINUTE = 60
"""Seconds that a function may take, where the topology does not say."""


class Triggers:
    """A thread for each trigger of an app; `stop` ends them in order.

    `at_once` has several for a function that is named, as Lambda handles several batches of a queue at
    a time.
    """

    def __init__(
        self,
        app: Chalice,
        sqs: "SQSClient",
        *,
        long_poll: int = LONG_POLL,
        pause: float = PAUSE,
        at_once: dict[str, int] | None = None,
    ) -> None:
        self._sqs = sqs
        self._halt_schedules = threading.Event()
        self._halt_pollers = threading.Event()
        self._schedules = [
            Schedule(
                self._function(app, source.name, self._halt_schedules),
                schedules.period(_expression(source)),
                stopping=self._halt_schedules,
                pause=pause,
            )
            for source in app.event_sources
            if isinstance(source, ScheduledEventConfig)
        ]
        self._pollers = [
            Poller(
                sqs,
                self._mapping(source),
                self._function(app, source.name, self._halt_pollers),
                ending=self._halt_schedules,
                stopping=self._halt_pollers,
                long_poll=long_poll,
            )
            for source in app.event_sources
            if isinstance(source, SQSEventConfig)
        ]
        self._timing = [_thread(one) for one in self._schedules]
        many = at_once or {}
        self._polling = [_thread(one) for one in self._pollers for _ in range(many.get(one.function.name, 1))]

    def start(self) -> None:
        for thread in (*self._polling, *self._timing):
            thread.start()

    def stop(self, grace: float = GRACE) -> int:
        """End all of them, and return how many messages are left in the queues.

        First the schedules, so that no more domain events are published; then, when all that was published
        is done or the grace is over, the queues. A function that still runs gets the grace to end.
        """
        until = time.monotonic() + grace
        self._halt_schedules.set()
        _join(self._timing, until)
        try:
            while self._waiting() and time.monotonic() < until:
                time.sleep(0.05)
        finally:
            self._halt_pollers.set()
            _join(self._polling, time.monotonic() + grace)
        return self._waiting()

    def _waiting(self) -> int:
        return sum(poller.waiting() for poller in self._pollers)

    def _function(self, app: Chalice, name: str, halt: threading.Event) -> Function:
        seconds = {queue.function: queue.timeout for queue in queues.QUEUES}
        return Function(name, app.handler_map[name], seconds.get(name, MINUTE), halt)

    def _mapping(self, source: SQSEventConfig) -> Mapping:
        name = source.queue or str(source.queue_arn).rpartition(":")[2]
        url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return Mapping(
            url,
            attributes["Attributes"]["QueueArn"],
            source.batch_size,
            source.maximum_batching_window_in_seconds,
        )


@contextlib.contextmanager
def running(
    app: Chalice, sqs: "SQSClient", *, long_poll: int = LONG_POLL, pause: float = PAUSE, grace: float = GRACE
) -> Iterator[None]:
    """Run the triggers of an app while a block runs."""
    triggers = Triggers(app, sqs, long_poll=long_poll, pause=pause)
    triggers.start()
    try:
        yield
    finally:
        triggers.stop(grace)


def _expression(source: ScheduledEventConfig) -> str:
    expression = source.schedule_expression
    return expression if isinstance(expression, str) else expression.to_string()


def _thread(trigger: Schedule | Poller) -> threading.Thread:
    return threading.Thread(target=trigger.run, name=f"trigger {trigger.function.name}", daemon=True)


def _join(threads: list[threading.Thread], until: float) -> None:
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))

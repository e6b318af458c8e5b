"""Works on the queue of webhook deliveries: in background threads, or when a test says so."""

import random
import threading
import time
from typing import Literal

from infra.stripe_fake.errors import Json
from infra.stripe_fake.settlement import settle_next_due
from infra.stripe_fake.store import Store
from infra.stripe_fake.webhooks import Delivery

Order = Literal["ordered", "reversed", "shuffled"]

WORKERS = 4
POLL_INTERVAL = 0.2  # seconds between looks for deliveries and settlements that have become due
SHUTDOWN_TIMEOUT = 3.0  # seconds for deliveries in progress


class Dispatcher:
    """Sends the deliveries of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        self._stopped = False

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        with self._store.changed:
            self._stopped = True
            self._store.changed.notify_all()
        deadline = time.monotonic() + SHUTDOWN_TIMEOUT
        for thread in self._threads:
            if thread.ident:
                thread.join(max(0.0, deadline - time.monotonic()))

    def waiting(self) -> list[Delivery]:
        with self._store.lock:
            return [delivery for delivery in self._store.deliveries if delivery.state == "waiting"]

    def deliver(self, event: Json) -> list[int]:
        """Send an event now, once more if it was sent before. Return the status from each endpoint."""
        with self._store.lock:
            chosen = [delivery for delivery in self.waiting() if delivery.event["id"] == event["id"]]
            chosen = chosen or self._store.queue(event)
            for delivery in chosen:
                delivery.state = "sending"
        return [delivery.attempt() for delivery in chosen]

    def deliver_all(self, order: Order) -> list[int]:
        """Send all waiting events, one after the other. Return the statuses."""
        waiting = self.waiting()
        if order == "reversed":
            waiting.reverse()
        elif order == "shuffled":
            random.shuffle(waiting)
        return [self._send(delivery) for delivery in waiting if self._claim(delivery)]

    def _work(self) -> None:
        while delivery := self._next():
            self._send(delivery)

    def _next(self) -> Delivery | None:
        """Wait for a delivery and claim it. Return None after `stop`. Settle what is due in the meantime."""
        with self._store.changed:
            while not self._stopped:
                while settle_next_due(self._store):
                    pass
                for delivery in self.waiting():
                    if delivery.due <= time.time() and self._claim(delivery):
                        return delivery
                self._store.changed.wait(POLL_INTERVAL)
        return None

    def _claim(self, delivery: Delivery) -> bool:
        """Say whether a delivery still waits, and take it for this thread."""
        with self._store.lock:
            waits = delivery.state == "waiting"
            if waits:
                delivery.state = "sending"
        return waits

    def _send(self, delivery: Delivery) -> int:
        """Send an event with the faults in force. Return the last status, 0 without a response."""
        with self._store.lock:
            if self._store.faults.take_drop():
                delivery.state = "dropped"
                return 0
        status = 0
        for _ in range(1 + self._store.faults.duplicate):
            status = delivery.attempt()
        return status

"""Calls functions on a schedule, as EventBridge does."""

import re
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from uuid import uuid4

from infra.local.aws import REGION
from infra.local.lambda_runner import Function
from infra.local.startup import CannotStart

_RATE = re.compile(r"rate\(([1-9][0-9]*) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 24 * 3600}


class Schedule:
    """Calls one function at a rate until `stopping` is set, in a thread that calls `run`."""

    def __init__(
        self, function: Function, period: float, *, stopping: threading.Event, backoff: float
    ) -> None:
        self.function = function
        self._period = period
        self._stopping = stopping
        self._backoff = backoff

    def run(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self.function(_event())
            except Exception:  # noqa: BLE001 - after any error, the schedule continues
                trace = traceback.format_exc()
                print(f"{self.function.name} has failed:\n{trace}", file=sys.stderr, flush=True)
                wait = self._backoff
            else:
                wait = delay(time.monotonic() - started, self._period)
            self._stopping.wait(wait)


def delay(took: float, period: float) -> float:
    """Return the seconds from the end of a call to the next call.

    A function that loops for most of its period is called again without a delay.
    """
    return 0 if took > period / 2 else period - took


def period(expression: str) -> int:
    """Return the seconds of a rate (EventBridge User Guide, "Rate expressions")."""
    found = _RATE.fullmatch(expression)
    if found is None:
        raise CannotStart(f"The embedded stack supports schedules with a rate only, not {expression!r}.")
    return int(found[1]) * _SECONDS[found[2]]


def _event() -> dict[str, object]:
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [],
        "detail": {},
    }

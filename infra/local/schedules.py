"""Stands in for EventBridge's schedules: calls a function at its rate, and one that loops at once."""

import re
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from uuid import uuid4

from infra.local.aws import REGION
from infra.local.functions import Function
from infra.local.installation import CannotStart

_RATE = re.compile(r"rate\(([1-9][0-9]*) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 24 * 3600}


class Schedule:
    """Calls one function, in a thread that calls `run`, until `stopping` is set."""

    def __init__(self, function: Function, period: float, *, stopping: threading.Event, pause: float) -> None:
        self.function = function
        self._period = period
        self._stopping = stopping
        self._pause = pause

    def run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.function(_event())
            except Exception:  # noqa: BLE001 - whatever it raises, the schedule goes on
                said = traceback.format_exc()
                print(f"{self.function.name} has failed:\n{said}", file=sys.stderr, flush=True)
                wait = self._pause
            else:
                wait = rest(time.monotonic() - began, self._period)
            self._stopping.wait(wait)


def rest(took: float, period: float) -> float:
    """Return the seconds from the end of a call to the next one.

    A function that loops until its time is up leaves some of it unused, because the next call takes
    over; nothing is won by waiting for that here.
    """
    return 0 if took > period / 2 else period - took


def period(expression: str) -> int:
    """Return the seconds of a rate (EventBridge User Guide, "Rate expressions")."""
    found = _RATE.fullmatch(expression)
    if found is None:
        raise CannotStart(f"The embedded stack keeps schedules at a rate only, not {expression!r}.")
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

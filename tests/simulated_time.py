"""Simulated time: functions run one at a time, and a wait takes no time."""

import heapq
import itertools
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from chalicelib.platform.clock import Clock


class SimulatedTime:
    """Runs functions at given times. A function that waits on `clock` lets others run meanwhile.

    Each function runs in a thread of its own, because it waits in the middle of its work.
    """

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.clock = Clock(now=lambda: self.now, sleep=self._sleep)
        self._turns: list[tuple[datetime, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._yielded = threading.Semaphore(0)
        self._failures: list[BaseException] = []

    def at(self, moment: datetime, function: Callable[[], object]) -> None:
        """Run a function at a time."""
        self._add(moment, lambda: threading.Thread(target=self._run, args=(function,), daemon=True).start())

    def run_until(self, end: datetime) -> None:
        """Run everything that happens before a time."""
        while self._turns and self._turns[0][0] < end:
            moment, _, turn = heapq.heappop(self._turns)
            self.now = max(self.now, moment)
            turn()
            self._yielded.acquire()
            if self._failures:
                raise self._failures[0]
        self.now = end

    def _add(self, moment: datetime, turn: Callable[[], object]) -> None:
        heapq.heappush(self._turns, (moment, next(self._order), turn))

    def _run(self, function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as failure:  # noqa: BLE001 (raised by `run_until`)
            self._failures.append(failure)
        finally:
            self._yielded.release()

    def _sleep(self, seconds: float) -> None:
        turn = threading.Semaphore(0)
        self._add(self.now + timedelta(seconds=seconds), turn.release)
        self._yielded.release()
        turn.acquire()

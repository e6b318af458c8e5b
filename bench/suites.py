"""The suites, each of which is measured in a process of its own."""

import importlib
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bench.figures import Figure
from bench.scale import Scale

SUITES = {
    "booking": "Orders of 1 and 4 tickets of one event, against pgbench and five separate steps",
    "check-in": "Scans at the door of one event, against bookings and pgbench",
    "contention": "Booking with a long table, a single event and a sold-out event",
    "lists": "Lists: short and long, first and deep pages, filters",
    "cold-start": "Cold start: import, first request, memory",
    "notifications": "Notifications: fan-out and e-mails when a sale starts",
    "load-shedding": "Ten times more requests than can be served, with and without a gateway that sheds",
}


def measure(name: str, scale: Scale) -> Sequence[Figure]:
    """Measure a suite in a new process, which shares no state with other suites.

    Raises:
        Exception: The suite failed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_discard_log) as executor:
        return executor.submit(_measure, name, scale).result()


def _measure(name: str, scale: Scale) -> Sequence[Figure]:
    suite: Any = importlib.import_module(f"bench.{name.replace('-', '_')}")
    figures: Sequence[Figure] = suite.measure(scale)
    return figures


def _discard_log() -> None:
    """Send standard output to /dev/null: the app writes its log as in production, but it is not kept."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

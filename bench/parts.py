"""The parts of what is measured, each in a process of its own."""

import contextlib
import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from bench.figures import Figure
from bench.report import Part
from bench.scale import Scale

PARTS = {
    "booking": "A hot event",
    "cliff": "What could slow a booking down",
    "alternatives": "The procedure in other ways",
    "anatomy": "Where the time of a booking goes",
    "lists": "Lists",
    "login": "Signing in",
    "cold": "A cold start",
    "followers": "Telling followers",
    "crash": "Crashes",
}
LONGEST = 360.0
"""Seconds for one part, after which it is given up."""


def measure(name: str, scale: Scale) -> Part:
    """Measure one part in a process of its own, so that none finds what another left behind."""
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(name, scale, theirs))
    process.start()
    theirs.close()
    figures: Sequence[Figure] = ()
    failure: str | None = f"it took longer than {LONGEST:.0f} s"
    try:
        if ours.poll(LONGEST):
            figures, failure = ours.recv()
    except EOFError:
        failure = "its process ended"
    finally:
        process.join(10)
        if process.is_alive():
            process.kill()  # its server ends with it
            process.join()
        ours.close()
    seconds = round(time.monotonic() - began, 1)
    return Part(title=PARTS[name], seconds=seconds, figures=figures, failure=failure)


def _measure(name: str, scale: Scale, line: Connection) -> None:
    with _log_to_nowhere():
        try:
            part: Any = importlib.import_module(f"bench.{name}")
            line.send((part.measure(scale), None))
        except Exception as error:
            line.send(((), f"{type(error).__name__}: {error}"))
            raise


@contextlib.contextmanager
def _log_to_nowhere() -> Iterator[None]:
    """Have the app write its log as ever, but where nobody reads it."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)

"""Metrics in CloudWatch's embedded metric format: log lines that CloudWatch turns into metrics."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from chalicelib.platform.observability import logs

NAMESPACE = "EventBooking"

Unit = Literal["Count", "Seconds", "Milliseconds"]


def put(name: str, value: float, unit: Unit, **dimensions: str) -> None:
    """Record one value."""
    put_all({name: (value, unit)}, **dimensions)


def put_all(values: Mapping[str, tuple[float, Unit]], **dimensions: str) -> None:
    """Record several values with the same dimensions.

    The first values of a request are added to the request's own line, see `attach_to_request_log`.
    """
    members: dict[str, object] = {
        "_aws": {
            "Timestamp": round(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [list(dimensions)],
                    "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in values.items()],
                }
            ],
        },
        **{name: value for name, (value, _) in values.items()},
        **dimensions,
    }
    attached = _attached.get()
    if attached is not None and not attached:
        attached.update(members)
    else:
        logs.metric(members)


_attached: ContextVar[dict[str, object] | None] = ContextVar("attached", default=None)


@contextmanager
def attach_to_request_log() -> Iterator[dict[str, object]]:
    """Collect the first metrics of a block for the request's own line, which saves a line per booking."""
    members: dict[str, object] = {}
    token = _attached.set(members)
    try:
        yield members
    finally:
        _attached.reset(token)

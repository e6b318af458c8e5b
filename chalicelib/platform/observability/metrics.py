"""Metrics, in the embedded metric format: a log line that CloudWatch turns into a number."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

NAMESPACE = "EventBooking"

Unit = Literal["Count", "Seconds", "Milliseconds"]


def put(name: str, value: float, unit: Unit, **dimensions: str) -> None:
    """Record one value."""
    put_all({name: (value, unit)}, **dimensions)


def put_all(values: Mapping[str, tuple[float, Unit]], **dimensions: str) -> None:
    """Record values of the same moment (CloudWatch embedded metric format, version of 2018).

    The first of a request are carried by the request's own line, see `carried`.
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
    carrier = _carrier.get()
    if carrier is not None and not carrier:
        carrier.update(members)
    else:
        logging.getLogger("event-booking").info("metric", extra={"metrics": members})


_carrier: ContextVar[dict[str, object] | None] = ContextVar("carrier", default=None)


@contextmanager
def attach_to_request_log() -> Iterator[dict[str, object]]:
    """Give the first metrics of a block to the line that is written for the block anyway.

    A line less for each booking, to write and to pay for.
    """
    members: dict[str, object] = {}
    token = _carrier.set(members)
    try:
        yield members
    finally:
        _carrier.reset(token)

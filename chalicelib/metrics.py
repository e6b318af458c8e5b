"""Metrics, in the embedded metric format: a log line that CloudWatch turns into a number."""

import logging
import time
from collections.abc import Mapping
from typing import Literal

NAMESPACE = "EventBooking"

Unit = Literal["Count", "Seconds", "Milliseconds"]


def put(name: str, value: float, unit: Unit, **dimensions: str) -> None:
    """Record one value."""
    put_all({name: (value, unit)}, **dimensions)


def put_all(values: Mapping[str, tuple[float, Unit]], **dimensions: str) -> None:
    """Record values of the same moment (CloudWatch embedded metric format, version of 2018)."""
    logging.getLogger("event-booking").info(
        "metric",
        extra={
            "members": {
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
        },
    )

"""Metrics, in the embedded metric format: a log line that CloudWatch turns into a number."""

import logging
import time
from typing import Literal

NAMESPACE = "EventBooking"


def put(name: str, value: float, unit: Literal["Count", "Seconds"], **dimensions: str) -> None:
    """Record one value (CloudWatch embedded metric format, version of 2018)."""
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
                            "Metrics": [{"Name": name, "Unit": unit}],
                        }
                    ],
                },
                name: value,
                **dimensions,
            }
        },
    )

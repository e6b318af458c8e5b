"""The time of functions on a schedule, which wait. A simulation replaces it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Clock:
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    """Waits for some seconds."""


SYSTEM_CLOCK = Clock(now=lambda: datetime.now(UTC), sleep=time.sleep)

"""Functions on a schedule go on polling only while work is due within the minute."""

from collections.abc import Callable
from datetime import datetime, timedelta

from chalicelib.platform.clock import SYSTEM_CLOCK, Clock
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.observability import logs

HORIZON = timedelta(minutes=1)
"""Time between two runs of a schedule. Work that is due later is left to the next run."""

POLL_INTERVAL_SECONDS = 1.0

NextDue = Callable[[datetime], datetime | None]
"""Return the first time after the given one, within HORIZON, at which work is known to be due, or None."""


def poll(
    work: Callable[[datetime], object],
    next_due: NextDue,
    *,
    keep_going: Callable[[], bool],
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Do the work that is due now, and go on while more is due within HORIZON and `keep_going` returns True.

    While it waits for known work, it polls for new work. In an outage of the database it polls until it is
    over, because it cannot know what is due.
    """
    while keep_going():
        now = clock.now()
        wait = POLL_INTERVAL_SECONDS
        try:
            work(now)
            due = next_due(now)
        except Unavailable:
            logs.exception("scheduled work failed")
        else:
            if due is None:
                return
            wait = min(wait, (due - clock.now()).total_seconds())
        clock.sleep(max(0, wait))

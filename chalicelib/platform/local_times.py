"""Times as people read them, by the clocks at the event."""

from datetime import datetime

from chalicelib.platform.time_zones import zone

# Not strftime: it would take the names from the locale.
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def format_period(starts_at: datetime, ends_at: datetime, timezone: str) -> str:
    """For example: Saturday, 5 June 2027, 19:30 to 22:30 (Europe/Berlin)."""
    start, end = (at.astimezone(zone(timezone)) for at in (starts_at, ends_at))
    until = _time_of_day(end) if start.date() == end.date() else _date_and_time(end)
    return f"{_date_and_time(start)} to {until} ({timezone})"


def format_time(at: datetime, timezone: str) -> str:
    """For example: Saturday, 5 June 2027, 19:30 (Europe/Berlin)."""
    return f"{_date_and_time(at.astimezone(zone(timezone)))} ({timezone})"


def _date_and_time(at: datetime) -> str:
    return f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year}, {_time_of_day(at)}"


def _time_of_day(at: datetime) -> str:
    """The time of day, with the UTC offset's name in the hour that the end of summer time repeats."""
    shown = at.strftime("%H:%M:%S" if at.second else "%H:%M")
    is_repeated = at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset()
    return f"{shown} {at.strftime('%Z')}" if is_repeated else shown

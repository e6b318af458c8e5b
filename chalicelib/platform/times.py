"""Times as text."""

from datetime import datetime


def rfc3339(moment: datetime, timespec: str = "auto") -> str:
    """Format a time in UTC as RFC 3339 with Z. `timespec` is the precision, as in `datetime.isoformat`."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")

"""Calendar entries: an event as the file that a calendar takes in (RFC 5545)."""

from datetime import UTC, datetime

from icalendar import Calendar, Event, vCalAddress

from chalicelib.notifications.mail_context import EventView
from chalicelib.notifications.mime import one_line


def entry(event: EventView, *, uid: str, organizer: str, made_at: datetime) -> str:
    """An entry to be published to one person, who is the only one to have its `uid`.

    The times are in UTC, which needs no definition of a time zone and is true in the repeated hour when
    clocks are turned back; a calendar shows them where its reader is.
    """
    shown = Event()
    shown.add("uid", uid)
    shown.add("dtstamp", made_at.astimezone(UTC))
    shown.add("last-modified", event.updated_at.astimezone(UTC))
    shown.add("sequence", event.version)
    shown.add("dtstart", event.starts_at.astimezone(UTC))
    shown.add("dtend", event.ends_at.astimezone(UTC))
    shown.add("summary", one_line(event.title))
    if event.location:
        shown.add("location", one_line(event.location))
    # RFC 5546 demands an organizer of what is published; the host's own address is nobody's business.
    published_by = vCalAddress(f"mailto:{organizer}")
    if event.host_name:
        published_by.params["CN"] = one_line(event.host_name)
    shown["organizer"] = published_by
    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//Event booking//EN")
    calendar.add("method", "PUBLISH")
    calendar.add_component(shown)
    return str(calendar.to_ical(), "utf-8")

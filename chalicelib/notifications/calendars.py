"""Calendar entries: an event as an iCalendar file (RFC 5545)."""

from datetime import UTC, datetime

from icalendar import Calendar, Event, vCalAddress

from chalicelib.notifications.mail_context import EventView
from chalicelib.notifications.mime import one_line


def entry(event: EventView, *, uid: str, organizer: str, created_at: datetime) -> str:
    """A calendar with one event. `uid` must be unique per recipient.

    Times are in UTC: that needs no definition of a time zone, and is unambiguous in the hour that the end of
    summer time repeats. Calendars show them in the reader's time zone.
    """
    component = Event()
    component.add("uid", uid)
    component.add("dtstamp", created_at.astimezone(UTC))
    component.add("last-modified", event.updated_at.astimezone(UTC))
    component.add("sequence", event.version)
    component.add("dtstart", event.starts_at.astimezone(UTC))
    component.add("dtend", event.ends_at.astimezone(UTC))
    component.add("summary", one_line(event.title))
    if event.location:
        component.add("location", one_line(event.location))
    # RFC 5546 requires an organizer. The sender's address stands in, because the host's own is private.
    address = vCalAddress(f"mailto:{organizer}")
    if event.host_name:
        address.params["CN"] = one_line(event.host_name)
    component["organizer"] = address
    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//Event booking//EN")
    calendar.add("method", "PUBLISH")
    calendar.add_component(component)
    return str(calendar.to_ical(), "utf-8")

"""Calendar entries: a booking as an iCalendar file (RFC 5545) that calendars merge by its UID (RFC 5546)."""

from datetime import UTC, datetime

from icalendar import Calendar, Event, vCalAddress

from chalicelib.bookings.references import reference_of
from chalicelib.notifications.kinds import CalendarMethod
from chalicelib.notifications.mail_context import BookingView, EventView
from chalicelib.notifications.mime import one_line


def entry(
    method: CalendarMethod,
    event: EventView,
    booking: BookingView,
    *,
    organizer: str,
    url: str | None,
    now: datetime,
) -> str:
    """A calendar with one event, which adds, updates or removes the entry of a booking, whatever its places.

    The sequence grows with each change of the event and of the booking, so that calendars take the newest.
    There are no attendees, as PUBLISH requires, because no reply is expected.

    Times are in UTC: that needs no definition of a time zone, and is unambiguous in the hour that the end of
    summer time repeats. Calendars show them in the reader's time zone.
    """
    component = Event()
    component.add("uid", f"{booking.booking_id}@{organizer.rpartition('@')[2]}")
    component.add("dtstamp", now.astimezone(UTC))
    component.add("last-modified", event.updated_at.astimezone(UTC))
    component.add("sequence", event.version + booking.version)
    component.add("status", "CANCELLED" if method == "CANCEL" else "CONFIRMED")
    component.add("dtstart", event.starts_at.astimezone(UTC))
    component.add("dtend", event.ends_at.astimezone(UTC))
    component.add("summary", one_line(event.title))
    if method == "PUBLISH":
        component.add("description", _description(booking))
    if event.location:
        component.add("location", one_line(event.location))
    if url:
        component.add("url", url)
    # RFC 5546 requires an organizer. The sender's address stands in, because the host's own is private.
    address = vCalAddress(f"mailto:{organizer}")
    if event.host_name:
        address.params["CN"] = one_line(event.host_name)
    component["organizer"] = address
    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//Event booking//EN")
    calendar.add("method", method)
    calendar.add_component(component)
    return str(calendar.to_ical(), "utf-8")


def _description(booking: BookingView) -> str:
    """For example, on three lines: 3 places, 3 x General admission, Booking reference: 7YJ3K0QX."""
    places = sum(item.quantity for item in booking.items)
    return "\n".join(
        [
            f"{places} place{'s' if places > 1 else ''}",
            *(f"{item.quantity} x {one_line(item.name)}" for item in booking.items),
            f"Booking reference: {reference_of(booking.booking_id)}",
        ]
    )

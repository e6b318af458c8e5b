"""The pages of a front end, whose addresses are settings: templates such as https://tickets.example/e/{eventId}."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

Page = Literal["event", "booking", "payment"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_REQUIRED: dict[Page, str] = {"event": "eventId", "booking": "bookingId", "payment": "bookingId"}
_ALLOWED: dict[Page, set[str]] = {
    "event": {"eventId"},
    "booking": {"bookingId", "eventId"},
    "payment": {"bookingId", "eventId"},
}


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """The addresses that the deployment has set. An empty one is not set."""

    home: str = ""
    event: str = ""
    booking: str = ""
    payment: str = ""

    def link(self, page: Page, *, event_id: UUID, booking_id: UUID | None) -> str | None:
        """The link to a page, or else to the next best one; None if there is none.

        A payment is shown with its booking, and a booking with its event.
        """
        if page == "payment" and self.payment and booking_id is not None:
            return _fill(self.payment, event_id, booking_id)
        if page != "event" and self.booking and booking_id is not None:
            return _fill(self.booking, event_id, booking_id)
        return _fill(self.event, event_id, booking_id) if self.event else None


def check(page: Page, template: str) -> None:
    """Check the template of a page.

    Raises:
        ValueError: With a message that continues the name of the setting.
    """
    names = set(_PLACEHOLDER.findall(template))
    if _REQUIRED[page] not in names or not names <= _ALLOWED[page]:
        raise ValueError(
            f"must contain {{{_REQUIRED[page]}}}, such as https://tickets.example/{{{_REQUIRED[page]}}}"
        )
    check_url(_PLACEHOLDER.sub("x", template))


def check_url(url: str) -> None:
    """Check that an address can be a link.

    Raises:
        ValueError: With a message that continues the name of the setting.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid or not re.fullmatch(r"[!#-;=?-\[\]_a-z~]+", url):
        raise ValueError("must be an http or https URL in ASCII")


def _fill(template: str, event_id: UUID, booking_id: UUID | None) -> str:
    return template.replace("{eventId}", str(event_id)).replace("{bookingId}", str(booking_id))

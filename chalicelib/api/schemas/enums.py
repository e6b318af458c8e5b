"""The names of enumerations in the OpenAPI document, which become classes of generated clients."""

from collections.abc import Mapping
from typing import Any, Literal

from chalicelib.bookings import models as bookings
from chalicelib.check_in import batches
from chalicelib.check_in import models as check_in
from chalicelib.events import models as events
from chalicelib.payments.models import DisputeStatus, PaymentStatus
from chalicelib.platform.database.listing import Order
from chalicelib.platform.security import Role

NAMES: Mapping[str, Any] = {
    "BookingStatus": bookings.Status,
    "CheckInDirection": check_in.Direction,
    "CheckInOutcome": check_in.Outcome,
    "ScanOutcome": batches.ScanOutcome,
    "CodeKind": bookings.CodeKind,
    "DisputeStatus": DisputeStatus,
    "EventAvailability": events.Availability,
    "EventStatus": events.Status,
    "NewEventStatus": Literal["draft", "published"],
    "Order": Order,
    "PaymentStatus": PaymentStatus,
    "Role": Role,
    "TicketStatus": bookings.TicketStatus,
    "TicketTypeAvailability": events.TypeAvailability,
    "EventSort": Literal["date", "title", "createdAt", "popularity"],
    "CodeSort": Literal["createdAt", "code"],
    "DateSort": Literal["createdAt", "date"],
    "UserSort": Literal["name", "createdAt"],
}
"""An enumeration that is not listed is named after the first schema and member that has it."""

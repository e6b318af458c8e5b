"""One example of each body, for the OpenAPI document. A test sends or validates each of them."""

from collections.abc import Mapping
from typing import Any

from chalicelib.api.health import Health
from chalicelib.api.schemas.attendees import EventAttendee
from chalicelib.api.schemas.auth import (
    EmailVerification,
    ForgotPassword,
    Login,
    LoginResponse,
    Logout,
    PasswordReset,
    Refresh,
    Registration,
)
from chalicelib.api.schemas.bookings import (
    Booking,
    BookingRequest,
    BookingWithEvent,
    PayablePayment,
    Quote,
)
from chalicelib.api.schemas.box_office import BoxOfficeReport, NewSale
from chalicelib.api.schemas.check_ins import Attendance, CheckInResult, NewCheckIn
from chalicelib.api.schemas.codes import Code, CodeChange, NewCode
from chalicelib.api.schemas.door_keys import CreatedDoorKey, DoorKey, NewDoorKey
from chalicelib.api.schemas.events import (
    Event,
    EventCancellation,
    EventChange,
    EventDetails,
    Integrity,
    NewEvent,
)
from chalicelib.api.schemas.notifications import Notification
from chalicelib.api.schemas.offline_scanners import DoorList, ScanBatch, ScanResults
from chalicelib.api.schemas.pages import NewPassword
from chalicelib.api.schemas.stripe_webhook import WebhookResult
from chalicelib.api.schemas.ticket_types import NewTicketType, TicketType, TicketTypeChange
from chalicelib.api.schemas.tickets import Ticket, TicketChange, Transfer, TransferClaim, TransferRequest
from chalicelib.api.schemas.users import (
    Preferences,
    Profile,
    ProfileChange,
    ProfileReplacement,
    User,
)

_HOST = "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"
_ATTENDEE = "019b2f40-11d2-7c03-8a6e-5b7f90d1c244"
_EVENT = "019b2f41-a0b7-7e19-b3c5-91d2e8f60a17"
_TICKET_TYPE = "019b2f41-a0b8-7d20-8f11-6c0e4a9b2d35"
_CODE = "019b2f43-6c1d-7e02-a4b8-0d7f3e9c5a61"
_BOOKING = "019b2f45-3c6e-7a81-9e02-d4b8c7f1a653"
_TICKET = "019b2f45-3c6f-7d14-b0a2-7e5c1f9d8b36"
_TICKET_CODE = "AGNS6RJ4N56RJMFCPZPRZHMLGYAAD7F5JQ2HUVKZ3OBTY6WXM4ELISA"
_DOOR_KEY = "019b2f47-0c2e-7b91-8d35-7a4c1e6f9b20"
_CHECK_IN = "019b2f47-5d10-7a3b-9c42-1b6e8f0d7a25"
_NONCE = "6f1c2a54-0b7d-4e3f-9a86-d5c4b3a29180"
_NOTIFICATION = "019b2f46-0a1b-7c2d-8e3f-405162738495"
_PASSWORD = "correct horse battery"  # noqa: S105 (an example)
_EMAIL_TOKEN = "Zk3uY0m1C5q8v7T2xWb9RfLh6NsPaDeGjKoQiUyXtVw"  # noqa: S105 (an example)
_REFRESH_TOKEN = "p9XhT0m1C5q8v7T2xWb9RfLh6NsPaDeGjKoQiUyXtVw"  # noqa: S105 (an example)
_CLIENT_SECRET = "pi_3PqL5s2eZvKYlo2C1gUBDnIF_secret_Xy7Qm2"  # noqa: S105 (an example)
_INTENT = "pi_3PqL5s2eZvKYlo2C1gUBDnIF"

_ADA = {
    "userId": _ATTENDEE,
    "name": "Ada Lovelace",
    "role": "attendee",
    "createdAt": "2029-11-02T08:15:30.250Z",
    "email": "ada@example.com",
    "emailVerified": True,
    "updatedAt": "2029-11-02T08:17:04.101Z",
}

_NEW_EVENT = {
    "title": "Jazz in the yard",
    "description": "Four musicians, one yard, and the swifts above.",
    "location": "Kulturhof, Berlin",
    "startDateTime": "2030-06-05T19:30:00+02:00",
    "endDateTime": "2030-06-05T22:30:00+02:00",
    "timezone": "Europe/Berlin",
    "capacity": 100,
    "price": 2500,
    "currency": "eur",
    "saleEndsAt": "2030-06-05T18:00:00+02:00",
    "refundUntil": "2030-06-01T00:00:00+02:00",
    "maxPerAttendee": 4,
    "status": "published",
}

_NEW_TYPE = {
    "name": "Early bird",
    "description": "For the first twenty.",
    "price": 1800,
    "capacity": 20,
    "maxPerBooking": 2,
}

_NEW_CODE = {
    "code": "EARLYBIRD",
    "kind": "percent",
    "value": 20,
    "ticketTypeIds": [_TICKET_TYPE],
    "maxUses": 50,
}

_JAZZ = {
    "eventId": _EVENT,
    "hostId": _HOST,
    "host": {"userId": _HOST, "name": "Kulturhof"},
    "title": "Jazz in the yard",
    "description": "Four musicians, one yard, and the swifts above.",
    "location": "Kulturhof, Berlin",
    "startDateTime": "2030-06-05T17:30:00Z",
    "endDateTime": "2030-06-05T20:30:00Z",
    "timezone": "Europe/Berlin",
    "capacity": 100,
    "numberOfAttendees": 42,
    "price": 2500,
    "currency": "eur",
    "saleEndsAt": "2030-06-05T16:00:00Z",
    "refundUntil": "2030-05-31T22:00:00Z",
    "status": "published",
    "ticketTypes": [
        {
            "ticketTypeId": _TICKET_TYPE,
            "name": "General admission",
            "price": 2500,
            "currency": "eur",
            "taken": 42,
            "minPerBooking": 1,
            "maxPerBooking": 100,
            "codeRequired": False,
            "availability": "on-sale",
        }
    ],
    "availability": "on-sale",
    "maxPerAttendee": 4,
    "reEntryAllowed": False,
    "verifiedAttendeesOnly": False,
    "onSale": True,
    "createdAt": "2030-01-15T09:00:00.000Z",
    "updatedAt": "2030-01-15T09:00:00.000Z",
    "viewer": {"following": True, "interested": False, "bookingIds": []},
}

_ITEMS = [{"ticketTypeId": _TICKET_TYPE, "name": "General admission", "quantity": 1, "unitPrice": 2500}]

_HOLD = {
    "bookingId": _BOOKING,
    "reference": "7YJ3K0QX",
    "userId": _ATTENDEE,
    "eventId": _EVENT,
    "status": "pending",
    "quantity": 1,
    "items": _ITEMS,
    "amount": 2500,
    "refunded": 0,
    "currency": "eur",
    "createdAt": "2030-02-01T12:00:00.000Z",
    "updatedAt": "2030-02-01T12:00:00.000Z",
    "expiresAt": "2030-02-01T12:15:00.000Z",
    "payment": {
        "provider": "stripe",
        "paymentIntentId": _INTENT,
        "clientSecret": _CLIENT_SECRET,
        "status": "requires_payment",
    },
}

_NORTH_GATE = {
    "doorKeyId": _DOOR_KEY,
    "name": "North gate",
    "createdAt": "2030-06-05T14:00:00.000Z",
    "expiresAt": "2030-06-06T08:30:00.000Z",
}

_SCANNED = {
    "ticketId": _TICKET,
    "ticketTypeId": _TICKET_TYPE,
    "name": "General admission",
    "status": "used",
    "holderName": "Grace Hopper",
    "reference": "9YVAK3MT",
}
_ADMITTED = {
    "checkInId": _CHECK_IN,
    "ticketId": _TICKET,
    "direction": "in",
    "outcome": "admitted",
    "scannedAt": "2030-06-05T16:45:10.250Z",
    "gate": "North",
    "byHand": False,
}

EXAMPLES: Mapping[Any, Any] = {
    Registration: {
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "password": _PASSWORD,
        "role": "attendee",
    },
    Login: {"email": "ada@example.com", "password": _PASSWORD},
    LoginResponse: {
        "user": _ADA,
        "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTliMmY0MCJ9.c2lnbmF0dXJl",
        "expiresAt": "2029-11-02T09:15:30.250Z",
        "refreshToken": _REFRESH_TOKEN,
    },
    Refresh: {"refreshToken": _REFRESH_TOKEN},
    Logout: {"refreshToken": _REFRESH_TOKEN},
    EmailVerification: {"token": _EMAIL_TOKEN},
    ForgotPassword: {"email": "ada@example.com"},
    PasswordReset: {"token": _EMAIL_TOKEN, "password": _PASSWORD},
    NewPassword: {"password": _PASSWORD},
    User: _ADA,
    Profile: {
        "userId": _HOST,
        "name": "Kulturhof",
        "role": "host",
        "createdAt": "2029-10-01T10:00:00.000Z",
        "upcomingEventCount": 3,
        "followerCount": 128,
    },
    ProfileReplacement: {"name": "Ada King", "email": "ada@example.com", "currentPassword": _PASSWORD},
    ProfileChange: {"name": "Ada King"},
    Preferences: {
        "email": {
            "newEvent": True,
            "saleStarted": True,
            "bookingConfirmed": True,
            "bookingCancelled": True,
            "eventChanged": False,
            "dailyDigest": True,
        }
    },
    NewEvent: _NEW_EVENT,
    EventDetails: _NEW_EVENT,
    EventChange: {"title": "Jazz in the hall", "location": "Konzerthaus, Berlin", "description": None},
    EventCancellation: {"reason": "The singer is ill. We are sorry."},
    Event: _JAZZ,
    NewTicketType: _NEW_TYPE,
    TicketTypeChange: {"price": 2000, "capacity": None},
    TicketType: {
        "ticketTypeId": _TICKET_TYPE,
        **_NEW_TYPE,
        "currency": "eur",
        "taken": 0,
        "minPerBooking": 1,
        "codeRequired": False,
        "availability": "on-sale",
    },
    NewCode: _NEW_CODE,
    CodeChange: {"maxUses": 100, "validUntil": "2030-04-01T00:00:00+02:00"},
    Code: {
        "codeId": _CODE,
        **_NEW_CODE,
        "uses": 7,
        "createdAt": "2030-01-15T09:05:00.000Z",
        "updatedAt": "2030-01-15T09:05:00.000Z",
    },
    Integrity: {
        "eventId": _EVENT,
        "checkedAt": "2030-02-01T12:30:00.000Z",
        "places": {"capacity": 100, "taken": 42, "counted": 42},
        "ticketTypes": [
            {"ticketTypeId": _TICKET_TYPE, "name": "General admission", "taken": 42, "counted": 42}
        ],
        "codes": [],
        "bookings": {"pending": 2, "confirmed": 40, "cancelled": 3, "expired": 5},
        "money": [
            {
                "currency": "eur",
                "received": 107_500,
                "refunded": 5_000,
                "refundPending": 0,
                "kept": 102_500,
                "keptOfCancelled": 2_500,
                "confirmed": 100_000,
                "disputed": 0,
            }
        ],
        "differences": [],
    },
    BookingRequest: {"eventId": _EVENT},
    Quote: {"eventId": _EVENT, "quantity": 1, "items": _ITEMS, "amount": 2500, "currency": "eur"},
    Booking: _HOLD,
    BookingWithEvent: {
        **{name: value for name, value in _HOLD.items() if name != "expiresAt"},
        "status": "confirmed",
        "updatedAt": "2030-02-01T12:01:12.480Z",
        "payment": {"provider": "stripe", "paymentIntentId": _INTENT, "status": "paid"},
        "event": _JAZZ,
        "refundUntil": "2030-05-31T22:00:00Z",
    },
    NewSale: {"name": "Ada Lovelace", "email": "ada@example.com", "quantity": 2, "paidBy": "cash"},
    BoxOfficeReport: {
        "eventId": _EVENT,
        "currency": "eur",
        "online": {"tickets": 40, "amount": 100_000},
        "cash": {"tickets": 12, "amount": 30_000},
        "card": {"tickets": 5, "amount": 12_500},
        "free": {"tickets": 3},
        "cancelled": {
            "cash": {"tickets": 1, "amount": 2_500},
            "card": {"tickets": 0, "amount": 0},
            "free": {"tickets": 0},
        },
    },
    EventAttendee: {
        "reference": "7YJ3K0QX",
        "bookingId": _BOOKING,
        "ticketId": _TICKET,
        "ticketTypeId": _TICKET_TYPE,
        "ticketType": "General admission",
        "name": "Grace Hopper",
        "email": "grace@example.com",
        "status": "used",
        "price": 2000,
        "currency": "eur",
        "paidBy": "online",
        "code": "EARLYBIRD",
        "bookedAt": "2030-02-01T12:00:00.000Z",
        "checkedInAt": "2030-06-05T16:48:12.300Z",
        "gate": "North",
    },
    PayablePayment: {
        "provider": "stripe",
        "paymentIntentId": _INTENT,
        "clientSecret": _CLIENT_SECRET,
        "status": "requires_payment",
    },
    Ticket: {
        "ticketId": _TICKET,
        "bookingId": _BOOKING,
        "eventId": _EVENT,
        "ticketTypeId": _TICKET_TYPE,
        "name": "General admission",
        "price": 2500,
        "currency": "eur",
        "status": "valid",
        "holderName": "Grace Hopper",
        "holderEmail": "grace@example.com",
        "createdAt": "2030-02-01T12:00:00.000Z",
        "updatedAt": "2030-02-02T18:30:00.000Z",
    },
    TicketChange: {"holderName": "Grace Hopper", "holderEmail": "grace@example.com"},
    NewDoorKey: {"name": "North gate"},
    DoorKey: _NORTH_GATE,
    CreatedDoorKey: {**_NORTH_GATE, "key": "key_Zk3uY0m1C5q8v7T2xWb9RfLh6NsPaDeGjKoQiUyXtVw"},
    NewCheckIn: {"code": _TICKET_CODE, "nonce": _NONCE, "gate": "North"},
    CheckInResult: {"ticket": _SCANNED, "checkIn": _ADMITTED},
    ScanBatch: {
        "scans": [
            {"code": _TICKET_CODE, "nonce": _NONCE, "gate": "North", "at": "2030-06-05T18:45:12+02:00"}
        ],
        "sentAt": "2030-06-05T19:02:40+02:00",
    },
    ScanResults: {
        "results": [
            {"nonce": _NONCE, "outcome": "admitted", "ticket": _SCANNED, "checkIn": _ADMITTED},
        ]
    },
    DoorList: {
        "eventId": _EVENT,
        "title": "Jazz in the yard",
        "startDateTime": "2030-06-05T17:30:00Z",
        "doorsOpenAt": "2030-06-05T16:30:00Z",
        "timezone": "Europe/Berlin",
        "reEntryAllowed": False,
        "serverTime": "2030-06-05T16:45:11.300Z",
        "mark": "8d1f0c2e.48211.0.",
        "more": False,
        "full": True,
        "ticketTypes": [{"ticketTypeId": _TICKET_TYPE, "name": "General admission"}],
        "tickets": [
            {
                "ticketId": _TICKET,
                "ticketTypeId": _TICKET_TYPE,
                "status": "valid",
                "inside": False,
                "holderName": "Grace Hopper",
                "reference": "9YVAK3MT",
                "codeHashes": ["4b43b0aee35624cd95b910189b3dc231be2a2c9d6ac22ef7eeda45b91fa8b0c1"],
            }
        ],
    },
    TransferRequest: {"email": "grace@example.com"},
    Transfer: {
        "ticketId": _TICKET,
        "email": "grace@example.com",
        "createdAt": "2030-02-02T18:30:00.000Z",
        "expiresAt": "2030-02-09T18:30:00.000Z",
    },
    TransferClaim: {"token": _EMAIL_TOKEN, "name": "Grace Hopper"},
    Attendance: {
        "eventId": _EVENT,
        "inside": 2,
        "admitted": 3,
        "conflicts": 1,
        "ticketTypes": [
            {
                "ticketTypeId": _TICKET_TYPE,
                "name": "General admission",
                "sold": 42,
                "admitted": 3,
                "inside": 2,
            }
        ],
        "gates": [{"gate": "North", "admissions": 2}, {"admissions": 1}],
        "quarters": [{"from": "2030-06-05T16:45:00Z", "admissions": 3}],
        "conflictList": [
            {
                "ticketId": _TICKET,
                "reference": "9YVAK3MT",
                "scan": {
                    "checkInId": "019b2f47-6a02-7c44-8f11-0d9e8c7b6a53",
                    "scannedAt": "2030-06-05T16:51:32.008Z",
                    "gate": "South",
                },
                "first": {
                    "checkInId": _CHECK_IN,
                    "scannedAt": "2030-06-05T16:45:10.250Z",
                    "gate": "North",
                },
            }
        ],
    },
    Notification: {
        "notificationId": _NOTIFICATION,
        "type": "event-published",
        "eventId": _EVENT,
        "title": "Jazz in the yard",
        "createdAt": "2030-01-15T09:00:02.000Z",
    },
    WebhookResult: {"outcome": "confirmed"},
    Health: {"status": "ok"},
    dict[str, Any]: {"openapi": "3.1.0", "info": {"title": "Event booking", "version": "0.1.0"}},
}

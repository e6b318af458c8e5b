"""Demo data for `make run`: a host, an attendee, and events with different tickets and states."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, update

from chalicelib.bookings import booking as bookings
from chalicelib.bookings import codes
from chalicelib.bookings.booking import BookingLimits, Order
from chalicelib.bookings.codes import CodeDetails
from chalicelib.events import publishing as events
from chalicelib.events.models import events as events_table
from chalicelib.events.rules import Details
from chalicelib.events.ticket_types import TypeDetails
from chalicelib.payments import cancellation
from chalicelib.platform import security
from chalicelib.platform.database.engine import Database
from chalicelib.platform.security import Caller, Role
from chalicelib.platform.settings import Settings
from chalicelib.users import accounts as users
from chalicelib.users import follows
from chalicelib.users.models import users as users_table

HOST_EMAIL = "host@example.com"
ATTENDEE_EMAIL = "attendee@example.com"
PASSWORD = "correct horse battery"  # noqa: S105 - `make run` prints it
FREE_EVENT = "Jazz in the yard"
PRICED_EVENT = "Late night trio"
CLUB_NIGHT = "Club night"


@dataclass(frozen=True)
class Demo:
    """The events that `make run` prints."""

    free_event_id: UUID
    priced_event_id: UUID


def load(database_url: str) -> Demo:
    """Load missing demo data into a migrated database.

    If an account or event has been changed, deleted or has ended, create it again and keep the others.
    """
    database = Database(Settings(database_url=database_url))
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        with database.transaction() as session:
            host = _account(session, "The Blue Notes", HOST_EMAIL, "host", now)
            attendee = _account(session, "Ada Lovelace", ATTENDEE_EMAIL, "attendee", now)
            # The mailbox gets notifications only at verified addresses.
            _verify(session, [host.user_id, attendee.user_id], now)
            follows.follow(session, attendee.user_id, host.user_id, now)
            free, priced = (_bookable(session, host, title, now) for title in (FREE_EVENT, PRICED_EVENT))
        if free is None or priced is None:
            created = _create_events(database, host, attendee, now)
            free, priced = created[FREE_EVENT], created[PRICED_EVENT]
        return Demo(free, priced)
    finally:
        database.close()


def _account(session: Connection, name: str, email: str, role: Role, now: datetime) -> Caller:
    if account := users.find_credentials(session, email=email):
        return account.caller
    password_hash = security.hash_password(PASSWORD)
    return users.register(session, name=name, email=email, password_hash=password_hash, role=role, now=now)


def _verify(session: Connection, user_ids: list[UUID], now: datetime) -> None:
    session.execute(
        update(users_table)
        .where(users_table.c.user_id.in_(user_ids), users_table.c.email_verified_at.is_(None))
        .values(email_verified_at=now)
    )


def _bookable(session: Connection, host: Caller, title: str, now: datetime) -> UUID | None:
    return session.scalar(
        select(events_table.c.event_id)
        .where(
            events_table.c.host_id == host.user_id,
            events_table.c.title == title,
            events_table.c.status == "published",
            events_table.c.deleted_at.is_(None),
            events_table.c.starts_at > now,
        )
        .limit(1)
    )


def _create_events(database: Database, host: Caller, attendee: Caller, now: datetime) -> dict[str, UUID]:
    with database.transaction() as session:
        created = {
            details.title: events.create(
                session, host.user_id, details, now, may_publish=True, charges=True, types=types
            )
            for details, types in _events(now)
        }
        code = CodeDetails(code="FRIENDS", kind="percent", value=20, max_uses=50)
        codes.create(session, host.user_id, created[CLUB_NIGHT], code, now)
        rained_out = created["Rained out"]
        reason = "The yard is under water."
        cancellation.cancel_event(session, host.user_id, rained_out, reason=reason, expected=None, now=now)
    limits = BookingLimits(
        hold=timedelta(minutes=15),
        max_open_holds=None,
        hold_cooldown=timedelta(0),
        verified_attendees_only=False,
    )
    bookings.book(database, attendee, Order(created["Living room concert"]), key=None, limits=limits, now=now)
    return created


def _events(now: datetime) -> Iterator[tuple[Details, Sequence[TypeDetails]]]:
    """Return events on sale, a sold-out one, a future sale, a draft, and one to cancel, with ticket types."""
    evening = now.replace(hour=18, minute=0, second=0) + timedelta(days=30)
    until_saturday = (5 - evening.weekday()) % 7

    def details(title: str, days: int, *, hours: int = 3, **others: Any) -> Details:
        return Details(
            title=title,
            location="Kulturhof, Berlin",
            starts_at=evening + timedelta(days=days),
            ends_at=evening + timedelta(days=days, hours=hours),
            timezone="Europe/Berlin",
            currency="eur",
            **{"capacity": 100, **others},
        )

    yield details(FREE_EVENT, 0, description="Four musicians, one yard, and the swifts above."), ()
    yield details(PRICED_EVENT, 3, description="After midnight, by candlelight.", capacity=30, price=2500), ()
    yield details("How to listen", 5, description="A talk, with questions.", max_per_attendee=2), ()
    yield details("Living room concert", 7, capacity=1), ()
    yield (
        details(CLUB_NIGHT, 10, capacity=300, price=None, max_per_attendee=4),
        (
            TypeDetails(name="Early bird", price=1200, capacity=50, sale_ends_at=now + timedelta(days=14)),
            TypeDetails(name="Regular", price=1800),
            TypeDetails(name="Guest list", price=0, capacity=20, code_required=True),
        ),
    )
    yield (
        details(
            "Summer festival", 14 + until_saturday, hours=28, capacity=5000, price=None, max_per_attendee=10
        ),
        (
            TypeDetails(name="Weekend", price=9900, description="Saturday and Sunday."),
            TypeDetails(name="Saturday", price=5900, capacity=2000),
            TypeDetails(name="Sunday", price=5900, capacity=2000),
        ),
    )
    yield details("Open air opera", 18, capacity=800, price=3500, sale_starts_at=now + timedelta(days=7)), ()
    yield details("Secret session", 21, status="draft"), ()
    yield details("Rained out", 28), ()

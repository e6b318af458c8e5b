"""Request and response bodies of /users."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause, Uuid, bindparam, case, func, select, true

from chalicelib.notifications.models import TOPICS, suppressed_addresses
from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time, message, text
from chalicelib.platform.security import Role

MAX_EMAIL_LENGTH = 254
"""RFC 5321, section 4.5.3.1, as read by erratum 1690 of RFC 3696."""

# The pattern browsers use for <input type="email"> (HTML standard), and a dot in the domain. The local part
# is a dot-atom (RFC 5322) and no encoded word (RFC 2047), which mail servers would refuse or decode.
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"

_ATOM = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"

_EMAIL = rf"^(?![^@]*=\?)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+$"

Name = Annotated[str, text(200, examples=["Ada Lovelace"])]

Email = Annotated[
    str,
    Meta(
        max_length=MAX_EMAIL_LENGTH,
        pattern=_EMAIL,
        description="Case-insensitive.",
        examples=["ada@example.com"],
        extra={"message": f"must be an e-mail address of at most {MAX_EMAIL_LENGTH} characters"},
    ),
]

Password = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=128,
        description="Any characters, none trimmed.",
        examples=["correct horse battery"],
        extra={"message": "must have 8 to 128 characters", "verbatim": True},
    ),
]

GivenPassword = Annotated[
    str,
    Meta(max_length=128, extra={"message": "must be text of at most 128 characters", "verbatim": True}),
]
"""A password to verify: a wrong length is a wrong password, not invalid input."""


class ProfileReplacement(Body):
    """A whole profile. The password stays unless a new one is given."""

    name: Name
    email: Email
    password: Password | UnsetType = UNSET
    current_password: GivenPassword | UnsetType = UNSET


class ProfileChange(Body):
    """Parts of a profile."""

    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    current_password: GivenPassword | UnsetType = UNSET


class User(Struct, kw_only=True, rename="camel"):
    """A user. All but `userId`, `name`, `role` and `createdAt` are shown to the user only."""

    user_id: Id
    name: str
    role: Role
    created_at: Time
    email: str | UnsetType = UNSET
    email_verified: bool | UnsetType = UNSET
    pending_email: (
        Annotated[str, Meta(description="A new address. It counts when it is verified.")] | UnsetType
    ) = UNSET
    email_suppressed: (
        Annotated[
            bool,
            Meta(
                description="Present if e-mails to your address have failed or were reported as spam, and so "
                "are no longer sent. After a failure you can reset your password to get them again."
            ),
        ]
        | UnsetType
    ) = UNSET
    updated_at: Time | UnsetType = UNSET


class Profile(User, kw_only=True):
    """A profile."""

    upcoming_event_count: (
        Annotated[int, Meta(description="For hosts: published events that have not ended.")] | UnsetType
    ) = UNSET

    follower_count: Annotated[int, Meta(description="For hosts.")] | UnsetType = UNSET


def user_json(row: FromClause) -> ColumnElement[Any]:
    """A user as the parameter `caller` sees them."""
    return as_json(User, row, **_private(row))


def profile_json(row: FromClause) -> ColumnElement[Any]:
    """A profile as the parameter `caller` sees it."""
    return as_json(Profile, row, **_private(row))


def _private(row: FromClause) -> dict[str, ColumnElement[Any]]:
    """The members that only the user themself sees."""
    own = row.c.user_id == bindparam("caller", type_=Uuid)
    return {
        "email": case((own, row.c.email)),
        "email_verified": case((own, row.c.email_verified_at.is_not(None))),
        "pending_email": case((own, row.c.pending_email)),
        "email_suppressed": case((own, _suppressed(row))),
        "updated_at": case((own, row.c.updated_at)),
    }


def _suppressed(row: FromClause) -> ColumnElement[bool | None]:
    """True or null. For EXISTS, the planner would read all suppressed addresses in a list."""
    return select(true()).where(suppressed_addresses.c.email == func.lower(row.c.email)).scalar_subquery()


class FollowQuery(PageQuery, kw_only=True):
    sort: Literal["createdAt"] = "createdAt"


class InterestQuery(PageQuery, kw_only=True):
    sort: Literal["createdAt", "date"] = "createdAt"


class UserQuery(PageQuery, kw_only=True):
    role: list[Role] | None = None
    q: Annotated[str, text(200, description="Beginnings of words in the name.")] | None = None
    sort: Literal["name", "createdAt"] = "name"


class EmailPreferences(Body):
    """The topics that you get e-mails about.

    E-mails about your account, about money (including receipts) and about cancelled events are always sent.
    `dailyDigest` is for hosts: the bookings at your events, once a day if there is news.
    """

    new_event: bool
    sale_started: bool
    booking_confirmed: bool
    booking_cancelled: bool
    event_changed: bool
    daily_digest: bool


class Preferences(Body):
    """Your notification preferences."""

    email: Annotated[
        EmailPreferences,
        message(f"must be an object with true or false for each of {', '.join(TOPICS)}, and nothing else"),
    ]

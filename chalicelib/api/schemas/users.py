"""Request and response bodies of /users."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.notifications.models import TOPICS
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time, message, text
from chalicelib.platform.security import Role

MAX_EMAIL_LENGTH = 254
"""RFC 5321, section 4.5.3.1, as read by erratum 1690 of RFC 3696."""

# The pattern browsers use for <input type="email"> (HTML standard), and a dot in the domain.
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"

_EMAIL = rf"^[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+$"

Name = Annotated[str, text(200, examples=["Ada Lovelace"])]

Email = Annotated[
    str,
    Meta(
        max_length=MAX_EMAIL_LENGTH,
        pattern=_EMAIL,
        description="Compared without case.",
        examples=["ada@example.com"],
        extra={"says": f"must be an e-mail address of at most {MAX_EMAIL_LENGTH} characters"},
    ),
]

Password = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=128,
        description="Any characters, none trimmed.",
        examples=["correct horse battery"],
        extra={"says": "must have 8 to 128 characters", "verbatim": True},
    ),
]

GivenPassword = Annotated[
    str,
    Meta(max_length=128, extra={"says": "must be text of at most 128 characters", "verbatim": True}),
]
"""A password to compare: a wrong length is a wrong password, not bad input."""
AnyRole = Annotated[Role, message("must be host or attendee")]

UserSort = Annotated[Literal["name", "createdAt"], message("must be name or createdAt")]


class ProfileReplacement(Body):
    """A whole profile; the password stays unless a new one is given."""

    name: Name
    email: Email
    password: Password | UnsetType = UNSET
    current_password: GivenPassword | UnsetType = UNSET


class ProfileChange(Body):
    """Some members of a profile."""

    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    current_password: GivenPassword | UnsetType = UNSET


class User(Struct, kw_only=True, rename="camel"):
    """A user. E-mail, whether it is verified, and last change are shown to themselves alone."""

    user_id: Id
    name: str
    role: Role
    created_at: Time
    email: str | UnsetType = UNSET
    email_verified: bool | UnsetType = UNSET
    updated_at: Time | UnsetType = UNSET


class Profile(User, kw_only=True):
    """A user's page."""

    upcoming_event_count: (
        Annotated[int, Meta(description="Of a host: published events that have not ended.")] | UnsetType
    ) = UNSET

    follower_count: Annotated[int, Meta(description="Of a host.")] | UnsetType = UNSET


class UserQuery(PageQuery, kw_only=True):
    role: AnyRole | None = None
    q: Annotated[str, text(200, description="Words that names begin with.")] | None = None
    sort: UserSort = "name"


class EmailPreferences(Body):
    """Which e-mails to get.

    What an account needs, what is about money (receipts too), and that an event is cancelled, comes anyway.
    """

    new_event: bool
    sale_started: bool
    booking_confirmed: bool
    booking_cancelled: bool
    event_changed: bool


class Preferences(Body):
    """What a person wants to be told, and how."""

    email: Annotated[
        EmailPreferences,
        message(f"must be an object with true or false for each of {', '.join(TOPICS)}, and nothing else"),
    ]

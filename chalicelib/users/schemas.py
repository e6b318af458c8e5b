"""Users on the wire."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.security import Role
from chalicelib.web.paging import PageQuery
from chalicelib.web.validation import Body, Id, Time, says, text

LONGEST_EMAIL = 254
"""RFC 5321, section 4.5.3.1, as read by erratum 1690 of RFC 3696."""

# The pattern browsers use for <input type="email"> (HTML standard), and a dot in the domain.
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = rf"^[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+$"

Name = Annotated[str, text(200, examples=["Ada Lovelace"])]
Email = Annotated[
    str,
    Meta(
        max_length=LONGEST_EMAIL,
        pattern=_EMAIL,
        description="Compared without case.",
        examples=["ada@example.com"],
        extra={"says": f"must be an e-mail address of at most {LONGEST_EMAIL} characters"},
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
ClaimedPassword = Annotated[
    str,
    Meta(max_length=128, extra={"says": "must be text of at most 128 characters", "verbatim": True}),
]
"""A password to compare: a wrong length is a wrong password, not bad input."""
AnyRole = Annotated[Role, says("must be host or attendee")]
UserSort = Annotated[Literal["name", "createdAt"], says("must be name or createdAt")]


class Registration(Body):
    """A new account."""

    name: Name
    email: Email
    password: Password
    role: AnyRole


class Login(Body):
    """A claim to an account."""

    email: Annotated[str, text(LONGEST_EMAIL, examples=["ada@example.com"])]
    password: ClaimedPassword


class ProfileReplacement(Body):
    """A whole profile; the password stays unless a new one is given."""

    name: Name
    email: Email
    password: Password | UnsetType = UNSET
    current_password: ClaimedPassword | UnsetType = UNSET


class ProfileChange(Body):
    """Some members of a profile."""

    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    current_password: ClaimedPassword | UnsetType = UNSET


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


class Session(Struct, kw_only=True):
    """A signed-in user and the token to send as `Authorization: Bearer …`; it lives one hour."""

    user: User
    token: str


class UserQuery(PageQuery, kw_only=True):
    role: AnyRole | None = None
    q: Annotated[str, text(200, description="Words that names begin with.")] | None = None
    sort: UserSort = "name"

"""Request and response bodies of /auth."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.api.schemas.users import MAX_EMAIL_LENGTH, Email, GivenPassword, Name, Password, User
from chalicelib.platform.http.validation import Body, Time, text
from chalicelib.platform.security import Role


class Registration(Body):
    """A new account."""

    name: Name
    email: Email
    password: Password
    role: Role


class Login(Body):
    """E-mail address and password."""

    email: Annotated[str, text(MAX_EMAIL_LENGTH, examples=["ada@example.com"])]
    password: GivenPassword


RefreshToken = Annotated[
    str,
    text(
        200,
        description="Works once, for 30 days.",
        examples=["p9XhT0m1C5q8v7T2xWb9RfLh6NsPaDeGjKoQiUyXtVw"],
    ),
]


class LoginResponse(Struct, kw_only=True, rename="camel"):
    """The user, the token to send as `Authorization: Bearer …`, and the token to get the next one with."""

    user: User
    token: str
    expires_at: Annotated[Time, Meta(description="The end of `token`, one hour after the request.")]
    refresh_token: RefreshToken


class Refresh(Body):
    """The refresh token of the last login or refresh."""

    refresh_token: RefreshToken


class Logout(Body):
    """The session to end, if it is another one than that of the access token."""

    refresh_token: RefreshToken | UnsetType = UNSET


EmailToken = Annotated[
    str,
    text(
        200,
        description="As in the e-mail.",
        examples=["Zk3uY0m1C5q8v7T2xWb9RfLh6NsPaDeGjKoQiUyXtVw"],
    ),
]


class EmailVerification(Body):
    """The token from the e-mail."""

    token: EmailToken


class ForgotPassword(Body):
    """The address of the account."""

    email: Email


class PasswordReset(Body):
    """The token from the e-mail, and the new password."""

    token: EmailToken
    password: Password

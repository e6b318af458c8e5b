"""Request and response bodies of /auth."""

from typing import Annotated

from msgspec import Struct

from chalicelib.api.schemas.users import MAX_EMAIL_LENGTH, Email, GivenPassword, Name, Password, User
from chalicelib.platform.http.validation import Body, text
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


class LoginResponse(Struct, kw_only=True):
    """The user, and the token to send as `Authorization: Bearer …`. It is valid for one hour."""

    user: User
    token: str


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

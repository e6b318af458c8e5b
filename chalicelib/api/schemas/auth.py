"""Request and response bodies of /auth."""

from typing import Annotated

from msgspec import Struct

from chalicelib.api.schemas.users import MAX_EMAIL_LENGTH, AnyRole, Email, GivenPassword, Name, Password, User
from chalicelib.platform.http.validation import Body, text


class Registration(Body):
    """A new account."""

    name: Name
    email: Email
    password: Password
    role: AnyRole


class Login(Body):
    """A claim to an account."""

    email: Annotated[str, text(MAX_EMAIL_LENGTH, examples=["ada@example.com"])]
    password: GivenPassword


class LoginResponse(Struct, kw_only=True):
    """A signed-in user and the token to send as `Authorization: Bearer …`; it lives one hour."""

    user: User
    token: str


EmailToken = Annotated[
    str,
    text(
        200,
        description="As it stands in the e-mail.",
        examples=["Zk3uY0m1C5q8v7T2xWb9RfLh6NsPaDeGjKoQiUyXtVw"],
    ),
]


class EmailVerification(Body):
    """What proves an e-mail address."""

    token: EmailToken


class ForgotPassword(Body):
    """Whose password is forgotten."""

    email: Email


class PasswordReset(Body):
    """What proves an e-mail address, and the new password."""

    token: EmailToken
    password: Password

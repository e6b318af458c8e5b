"""Proofs of an e-mail address on the wire."""

from typing import Annotated

from msgspec import Struct

from chalicelib.users.schemas import Email, Password
from chalicelib.web.validation import Body, text

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


class ForgottenPassword(Body):
    """Whose password is forgotten."""

    email: Email


class PasswordReset(Body):
    """What proves an e-mail address, and the new password."""

    token: EmailToken
    password: Password


class EmailLink(Struct, kw_only=True):
    token: EmailToken


class NewPassword(Body):
    """The form of a page."""

    password: Password

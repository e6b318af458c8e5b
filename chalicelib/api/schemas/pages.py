"""Query strings and forms of the pages behind links in e-mails."""

from typing import Annotated

from msgspec import Struct

from chalicelib.api.schemas.auth import EmailToken
from chalicelib.api.schemas.users import Password
from chalicelib.platform.http.validation import Body, text


class EmailLink(Struct, kw_only=True):
    token: EmailToken


class NewPassword(Body):
    """The form for a new password."""

    password: Password


class UnsubscribeQuery(Struct, kw_only=True):
    token: Annotated[str, text(200, description="As in the link.")]

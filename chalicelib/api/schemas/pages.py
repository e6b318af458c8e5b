"""Query strings and forms of the pages behind links in e-mails."""

from typing import Annotated

from msgspec import Meta, Struct

from chalicelib.api.schemas.users import Password
from chalicelib.platform.http.validation import Body


class Link(Struct, kw_only=True):
    """A link in an e-mail. Any token is read: a page explains a bad one."""

    token: Annotated[str, Meta(description="As in the link.")] = ""


class NewPassword(Body):
    """The form for a new password."""

    password: Password

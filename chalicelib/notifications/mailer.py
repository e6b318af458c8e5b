"""The port to the mail service."""

from typing import Protocol

from chalicelib.platform.errors import Unreachable


class AddressRefused(Exception):
    """The mail service refuses this address, permanently."""


class EmailRefused(Unreachable):
    """The mail service refuses this e-mail for a reason that may be fixed. Others may be accepted."""


class Mailer(Protocol):
    def send(self, address: str, message: bytes) -> None:
        """Send a MIME message to one address.

        Raises:
            AddressRefused, EmailRefused, Unreachable
        """

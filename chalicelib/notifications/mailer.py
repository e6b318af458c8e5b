"""The port to the mail service."""

from typing import Protocol


class AddressRefused(Exception):
    """The mail service will not send to this address, now or later."""


class Mailer(Protocol):
    def send(self, address: str, message: bytes) -> None:
        """Send a MIME message to one address.

        Raises:
            AddressRefused, Unreachable
        """

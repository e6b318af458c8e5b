"""The port to the mail service."""

from typing import Protocol


class AddressRefused(Exception):
    """The mail service refuses to send to this address, permanently."""


class Mailer(Protocol):
    def send(self, address: str, message: bytes) -> None:
        """Send a MIME message to one address.

        Raises:
            AddressRefused, Unreachable
        """

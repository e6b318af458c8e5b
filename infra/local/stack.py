"""What a run stands on: the embedded stand-ins, or a LocalStack and a PostgreSQL that run already."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from infra.local.mail import Sent


class Stack(Protocol):
    """A database and an AWS."""

    lasts: bool
    """Whether the queues are still there after the run."""

    def database(self) -> AbstractContextManager[str]:
        """Have a database for a block, which gets its URL. Raises CannotStart."""

    def aws(self) -> AbstractContextManager[str]:
        """Have SNS, SQS and SES for a block, which gets their address; the environment leads there.

        Raises CannotStart.
        """

    def sent(self) -> Iterable[Sent]:
        """Return the e-mails that SES was given and that nobody has taken yet."""

    def look_after(self) -> None:
        """Tidy up, and raise CannotStart when something has ended; called several times a second."""

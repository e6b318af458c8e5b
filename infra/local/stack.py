"""The database and the AWS of a run: embedded, or a LocalStack and a PostgreSQL that already run."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from infra.local.mailbox import SentEmail


class Stack(Protocol):
    """A database and an AWS."""

    is_persistent: bool
    """Whether queues keep their messages after the run."""

    def database(self) -> AbstractContextManager[str]:
        """Provide a database for a block, which gets its URL. Raises CannotStart."""

    def aws(self) -> AbstractContextManager[str]:
        """Provide SNS, SQS and SES for a block, which gets their endpoint.

        The environment points at the endpoint. Raises CannotStart.
        """

    def sent_emails(self) -> Iterable[SentEmail]:
        """Return the e-mails that SES has accepted and that are not deleted."""

    def check(self) -> None:
        """Raise CannotStart if a part of the stack has ended. Called several times per second."""

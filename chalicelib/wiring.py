"""The composition root: makes the services of the process from its settings. Tests replace services here."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chalicelib.notifications.mailer import Mailer
from chalicelib.payments.gateway import PaymentGateway
from chalicelib.platform.clock import SYSTEM_CLOCK, Clock
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging.ports import Publisher, QueueSender
from chalicelib.platform.security import Tokens
from chalicelib.platform.settings import BadSetting, Settings

if TYPE_CHECKING:
    from chalicelib.documents.signing import PassSigner

_making = threading.RLock()
"""Held while a service is made, because neither boto3's default session nor every import is thread-safe."""


class Wiring:
    """The services of one process. Adapters are made when first used."""

    def __init__(
        self,
        settings: Settings,
        *,
        publisher: Publisher | None = None,
        queues: QueueSender | None = None,
        mailer: Mailer | None = None,
        payments: PaymentGateway | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._tokens: Tokens | None = None
        self.database = Database(settings)
        self._publisher = publisher
        self._queues = queues
        self._mailer = mailer
        self._payments = payments
        self._pass_signer: PassSigner | None = None

    @property
    def tokens(self) -> Tokens:
        if self._tokens is None:
            self._tokens = Tokens(self.settings)
        return self._tokens

    # Adapters are imported where they are made: few requests need them, and boto3 doubles the time of a cold
    # start.

    @property
    def publisher(self) -> Publisher:
        with _making:
            if self._publisher is None:
                from chalicelib.adapters.sns import SnsPublisher  # noqa: PLC0415

                if self.settings.domain_events_topic_arn is None:
                    raise BadSetting("DOMAIN_EVENTS_TOPIC_ARN is not set")
                self._publisher = SnsPublisher(self.settings.domain_events_topic_arn)
            return self._publisher

    @property
    def queues(self) -> QueueSender:
        with _making:
            if self._queues is None:
                from chalicelib.adapters.sqs import SqsQueues  # noqa: PLC0415

                self._queues = SqsQueues()
            return self._queues

    @property
    def mailer(self) -> Mailer:
        with _making:
            if self._mailer is None:
                from chalicelib.adapters.ses import SesMailer  # noqa: PLC0415

                self._mailer = SesMailer(self.settings.mail_sender)
            return self._mailer

    @property
    def payments(self) -> PaymentGateway:
        with _making:
            if self._payments is None:
                from chalicelib.adapters.stripe import StripePayments  # noqa: PLC0415

                if self.settings.stripe_api_key is None:
                    raise BadSetting("STRIPE_API_KEY is not set")
                self._payments = StripePayments(self.settings.stripe_api_key, self.settings.stripe_api_base)
            return self._payments

    @property
    def pass_signer(self) -> "PassSigner | None":
        """What signs passes for Apple Wallet, or None if no certificate is configured.

        Raises:
            BadSetting, Unreachable: The certificate is not valid, or cannot be read.
        """
        with _making:
            given = self.settings.wallet_certificate
            if self._pass_signer is None and given:
                from chalicelib.documents.signing import PassSigner  # noqa: PLC0415

                if given.startswith("arn:"):
                    from chalicelib.adapters.secrets_manager import read_secret  # noqa: PLC0415

                    given = read_secret(given)
                self._pass_signer = PassSigner(given)
            return self._pass_signer

    def close(self) -> None:
        self.database.close()


_current: Wiring | None = None


def current() -> Wiring:
    """Return the wiring of this process. It is made from the environment at the first call.

    Raises:
        BadSetting: A setting is missing or not valid.
    """
    return _current or _make_current()


def _make_current() -> Wiring:
    global _current  # noqa: PLW0603 (one per process)
    with _making:
        if _current is None:
            _current = Wiring(Settings.read(os.environ))
        return _current


@contextmanager
def using(wiring: Wiring) -> Iterator[Wiring]:
    """Replace the wiring of this process for the block, and close it at the end."""
    global _current  # noqa: PLW0603
    previous, _current = _current, wiring
    try:
        yield wiring
    finally:
        _current = previous
        wiring.close()

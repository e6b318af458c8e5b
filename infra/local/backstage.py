"""Starts what works behind the API: stand-ins for AWS and Stripe, the mail page, and the functions."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chalice.app import Chalice

from chalicelib.platform.messaging import queues
from chalicelib.platform.observability import logs
from chalicelib.platform.settings import BadSetting, Settings
from chalicelib.wiring import Wiring, using
from infra.local import mail, mail_page, state
from infra.local.installation import CannotStart, Say
from infra.local.pollers import count
from infra.local.provision import make_topology
from infra.local.simulator import Simulator
from infra.local.stack import Stack
from infra.local.triggers import Triggers
from infra.stripe_fake.server import running as stand_in
from infra.stripe_fake.webhooks import Endpoint

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

RETRY_AFTER = 10
"""Seconds before a failed message comes again; minutes in AWS, which nobody wants to watch."""


@dataclass(frozen=True)
class Cloud:
    """What stands in for AWS."""

    sqs: "SQSClient"
    lasts: bool
    """Whether its messages are still there after the run."""
    dead_letters: tuple[str, ...]
    """The URLs of their queues."""
    mail_page: str


@contextlib.contextmanager
def cloud(stack: Stack, folder: Path, mail_ports: list[int], say: Say) -> Iterator[Cloud]:
    """Have AWS's stand-in for a block, with all that the topology names.

    The environment tells the app of it. The mail page takes the first of the ports that is free.
    """
    with stack.aws() as endpoint, state.announcing(folder, endpoint):
        import boto3  # noqa: PLC0415 - slow to import

        say(f"Making topics and queues (a failed message comes again after {RETRY_AFTER} s)")
        # Made here one after the other, since boto3 does not make clients in two threads at once.
        sns, sqs, ses = boto3.client("sns"), boto3.client("sqs"), boto3.client("ses")
        sender = os.environ.get("MAIL_SENDER") or Settings.mail_sender
        made = make_topology(sns, sqs, ses, sender=sender, visibility=RETRY_AFTER)
        os.environ["DOMAIN_EVENTS_TOPIC_ARN"] = made.topics[queues.DOMAIN_EVENTS_TOPIC]
        mailbox = mail.Mailbox(folder / state.MAIL)
        simulator = Simulator(sns, made.topics[queues.MAIL_REPORTS_TOPIC])
        dead_letters = tuple(made.queues[queue.dead_letters] for queue in queues.QUEUES)
        with (
            mail.keeping(mailbox, stack.sent, simulator.react),
            _mail_page(mailbox, mail_ports) as address,
        ):
            yield Cloud(sqs, stack.lasts, dead_letters, address)


@contextlib.contextmanager
def _mail_page(mailbox: mail.Mailbox, ports: list[int]) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        address = None
        for port in ports:
            with contextlib.suppress(OSError):
                address = stack.enter_context(mail_page.serving(mailbox, port))
                break
        if address is None:
            raise CannotStart(f"The mail page cannot have port {ports[-1]}. Choose another: MAIL_PORT=...")
        yield address


@contextlib.contextmanager
def stripe(folder: Path, ports: list[int], webhook: str, say: Say) -> Iterator[str | None]:
    """Run Stripe's stand-in for a block, which gets its address; None where Stripe itself is to be used.

    The environment tells the app of it, or, with STRIPE_API_KEY set by the person, is left as it is.
    """
    if os.environ.get("STRIPE_API_KEY"):
        say("Payments go to Stripe: see docs/operations.md for how its webhooks get here")
        yield None
        return
    say("Starting the stand-in for Stripe")
    secret = f"whsec_{state.secret(folder, 'webhook-secret')}"
    endpoint = Endpoint(webhook, (secret,))
    with contextlib.ExitStack() as stack:
        made = None
        for port in ports:
            with contextlib.suppress(OSError):
                made = stack.enter_context(
                    stand_in(port=port, state=folder / state.STRIPE, endpoints=[endpoint])
                )
                break
        if made is None:
            raise CannotStart(
                f"Stripe's stand-in cannot have port {ports[-1]}. Choose another: STRIPE_PORT=..."
            )
        os.environ["STRIPE_API_KEY"] = "sk_test_embedded"
        os.environ["STRIPE_API_BASE"] = made.url
        os.environ["STRIPE_WEBHOOK_SECRETS"] = secret
        yield made.url


@contextlib.contextmanager
def parts() -> Iterator[None]:
    """Make all parts of the app before threads could do it at once, and keep them for a block."""
    try:
        wiring = Wiring(Settings.read(os.environ))
    except BadSetting as error:
        raise CannotStart(f"{error}.") from error
    with using(wiring):
        _ = wiring.publisher, wiring.queues, wiring.mailer, wiring.payments
        yield


@contextlib.contextmanager
def functions(app: Chalice, stand_in: Cloud, say: Say) -> Iterator[None]:
    """Run the triggers of the app for a block; at its end let them do what is under way."""
    say("Starting the functions")
    logs.without_metrics()
    triggers = Triggers(app, stand_in.sqs)
    triggers.start()
    try:
        yield
    finally:
        say("Stopping the functions")
        left, dead = triggers.stop(), sum(count(stand_in.sqs, url) for url in stand_in.dead_letters)
        if stand_in.lasts and (left or dead):
            say(f"In the queues are {left} messages that were not done yet, and {dead} dead letters.")
        elif left or dead:
            say(
                f"Lost, because queues last as long as a run: {left} messages that were not done yet, "
                f"{dead} dead letters. Domain events that were not published yet wait in the database."
            )

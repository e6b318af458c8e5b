"""Starts the services behind the API: stand-ins for AWS and Stripe, the mail page, and the functions."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from chalice.app import Chalice

from chalicelib.platform import mailboxes
from chalicelib.platform.messaging import queues
from chalicelib.platform.observability import logs
from chalicelib.platform.settings import BadSetting, Settings
from chalicelib.wiring import Wiring, using
from infra.local import run_dir
from infra.local.lambda_endpoint import lambda_endpoint
from infra.local.mail_page import mail_page
from infra.local.mailbox import Mailbox, saving
from infra.local.pollers import count
from infra.local.provision import make_topology
from infra.local.server import serving
from infra.local.ses_simulator import Simulator
from infra.local.stack import Stack
from infra.local.startup import CannotStart, Say
from infra.local.triggers import Triggers
from infra.stripe_fake.server import running as stripe_fake
from infra.stripe_fake.webhooks import Endpoint

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

VISIBILITY_TIMEOUT = 10
"""Seconds before a failed message returns. The minutes of the topology are too long for a developer."""

T = TypeVar("T")


@dataclass(frozen=True)
class Cloud:
    """A running stand-in for AWS."""

    sqs: "SQSClient"
    is_persistent: bool
    """Whether queues keep their messages after the run."""
    dead_letter_queues: tuple[str, ...]
    """URLs."""
    mail_page: str


@contextlib.contextmanager
def cloud(stack: Stack, folder: Path, mail_ports: list[int], say: Say) -> Iterator[Cloud]:
    """Run AWS's stand-in with the topology, and the mail page on the first free port, for a block.

    The environment points the app at the stand-in.
    """
    with stack.aws(), ExitStack() as exits:
        import boto3  # noqa: PLC0415 - slow to import

        say(f"Creating topics and queues (a failed message returns after {VISIBILITY_TIMEOUT} s)")
        # One after another, because boto3 cannot make clients in several threads concurrently.
        sns, sqs, ses = boto3.client("sns"), boto3.client("sqs"), boto3.client("ses")
        sender = mailboxes.normalize(os.environ.get("MAIL_SENDER") or Settings.mail_sender)
        resources = make_topology(sns, sqs, ses, sender=sender, visibility_timeout=VISIBILITY_TIMEOUT)
        os.environ["DOMAIN_EVENTS_TOPIC_ARN"] = resources.topics[queues.DOMAIN_EVENTS_TOPIC]
        mailbox = Mailbox(folder / run_dir.MAIL)
        simulator = Simulator(sns, resources.topics[queues.MAIL_REPORTS_TOPIC])
        exits.enter_context(saving(mailbox, stack.sent_emails, simulator.react))
        page = _enter(
            exits, lambda port: serving(mail_page(mailbox), port=port), mail_ports, "mail page", "MAIL_PORT"
        )
        dead_letter_queues = tuple(resources.queues[queue.dead_letters] for queue in queues.QUEUES)
        yield Cloud(sqs, stack.is_persistent, dead_letter_queues, page)


@contextlib.contextmanager
def stripe(folder: Path, ports: list[int], webhook: str, say: Say) -> Iterator[str | None]:
    """Run Stripe's stand-in on the first free port for a block, which gets its address.

    The environment points the app at the stand-in. If the user has set STRIPE_API_KEY, the app uses Stripe
    itself, and the block gets None.
    """
    if os.environ.get("STRIPE_API_KEY"):
        say("Payments go to Stripe. To receive its webhooks, see docs/deployment.md")
        yield None
        return
    say("Starting the stand-in for Stripe")
    secret = f"whsec_{run_dir.secret(folder, 'webhook-secret')}"
    endpoints, state = [Endpoint(webhook, (secret,))], folder / run_dir.STRIPE
    with ExitStack() as exits:
        made = _enter(
            exits,
            lambda port: stripe_fake(port=port, state=state, endpoints=endpoints),
            ports,
            "stand-in for Stripe",
            "STRIPE_PORT",
        )
        os.environ["STRIPE_API_KEY"] = "sk_test_embedded"
        os.environ["STRIPE_API_BASE"] = made.url
        os.environ["STRIPE_WEBHOOK_SECRETS"] = secret
        yield made.url


def _enter(
    exits: ExitStack,
    serve: Callable[[int], AbstractContextManager[T]],
    ports: list[int],
    name: str,
    variable: str,
) -> T:
    """Enter the context of a server on the first port that is free."""
    for port in ports:
        with contextlib.suppress(OSError):
            return exits.enter_context(serve(port))
    raise CannotStart(f"The {name} cannot use port {ports[-1]}. Choose another: {variable}=...")


@contextlib.contextmanager
def wiring() -> Iterator[None]:
    """Make all parts of the app for a block, before several threads could make them concurrently."""
    try:
        parts = Wiring(Settings.read(os.environ))
    except BadSetting as error:
        raise CannotStart(f"{error}.") from error
    with using(parts):
        _ = parts.publisher, parts.queues, parts.mailer, parts.payments
        yield


@contextlib.contextmanager
def operations(app: Chalice, folder: Path) -> Iterator[None]:
    """Let `make operate` call functions of the app for a block."""
    with serving(lambda_endpoint(app)) as endpoint, run_dir.announced(folder, endpoint):
        yield


@contextlib.contextmanager
def functions(app: Chalice, cloud: Cloud, say: Say) -> Iterator[None]:
    """Run the triggers of the app for a block, and finish calls in progress at its end."""
    say("Starting the functions")
    logs.without_metrics()
    triggers = Triggers(app, cloud.sqs)
    triggers.start()
    try:
        yield
    finally:
        say("Stopping the functions")
        left, dead = triggers.stop(), sum(count(cloud.sqs, url) for url in cloud.dead_letter_queues)
        if left or dead:
            counted = f"{left} unprocessed messages and {dead} dead letters"
            say(
                f"The queues contain {counted}."
                if cloud.is_persistent
                else f"Lost with the queues: {counted}. Unpublished messages are safe in the database."
            )

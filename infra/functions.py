"""The functions of the deployment: what each is given, and what it may reach."""

from collections.abc import Iterable
from dataclasses import dataclass

from chalice.app import Chalice

from chalicelib.payments.due import STRIPE_CONCURRENCY
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.queues import Queue

API = "api_handler"
"""Chalice's name for the function that answers every route."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function. All of them reach the database; anything else is named here."""

    name: str
    memory: int
    """Megabytes. The share of a processor goes with it: 1 769 are a whole one."""
    seconds: int = 0
    """How long a call may take; 0 where it is on a queue, whose entry in the topology says it."""
    at_once: int
    """Calls that run at the same time, at most. For a queue, 2 or more (SQS's least)."""
    connections: int = 1
    """To the database; more for a function that does several things at a time."""
    publishes: bool = False
    """Domain events, to SNS."""
    sends_to: tuple[Queue, ...] = ()
    mails: bool = False
    pays: bool = False
    """Calls Stripe."""
    listens_to_stripe: bool = False
    """Checks the signatures of Stripe's webhooks, and by the key for which mode they are."""
    speaks_to_clients: bool = False
    """Writes links, and knows what a deployment allows its clients."""
    routes: frozenset[tuple[str, str]] = frozenset()
    """Methods and paths that it answers; all others are the API's."""

    @property
    def logical_name(self) -> str:
        """The name in the template, as Chalice makes it."""
        return "APIHandler" if self.name == API else "".join(map(str.title, self.name.split("_")))

    @property
    def queue(self) -> Queue | None:
        """The queue that triggers it, if one does."""
        return next((queue for queue in queues.QUEUES if queue.function == self.name), None)

    @property
    def timeout(self) -> int:
        return self.queue.timeout if self.queue else self.seconds

    @property
    def calls_out(self) -> bool:
        """Whether it needs a way out of the private network."""
        return self.publishes or bool(self.sends_to) or self.mails or self.pays


def _telling(name: str, queue: Queue) -> Function:
    """Make the entry of a function that tells people: page by page, and by e-mail."""
    return Function(name=name, memory=256, at_once=5, sends_to=(queue, queues.EMAIL))


TABLE = (
    # 29 seconds are API Gateway's limit. Memory is bought for its processor: a password hash takes 20 ms of a
    # whole one, and a cold start 300.
    Function(
        name=API,
        memory=1024,
        seconds=29,
        at_once=400,
        pays=True,
        speaks_to_clients=True,
    ),
    # 400 webhooks a second, taken as 40 ms each, are 16 at a time; the rest is for those that wait.
    Function(
        name="confirm_payments",
        memory=512,
        seconds=29,
        at_once=100,
        listens_to_stripe=True,
        speaks_to_clients=True,
        routes=frozenset({("POST", "/webhooks/stripe")}),
    ),
    # These three stop 5 seconds before their time and are called each minute, so that hardly a moment is
    # between two runs. Two at once, as the next may be called while one ends.
    Function(name="relay_outbox", memory=256, seconds=65, at_once=2, publishes=True),
    Function(name="start_sales", memory=256, seconds=65, at_once=2),
    Function(
        name="expire_holds", memory=256, seconds=65, at_once=2, pays=True, connections=STRIPE_CONCURRENCY
    ),
    Function(name="purge_expired", memory=256, seconds=300, at_once=1),
    _telling("notify_followers", queues.FOLLOW_NOTIFICATIONS),
    _telling("notify_interested", queues.ON_SALE_NOTIFICATIONS),
    _telling("notify_attendees", queues.BOOKING_NOTIFICATIONS),
    # One sends about ten e-mails a second. Raise it with the sending rate that SES grants.
    Function(name="send_email", memory=512, at_once=4, mails=True, speaks_to_clients=True),
    Function(name="handle_mail_reports", memory=256, at_once=2),
    # Stripe takes 100 calls a second: ten at once make some 30 refunds of them.
    Function(name="refund_payments", memory=256, at_once=10, pays=True),
    Function(
        name="reconcile_payments",
        memory=256,
        seconds=240,
        at_once=2,
        pays=True,
        connections=STRIPE_CONCURRENCY,
    ),
    Function(name="migrate", memory=512, seconds=900, at_once=1),
)


def of(app: Chalice) -> tuple[Function, ...]:
    """Return the entries of the functions that an app has, in the table's order.

    Raises:
        LookupError: The app has a function that the table does not know.
    """
    present = set(names(app))
    if unknown := present - {function.name for function in TABLE}:
        raise LookupError(f"infra/functions.py lacks {', '.join(sorted(unknown))}")
    return tuple(function for function in TABLE if function.name in present)


def names(app: Chalice) -> Iterable[str]:
    """Name the functions that Chalice makes of an app."""
    yield API
    yield from (source.name for source in app.event_sources)
    yield from (function.name for function in app.pure_lambda_functions)

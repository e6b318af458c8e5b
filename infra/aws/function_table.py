"""The function table: limits and permissions of every deployed function."""

from collections.abc import Iterable
from dataclasses import dataclass

from chalice.app import Chalice

from chalicelib.payments.due_payments import STRIPE_CONCURRENCY
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.queues import Queue
from infra.aws.template import cfn

ALIAS = "live"
"""The alias of the version that serves. API Gateway, queues and schedules call it."""

API = "api_handler"
"""Chalice's name for the function that serves the routes."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function. Every function may reach the database. Other permissions and secrets are listed here."""

    name: str
    memory_mb: int
    """Also sets the CPU share: 1,769 MB is one full vCPU."""
    timeout_seconds: int = 0
    """0 for a function on a queue, whose `timeout` applies."""
    concurrency: int
    """Maximum number of concurrent calls. SQS requires at least 2."""
    max_lean_concurrency: int = 2
    """The same without RDS Proxy, where all functions share the connections of a small server."""
    pool_size: int = 1
    """Database connections per container; more than 1 for functions that use threads."""
    publishes: bool = False
    """May publish domain events to SNS."""
    sends_to: tuple[Queue, ...] = ()
    """Queues besides its own, to which it puts messages back."""
    sends_email: bool = False
    calls_stripe: bool = False
    receives_webhooks: bool = False
    """Verifies Stripe's webhooks."""
    uses_tokens: bool = False
    """Issues and checks tokens."""
    uses_link_secret: bool = False
    """Signs or checks unsubscribe links, or counts against rate limits."""
    uses_ticket_secret: bool = False
    """Makes or reads the codes of tickets."""
    makes_passes: bool = False
    """Makes passes for Apple Wallet, and reads their certificate."""
    migrates: bool = False
    """Connects as the owner of the database, and sets up the role of all other functions."""
    operates: bool = False
    """Is called by a person, and may redrive dead letters to all queues."""
    needs_public_url: bool = False
    """Writes links to the API."""
    routes: frozenset[tuple[str, str]] = frozenset()
    """Methods and paths served by this function instead of the API function."""

    @property
    def lean_concurrency(self) -> int:
        return min(self.concurrency, self.max_lean_concurrency)

    @property
    def lean_pool_size(self) -> int:
        return min(self.pool_size, 2)

    @property
    def logical_name(self) -> str:
        """The name that Chalice gives the function in the template."""
        return "APIHandler" if self.name == API else cfn.logical_name(self.name)

    @property
    def is_called_directly(self) -> bool:
        """Whether a person or a deployment calls the newest code, without the alias."""
        return self.migrates or self.operates

    @property
    def role(self) -> str:
        return f"{self.logical_name}Role"

    @property
    def log_group(self) -> str:
        return f"{self.logical_name}Logs"

    @property
    def queue(self) -> Queue | None:
        """The queue that triggers the function, if any."""
        return next((queue for queue in queues.QUEUES if queue.function == self.name), None)

    @property
    def queues(self) -> tuple[Queue, ...]:
        """The queues that it may send to."""
        return self.sends_to + ((self.queue,) if self.queue else ())

    @property
    def timeout(self) -> int:
        return self.queue.timeout if self.queue else self.timeout_seconds

    @property
    def needs_egress(self) -> bool:
        """Whether the function calls AWS or Stripe from the private network."""
        return self.publishes or bool(self.queues) or self.sends_email or self.calls_stripe


def _fan_out(name: str) -> Function:
    """Return a function that notifies recipients page by page and queues their emails."""
    return Function(name=name, memory_mb=256, concurrency=5, sends_to=(queues.EMAIL,))


def _sender(name: str, *, concurrency: int, uses_ticket_secret: bool = False) -> Function:
    return Function(
        name=name,
        memory_mb=512,
        concurrency=concurrency,
        sends_email=True,
        uses_link_secret=True,
        uses_ticket_secret=uses_ticket_secret,
        needs_public_url=True,
    )


TABLE = (
    # 29 seconds is API Gateway's limit. The memory buys CPU: a password hash takes 20 ms of a full vCPU and
    # a cold start 300 ms.
    Function(
        name=API,
        memory_mb=1024,
        timeout_seconds=29,
        concurrency=400,
        max_lean_concurrency=24,
        calls_stripe=True,
        uses_tokens=True,
        uses_link_secret=True,
        uses_ticket_secret=True,
        makes_passes=True,
        needs_public_url=True,
    ),
    # 400 webhooks a second at 40 ms each need a concurrency of 16. The rest is for webhooks that wait.
    Function(
        name="confirm_payments",
        memory_mb=512,
        timeout_seconds=29,
        concurrency=100,
        max_lean_concurrency=12,
        receives_webhooks=True,
        needs_public_url=True,
        routes=frozenset({("POST", "/webhooks/stripe")}),
    ),
    # The next three start every minute. While they find work they loop until 5 seconds before their timeout,
    # so consecutive runs follow each other without a gap. They may overlap, hence a concurrency of 2.
    Function(name="relay_outbox", memory_mb=256, timeout_seconds=65, concurrency=2, publishes=True),
    Function(name="start_sales", memory_mb=256, timeout_seconds=65, concurrency=2),
    Function(
        name="expire_holds",
        memory_mb=256,
        timeout_seconds=65,
        concurrency=2,
        calls_stripe=True,
        pool_size=STRIPE_CONCURRENCY,
    ),
    # A run may outlast the minute if many bookings have piled up.
    Function(name="notify_hosts", memory_mb=256, timeout_seconds=60, concurrency=2),
    Function(name="purge_expired", memory_mb=256, timeout_seconds=300, concurrency=1),
    _fan_out("notify_followers"),
    _fan_out("notify_interested"),
    _fan_out("notify_attendees"),
    # One call sends about ten emails a second. Raise the concurrency with SES's sending rate.
    _sender("send_email", concurrency=4, uses_ticket_secret=True),
    _sender("send_account_email", concurrency=2),
    Function(name="handle_mail_reports", memory_mb=256, concurrency=2),
    # Stripe accepts 100 calls a second; a concurrency of 10 makes about 30 refunds a second.
    Function(name="refund_payments", memory_mb=256, concurrency=10, calls_stripe=True),
    Function(
        name="reconcile_payments",
        memory_mb=256,
        timeout_seconds=240,
        concurrency=2,
        calls_stripe=True,
        pool_size=STRIPE_CONCURRENCY,
    ),
    Function(name="migrate", memory_mb=512, timeout_seconds=900, concurrency=1, migrates=True),
    Function(
        name="operate",
        memory_mb=256,
        timeout_seconds=300,
        concurrency=1,
        calls_stripe=True,
        operates=True,
        sends_to=queues.QUEUES,
    ),
)


def deployed(app: Chalice) -> tuple[Function, ...]:
    """Return the entries of the app's functions, in the order of the table.

    Raises:
        LookupError: The app has a function that is not in the table.
    """
    present = set(names(app))
    if missing := present - {function.name for function in TABLE}:
        raise LookupError(f"Add to infra/aws/function_table.py: {', '.join(sorted(missing))}")
    return tuple(function for function in TABLE if function.name in present)


def names(app: Chalice) -> Iterable[str]:
    """List the functions that Chalice deploys for an app."""
    yield API
    yield from (source.name for source in app.event_sources)
    yield from (function.name for function in app.pure_lambda_functions)

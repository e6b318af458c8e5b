"""The entry points of the deployment: the HTTP app, queue consumers, schedules, migrate, operate."""

import gc

gc.disable()  # garbage collection during imports costs 10 % of a cold start

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, SQSEvent

from chalicelib import wiring
from chalicelib.api import (
    attendees,
    auth,
    bookings,
    box_office,
    check_ins,
    codes,
    docs,
    door_keys,
    door_page,
    events,
    health,
    notifications,
    offline_scanners,
    pages,
    stripe_webhook,
    ticket_transfers,
    ticket_types,
    tickets,
    users,
)
from chalicelib.bookings import transfers
from chalicelib.events import sale_start
from chalicelib.notifications import booking_activity, bounces, deliveries, digest
from chalicelib.payments import event_sweep, hold_expiry, reconciliation, refunds, stripe_events
from chalicelib.platform import throttle
from chalicelib.platform.database import engine
from chalicelib.platform.http import idempotency
from chalicelib.platform.http.serving import render_chalice_responses
from chalicelib.platform.messaging import outbox, poison, queues
from chalicelib.platform.messaging.messages import EmailBatch, FanOutPage
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.messaging.sqs_consumer import PutBack, process_batch
from chalicelib.platform.observability import logs, request_context
from chalicelib.users import email_tokens, sessions

logs.set_up()

app = Chalice(app_name="event-booking", configure_logs=False)
app.api.binary_types = []  # Chalice would look up the type of each response; `serving` knows what is binary
app.register_middleware(render_chalice_responses, "http")


def _log_invocation(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Middleware: log with Lambda's request id, and log an error as JSON, before Lambda logs it as text."""
    with request_context.bind(None, lambdaRequestId=getattr(event.context, "aws_request_id", None)):
        try:
            return get_response(event)
        except Exception:
            logs.exception("function failed")
            raise


app.register_middleware(_log_invocation, "sqs")
app.register_middleware(_log_invocation, "scheduled")

resources = [
    module.routes
    for module in (
        auth,
        users,
        events,
        ticket_types,
        codes,
        bookings,
        box_office,
        attendees,
        tickets,
        ticket_transfers,
        door_keys,
        check_ins,
        offline_scanners,
        notifications,
        stripe_webhook,
        pages,
        door_page,
        health,
    )
]
routers = [*resources, docs.docs_router(resources)]
for router in routers:
    app.register_blueprint(router.blueprint)

SHUTDOWN_MARGIN_MS = 5_000
"""Time that a scheduled function keeps for its last transaction."""


def _while_time_is_left(event: CloudWatchEvent) -> Callable[[], bool]:
    context: Any = event.context
    return lambda: bool(context.get_remaining_time_in_millis() > SHUTDOWN_MARGIN_MS)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def relay_outbox(event: CloudWatchEvent) -> None:
    """Publish domain events, and go on while there are any, recently or soon."""
    parts = wiring.current()

    def next_due(after: datetime) -> datetime | None:
        """Return when the functions below next record a domain event, which must not wait for a minute."""
        times = (sale_start.next_due(parts.database, after), hold_expiry.next_due(parts.database, after))
        return min((time for time in times if time is not None), default=None)

    outbox.relay(
        parts.database,
        parts.publisher,
        go_on=_while_time_is_left(event),
        next_due=next_due,
        clock=parts.clock,
    )


@app.schedule(Rate(1, unit=Rate.MINUTES))
def start_sales(event: CloudWatchEvent) -> None:
    """Announce sales that start and events that change, and go on while more are due within the minute."""
    parts = wiring.current()
    sale_start.run(parts.database, keep_going=_while_time_is_left(event), clock=parts.clock)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def expire_holds(event: CloudWatchEvent) -> None:
    """Expire unpaid holds, and go on while more end within the minute."""
    parts = wiring.current()
    hold_expiry.run(
        parts.database, lambda: parts.payments, keep_going=_while_time_is_left(event), clock=parts.clock
    )


@app.schedule(Rate(1, unit=Rate.MINUTES))
def reconcile_payments(event: CloudWatchEvent) -> None:
    """Ask Stripe about open payments and refunds, and find events whose webhooks were lost."""
    parts, now = wiring.current(), datetime.now(UTC)
    reconciliation.reconcile(parts.database, lambda: parts.payments, now)
    if parts.settings.stripe_api_key:
        event_sweep.sweep(
            parts.database,
            lambda: parts.payments,
            livemode=parts.settings.stripe_livemode,
            now=now,
            keep_going=_while_time_is_left(event),
        )


@app.schedule(Rate(1, unit=Rate.MINUTES))
def notify_hosts(_event: CloudWatchEvent) -> None:
    """Notify hosts of new bookings, and start the daily digest when it is due."""
    database, now = wiring.current().database, datetime.now(UTC)
    booking_activity.combine(database, now)
    digest.announce(database, now)


@app.schedule(Rate(1, unit=Rate.HOURS))
def purge_expired(_event: CloudWatchEvent) -> None:
    """Delete rows past their retention: keys, tokens, offers, limits, e-mails, hosts' news, Stripe events."""
    database, now = wiring.current().database, datetime.now(UTC)
    idempotency.purge(database, now)
    email_tokens.purge_expired(database, now)
    sessions.purge_expired(database, now)
    transfers.purge(database, now)
    deliveries.purge(database, now)
    digest.purge(database, now)
    stripe_events.purge(database, now)
    poison.purge(database, now)
    throttle.purge(database, now)


def _on(queue: queues.Queue) -> Callable[[Callable[..., Any]], Any]:
    """Declare the function that a queue triggers."""
    trigger: Callable[[Callable[..., Any]], Any] = app.on_sqs_message(
        queue=queue.name,
        batch_size=queue.batch_size,
        maximum_batching_window_in_seconds=queue.batch_window,
    )
    return trigger


def _back_to(queue: queues.Queue) -> PutBack:
    """Put messages of a queue back that met an outage."""

    def put_back(body: str, *, times: int, delay: int) -> None:
        wiring.current().queues.put_back(queue.name, body, times=times, delay=delay)

    return put_back


def _fan_out(event: SQSEvent, queue: queues.Queue) -> dict[str, Any]:
    from chalicelib.notifications import fan_out  # noqa: PLC0415 (only these functions need its queries)

    parts, now = wiring.current(), datetime.now(UTC)
    return process_batch(
        event,
        FanOutPage.from_message,
        lambda page: fan_out.fan_out(parts.database, parts.queues, queue.name, page, now),
        _back_to(queue),
    )


@_on(queues.FOLLOW_NOTIFICATIONS)
def notify_followers(event: SQSEvent) -> dict[str, Any]:
    """Notify a host's followers of a new event."""
    return _fan_out(event, queues.FOLLOW_NOTIFICATIONS)


@_on(queues.ON_SALE_NOTIFICATIONS)
def notify_interested(event: SQSEvent) -> dict[str, Any]:
    """Notify interested users that the sale has started."""
    return _fan_out(event, queues.ON_SALE_NOTIFICATIONS)


@_on(queues.BOOKING_NOTIFICATIONS)
def notify_attendees(event: SQSEvent) -> dict[str, Any]:
    """Notify attendees of their bookings, of payments, and of changes of the event."""
    return _fan_out(event, queues.BOOKING_NOTIFICATIONS)


@_on(queues.REFUNDS)
def refund_payments(event: SQSEvent) -> dict[str, Any]:
    """Refund the payments that are due back."""
    parts, now = wiring.current(), datetime.now(UTC)
    return process_batch(
        event,
        DomainEvent.from_message,
        lambda due: refunds.handle_refund_due(parts.database, parts.payments, due, now),
        _back_to(queues.REFUNDS),
    )


def _send_emails(event: SQSEvent, queue: queues.Queue) -> dict[str, Any]:
    from chalicelib.notifications import delivery  # noqa: PLC0415 (only these functions need templates)

    parts = wiring.current()
    post = delivery.MailContext(database=parts.database, mailer=parts.mailer, settings=parts.settings)
    return process_batch(
        event,
        EmailBatch.from_message,
        lambda batch: delivery.send(post, batch, datetime.now(UTC)),
        _back_to(queue),
    )


@_on(queues.EMAIL)
def send_email(event: SQSEvent) -> dict[str, Any]:
    """Send e-mails about events, bookings and payments."""
    return _send_emails(event, queues.EMAIL)


@_on(queues.ACCOUNT_EMAIL)
def send_account_email(event: SQSEvent) -> dict[str, Any]:
    """Send e-mails about accounts, which anyone can ask for."""
    return _send_emails(event, queues.ACCOUNT_EMAIL)


@_on(queues.MAIL_REPORTS)
def handle_mail_reports(event: SQSEvent) -> dict[str, Any]:
    """Suppress addresses that bounced or complained."""

    def apply(report: dict[str, Any]) -> None:
        with wiring.current().database.transaction() as connection:
            bounces.apply_report(connection, report, datetime.now(UTC))

    return process_batch(event, dict, apply, _back_to(queues.MAIL_REPORTS), parse=bounces.parse_report)


@app.lambda_function()
def confirm_payments(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve Stripe's webhook in containers of its own, so that a rush of buyers cannot delay payments."""
    response: dict[str, Any] = app(event, context)
    return response


@app.lambda_function()
def migrate(_event: Any, _context: Any) -> None:
    """Migrate the database to the schema of this code, and set up the app's role. The deployment calls it."""
    from chalicelib import migrations  # noqa: PLC0415 (only this function needs Alembic)
    from chalicelib.migrations import role  # noqa: PLC0415

    settings = wiring.current().settings
    tls = engine.tls(settings)
    migrations.upgrade(settings.database_url, tls)
    if settings.app_database_url:
        role.set_up(settings.database_url, settings.app_database_url, tls)


@app.lambda_function()
def operate(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run an operation for a person: `make operate`."""
    from chalicelib import operations  # noqa: PLC0415 (only this function needs it)

    with request_context.bind(context.aws_request_id):
        return operations.run(
            wiring.current(),
            event,
            keep_going=lambda: bool(context.get_remaining_time_in_millis() > SHUTDOWN_MARGIN_MS),
        )


gc.enable()
gc.freeze()  # later collections skip the imported objects

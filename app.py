"""The map: every route and trigger of the deployment."""

import gc

from chalicelib.notifications import delivery
from chalicelib.payments import hold_expiry

gc.disable()  # what is imported stays; to look through it again and again is a tenth of a cold start

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, SQSEvent

from chalicelib import wiring
from chalicelib.api.auth import routes as email_proofs
from chalicelib.api.bookings import routes as bookings
from chalicelib.api.bookings import routes as payments
from chalicelib.api.docs import docs_router
from chalicelib.api.events import routes as events
from chalicelib.api.health import routes as health
from chalicelib.api.notifications import routes as inbox
from chalicelib.api.pages import routes as email_pages
from chalicelib.api.users import routes as following
from chalicelib.api.users import routes as users
from chalicelib.events import sale_start
from chalicelib.events.interest_routes import routes as interests
from chalicelib.notifications import bounces
from chalicelib.notifications import fan_out as notifications
from chalicelib.notifications.mail_routes import routes as mail_wishes
from chalicelib.payments import reconciliation, refunds, stripe_events
from chalicelib.platform.database import engine
from chalicelib.platform.http import idempotency
from chalicelib.platform.http.router import render_chalice_responses
from chalicelib.platform.messaging import outbox, queues
from chalicelib.platform.messaging.sqs_consumer import process_batch
from chalicelib.platform.observability import logs
from chalicelib.users import verification

logs.set_up()

app = Chalice(app_name="event-booking", configure_logs=False)
app.api.binary_types = []  # no body here is binary, and Chalice looks for each of them in each answer
app.register_middleware(render_chalice_responses, "http")

features = [
    users,
    email_proofs,
    email_pages,
    following,
    events,
    interests,
    payments,
    bookings,
    inbox,
    mail_wishes,
    health,
]
routers = [*features, docs_router(features)]
for router in routers:
    app.register_blueprint(router.blueprint)

LAST_MOMENT = 5_000
"""Milliseconds that a function on a schedule keeps for ending."""


@app.schedule(Rate(1, unit=Rate.MINUTES))
def relay_outbox(event: CloudWatchEvent) -> None:
    """Publish domain events, until the next run takes over."""
    parts = wiring.current()
    outbox.relay(parts.database, parts.publisher, go_on=_while_time_is_left(event))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def start_sales(event: CloudWatchEvent) -> None:
    """Tell of the sales that begin, until the next run takes over."""
    sale_start.run(wiring.current().database, go_on=_while_time_is_left(event))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def expire_holds(event: CloudWatchEvent) -> None:
    """Give back the places of holds that have run out, until the next run takes over."""
    parts = wiring.current()
    hold_expiry.run(parts.database, lambda: parts.payments, go_on=_while_time_is_left(event))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def reconcile_payments(_event: CloudWatchEvent) -> None:
    """Ask Stripe about payments and refunds that nobody has told the end of."""
    parts = wiring.current()
    reconciliation.reconcile(parts.database, lambda: parts.payments, datetime.now(UTC))


def _while_time_is_left(event: CloudWatchEvent) -> Callable[[], bool]:
    context: Any = event.context
    return lambda: bool(context.get_remaining_time_in_millis() > LAST_MOMENT)


def _on(queue: queues.Queue) -> Callable[[Callable[..., Any]], Any]:
    """Declare the function that a queue of the topology triggers."""
    trigger: Callable[[Callable[..., Any]], Any] = app.on_sqs_message(
        queue=queue.name,
        batch_size=queue.batch_size,
        maximum_batching_window_in_seconds=queue.batch_window,
    )
    return trigger


def _spread(event: SQSEvent, queue: queues.Queue) -> dict[str, Any]:
    parts = wiring.current()
    now = datetime.now(UTC)
    return process_batch(
        event,
        lambda message: notifications.fan_out(parts.database, parts.queues, queue.name, message, now),
    )


@_on(queues.FOLLOW_NOTIFICATIONS)
def notify_followers(event: SQSEvent) -> dict[str, Any]:
    """Tell the followers of a host of a new event."""
    return _spread(event, queues.FOLLOW_NOTIFICATIONS)


@_on(queues.ON_SALE_NOTIFICATIONS)
def notify_interested(event: SQSEvent) -> dict[str, Any]:
    """Tell those who showed interest that the sale has started."""
    return _spread(event, queues.ON_SALE_NOTIFICATIONS)


@_on(queues.BOOKING_NOTIFICATIONS)
def notify_attendees(event: SQSEvent) -> dict[str, Any]:
    """Tell who booked of their booking, and of changes of the event."""
    return _spread(event, queues.BOOKING_NOTIFICATIONS)


@app.lambda_function()
def confirm_payments(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer Stripe's webhooks, in containers of their own, which no crowd of buyers uses up."""
    answer: dict[str, Any] = app(event, context)
    return answer


@_on(queues.REFUNDS)
def refund_payments(event: SQSEvent) -> dict[str, Any]:
    """Pay back what is due back."""
    parts, now = wiring.current(), datetime.now(UTC)
    return process_batch(
        event,
        lambda domain_event: refunds.handle_refund_due(parts.database, parts.payments, domain_event, now),
    )


@_on(queues.EMAIL)
def send_email(event: SQSEvent) -> dict[str, Any]:
    """Send e-mails."""
    from chalicelib.notifications import delivery  # noqa: PLC0415 (templates and calendars are for this function alone)

    parts = wiring.current()
    post = delivery.MailContext(database=parts.database, mailer=parts.mailer, settings=parts.settings)
    return process_batch(event, lambda message: delivery.send(post, message, datetime.now(UTC)))


@_on(queues.MAIL_REPORTS)
def note_mail_feedback(event: SQSEvent) -> dict[str, Any]:
    """Stop writing to addresses that bounced or complained."""

    def note(message: dict[str, Any]) -> None:
        with wiring.current().database.transaction() as connection:
            bounces.apply_report(connection, message, datetime.now(UTC))

    return process_batch(event, note)


@app.schedule(Rate(1, unit=Rate.HOURS))
def forget_what_expired(_event: CloudWatchEvent) -> None:
    """Delete answers that no replay can ask for, tokens past their time, and records of old messages."""
    database, now = wiring.current().database, datetime.now(UTC)
    idempotency.purge(database, now)
    verification.purge_expired(database, now)
    delivery.purge(database, now)
    stripe_events.purge(database, now)


@app.lambda_function()
def migrate(_event: Any, _context: Any) -> None:
    """Bring the database to the schema of this code; called by whoever deploys."""
    from chalicelib import migrations  # noqa: PLC0415 (Alembic is for this function alone)
    from chalicelib.migrations import role  # noqa: PLC0415

    settings = wiring.current().settings
    role.set_up(settings.database_url, engine.tls(settings))
    migrations.upgrade(settings.database_url, engine.tls(settings))


gc.enable()
gc.freeze()  # and need never be looked through

"""The topology: what carries domain events and e-mails from whom to whom, in one table.

Read by app.py for its triggers, by the embedded stack and the tests to make it, and by the template.
"""

from dataclasses import dataclass

DOMAIN_EVENTS_TOPIC = "event-booking-domain-events"
MAIL_REPORTS_TOPIC = "event-booking-mail-reports"
"""Where SES reports bounces and complaints."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue, the function that it triggers, and the dead-letter queue behind it."""

    name: str
    function: str
    topic: str
    """Whose messages it receives."""
    domain_events: tuple[str, ...] = ()
    """The types of domain event that the subscription lets through; all of the topic's where empty."""
    batch_size: int = 10
    batch_window: int = 0
    """Seconds to wait for a batch to fill."""
    timeout: int = 60
    """Seconds that the function may take for a batch."""
    attempts: int = 5
    """Deliveries before a message goes to the dead-letter queue."""

    @property
    def visibility(self) -> int:
        """Seconds before an unfinished message is delivered again.

        Six times what the function may take, as AWS advises for event source mappings.
        """
        return 6 * self.timeout

    @property
    def dead_letters(self) -> str:
        return f"{self.name}-dead-letters"


FOLLOW_NOTIFICATIONS = Queue(
    name="follow-notifications",
    function="notify_followers",
    topic=DOMAIN_EVENTS_TOPIC,
    domain_events=("event-published",),
)
ON_SALE_NOTIFICATIONS = Queue(
    name="on-sale-notifications",
    function="notify_interested",
    topic=DOMAIN_EVENTS_TOPIC,
    domain_events=("sale-started",),
)
BOOKING_NOTIFICATIONS = Queue(
    name="booking-notifications",
    function="notify_attendees",
    topic=DOMAIN_EVENTS_TOPIC,
    domain_events=(
        *("booking-confirmed", "booking-cancelled", "booking-expired"),
        *("event-changed", "event-cancelled"),
        *("payment-failed", "payment-refund-due", "payment-disputed", "payment-dispute-closed"),
    ),
)
REFUNDS = Queue(
    name="refunds",
    function="refund_payments",
    topic=DOMAIN_EVENTS_TOPIC,
    domain_events=("payment-refund-due",),
    batch_size=5,
)
EMAIL = Queue(
    name="email",
    function="send_email",
    topic=DOMAIN_EVENTS_TOPIC,
    domain_events=("user-registered", "email-verification-requested", "password-reset-requested"),
    batch_size=4,
)
"""Domain events about one account come from the topic; all else from the functions, in chunks of people."""
MAIL_REPORTS = Queue(name="mail-reports", function="handle_mail_reports", topic=MAIL_REPORTS_TOPIC)

QUEUES = (
    FOLLOW_NOTIFICATIONS,
    ON_SALE_NOTIFICATIONS,
    BOOKING_NOTIFICATIONS,
    REFUNDS,
    EMAIL,
    MAIL_REPORTS,
)

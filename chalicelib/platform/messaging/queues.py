"""The queues: names, the functions that they trigger, and their limits.

`notifications/subscriptions.py` says which domain events each of them receives.
"""

from dataclasses import dataclass

DOMAIN_EVENTS_TOPIC = "event-booking-domain-events"
MAIL_REPORTS_TOPIC = "event-booking-mail-reports"
"""Where SES reports bounces and complaints."""
TOPICS = (DOMAIN_EVENTS_TOPIC, MAIL_REPORTS_TOPIC)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue, the function that it triggers, and its dead-letter queue."""

    name: str
    function: str
    topic: str | None
    """The topic that it subscribes to. None: only functions send to it."""
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

        Six times the timeout of the function, as AWS advises for event source mappings.
        """
        return 6 * self.timeout

    @property
    def dead_letters(self) -> str:
        return f"{self.name}-dead-letters"


FOLLOW_NOTIFICATIONS = Queue(
    name="follow-notifications", function="notify_followers", topic=DOMAIN_EVENTS_TOPIC
)
ON_SALE_NOTIFICATIONS = Queue(
    name="on-sale-notifications", function="notify_interested", topic=DOMAIN_EVENTS_TOPIC
)
BOOKING_NOTIFICATIONS = Queue(
    name="booking-notifications", function="notify_attendees", topic=DOMAIN_EVENTS_TOPIC
)
REFUNDS = Queue(name="refunds", function="refund_payments", topic=DOMAIN_EVENTS_TOPIC, batch_size=5)
EMAIL = Queue(name="email", function="send_email", topic=None, batch_size=4)
"""Batches of recipients, from the functions that notify people."""
ACCOUNT_EMAIL = Queue(name="account-email", function="send_account_email", topic=DOMAIN_EVENTS_TOPIC)
"""Domain events about one account or address. Anyone can cause them, so no other e-mail waits behind them."""
MAIL_REPORTS = Queue(name="mail-reports", function="handle_mail_reports", topic=MAIL_REPORTS_TOPIC)

QUEUES = (
    FOLLOW_NOTIFICATIONS,
    ON_SALE_NOTIFICATIONS,
    BOOKING_NOTIFICATIONS,
    REFUNDS,
    EMAIL,
    ACCOUNT_EMAIL,
    MAIL_REPORTS,
)

"""The topology: what carries facts and e-mails from whom to whom, in one table.

Read by app.py for its triggers, by the embedded stack and the tests to make it, and by the template.
"""

from dataclasses import dataclass

FACTS_TOPIC = "event-booking-facts"
FEEDBACK_TOPIC = "event-booking-mail-feedback"
"""Where SES reports bounces and complaints."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue, the function that it triggers, and the dead-letter queue behind it."""

    name: str
    function: str
    topic: str
    """Whose messages it receives."""
    facts: tuple[str, ...] = ()
    """The types of fact that the subscription lets through; all of the topic's where empty."""
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
    topic=FACTS_TOPIC,
    facts=("event-published",),
)
ON_SALE_NOTIFICATIONS = Queue(
    name="on-sale-notifications",
    function="notify_interested",
    topic=FACTS_TOPIC,
    facts=("sale-started",),
)
BOOKING_NOTIFICATIONS = Queue(
    name="booking-notifications",
    function="notify_attendees",
    topic=FACTS_TOPIC,
    facts=(
        *("booking-confirmed", "booking-cancelled", "booking-expired"),
        *("event-changed", "event-cancelled"),
        *("payment-failed", "payment-refund-due", "payment-disputed", "payment-dispute-closed"),
    ),
)
REFUNDS = Queue(
    name="refunds",
    function="refund_payments",
    topic=FACTS_TOPIC,
    facts=("payment-refund-due",),
    batch_size=5,
)
EMAIL = Queue(
    name="email",
    function="send_email",
    topic=FACTS_TOPIC,
    facts=("user-registered", "email-verification-requested", "password-reset-requested"),
    batch_size=4,
)
"""Facts about one account come from the topic; all else from the functions, in chunks of people."""
MAIL_FEEDBACK = Queue(name="mail-feedback", function="note_mail_feedback", topic=FEEDBACK_TOPIC)

QUEUES = (
    FOLLOW_NOTIFICATIONS,
    ON_SALE_NOTIFICATIONS,
    BOOKING_NOTIFICATIONS,
    REFUNDS,
    EMAIL,
    MAIL_FEEDBACK,
)

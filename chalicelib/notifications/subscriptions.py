"""Subscriptions: the types of domain event that each queue receives."""

from chalicelib.domain_events import PaymentRefundDue
from chalicelib.notifications.kinds import KINDS
from chalicelib.platform.messaging.queues import REFUNDS, Queue


def types_of(queue: Queue) -> tuple[str, ...]:
    """The types that the queue's subscription lets through. If there are none, it lets everything through."""
    if queue is REFUNDS:
        return (PaymentRefundDue.type,)
    return tuple(kind.type for kind in KINDS if kind.queue is queue)

"""Feedback: what SES reports of e-mails that were sent, and whom it tells us not to write to any more."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import parseaddr
from typing import Any, Literal

from sqlalchemy import Connection, func
from sqlalchemy.dialects.postgresql import insert

from chalicelib.notifications.models import suppressed_addresses

Reason = Literal["bounce", "complaint"]


class MalformedReport(ValueError):
    """A report is not as SES documents it."""


def apply_report(connection: Connection, notification: dict[str, Any], now: datetime) -> None:
    """Suppress the addresses that a report says bounced for good or complained; again is the same.

    Reports of another kind, and of failures that may pass, are no reason to. The report is what SES sends
    to SNS, by itself or for a configuration set, which name its type differently.

    Raises:
        MalformedFeedback
    """
    # In order, so that two reports of the same addresses do not wait for each other in a ring.
    refused = sorted(set(_refused(notification)))
    rows = [{"email": func.lower(address), "reason": reason, "since": now} for address, reason in refused]
    if rows:
        connection.execute(insert(suppressed_addresses).values(rows).on_conflict_do_nothing())


def _refused(notification: dict[str, Any]) -> Iterator[tuple[str, Reason]]:
    try:
        kind = notification.get("notificationType") or notification["eventType"]
        if kind == "Bounce" and notification["bounce"]["bounceType"] == "Permanent":
            for recipient in notification["bounce"]["bouncedRecipients"]:
                yield _address(recipient), "bounce"
        # A complaint may also be a reader's correction: that an e-mail taken for spam is none.
        elif kind == "Complaint" and notification["complaint"].get("complaintFeedbackType") != "not-spam":
            for recipient in notification["complaint"]["complainedRecipients"]:
                yield _address(recipient), "complaint"
    except (AttributeError, LookupError, TypeError) as error:
        raise MalformedReport("A report from SES lacks what its type has") from error


def _address(recipient: dict[str, Any]) -> str:
    """The bare address: SES also gives it as the header had it, with a name."""
    _, address = parseaddr(recipient["emailAddress"])
    if "@" not in address:
        raise MalformedReport("A report from SES names no address")
    return address

"""Handle SES bounces and complaints by suppressing addresses."""

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


def apply_report(connection: Connection, report: dict[str, Any], now: datetime) -> None:
    """Suppress the addresses with a permanent bounce or a complaint. Idempotent.

    Reports of other types, and of failures that may pass, are ignored. SES names the type `notificationType`
    in the reports that it sends by itself, and `eventType` in those of a configuration set.

    Raises:
        MalformedReport
    """
    # Sorted: two reports about the same addresses lock them in the same order, so that they cannot deadlock.
    failed = sorted(set(_failed_addresses(report)))
    rows = [{"email": func.lower(address), "reason": reason, "since": now} for address, reason in failed]
    if rows:
        connection.execute(insert(suppressed_addresses).values(rows).on_conflict_do_nothing())


def _failed_addresses(report: dict[str, Any]) -> Iterator[tuple[str, Reason]]:
    try:
        kind = report.get("notificationType") or report["eventType"]
        if kind == "Bounce" and report["bounce"]["bounceType"] == "Permanent":
            for recipient in report["bounce"]["bouncedRecipients"]:
                yield _address(recipient), "bounce"
        # "not-spam" takes an earlier complaint back.
        elif kind == "Complaint" and report["complaint"].get("complaintFeedbackType") != "not-spam":
            for recipient in report["complaint"]["complainedRecipients"]:
                yield _address(recipient), "complaint"
    except (AttributeError, LookupError, TypeError) as error:
        raise MalformedReport("A report from SES lacks a member of its type") from error


def _address(recipient: dict[str, Any]) -> str:
    """The address alone: SES may report it with a display name."""
    _, address = parseaddr(recipient["emailAddress"])
    if "@" not in address:
        raise MalformedReport("A report from SES has no address")
    return address

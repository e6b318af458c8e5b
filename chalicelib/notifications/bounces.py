"""Handle SES bounces and complaints by suppressing addresses, and lift suppressions.

A complaint stops all e-mails to an address. A bounce does not stop those with a token, which the user asks
for. A token that is used has arrived, so it lifts the suppression.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from email.utils import parseaddr
from typing import Any, Literal

from sqlalchemy import Connection, Text, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from chalicelib.notifications.models import suppressed_addresses
from chalicelib.platform.observability import logs

Reason = Literal["bounce", "complaint"]


class MalformedReport(ValueError):
    """A report is not as SES documents it."""


# A complaint outweighs an earlier bounce.
_COMPLAIN = (
    update(suppressed_addresses)
    .where(
        suppressed_addresses.c.email.in_(
            select(func.lower(func.unnest(bindparam("addresses", type_=ARRAY(Text)), type_=Text)))
        ),
        suppressed_addresses.c.reason == "bounce",
    )
    .values(reason="complaint")
)
_lifting = delete(suppressed_addresses).where(
    suppressed_addresses.c.email == func.lower(bindparam("address", type_=Text))
)
_LIFT = _lifting.returning(suppressed_addresses.c.email)
_LIFT_BOUNCE = _lifting.where(suppressed_addresses.c.reason == "bounce")


def parse_report(text: str) -> dict[str, Any]:
    """Parse a message of the topic. One that is no JSON object is no report, and gives an empty one.

    SES sends such a message once, in plain text, when it starts to use the topic.
    """
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        report = None
    return report if isinstance(report, dict) else {}


def apply_report(connection: Connection, report: dict[str, Any], now: datetime) -> None:
    """Suppress the addresses with a permanent bounce or a complaint. Idempotent.

    Anything else is ignored, as are failures that may pass. SES names the type `notificationType`
    in the reports that it sends by itself, and `eventType` in those of a configuration set.

    Raises:
        MalformedReport: A bounce or a complaint lacks a member.
    """
    kind = report.get("notificationType") or report.get("eventType")
    if kind not in ("Bounce", "Complaint"):  # not a set: the value may have no hash
        logs.info("mail report ignored", report=kind[:50] if isinstance(kind, str) else None)
        return
    # Sorted: two reports about the same addresses lock them in the same order, so that they cannot deadlock.
    failed = sorted(set(_failed_addresses(kind, report)))
    rows = [{"email": func.lower(address), "reason": reason, "since": now} for address, reason in failed]
    if rows:
        connection.execute(insert(suppressed_addresses).values(rows).on_conflict_do_nothing())
    if kind == "Complaint":
        connection.execute(_COMPLAIN, {"addresses": [address for address, _ in failed]})


def lift(connection: Connection, address: str) -> bool:
    """Let e-mails go to an address again. Return False if it was not suppressed."""
    return connection.execute(_LIFT, {"address": address}).first() is not None


def lift_bounce(connection: Connection, address: str) -> None:
    """Let e-mails go again to an address that an e-mail has reached. A complaint stays."""
    connection.execute(_LIFT_BOUNCE, {"address": address})


def _failed_addresses(kind: str, report: dict[str, Any]) -> Iterator[tuple[str, Reason]]:
    try:
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

"""Bounces and complaints: which addresses are suppressed, and which are not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from chalicelib.notifications import bounces
from chalicelib.notifications.bounces import MalformedReport
from chalicelib.notifications.models import suppressed_addresses
from chalicelib.wiring import Wiring

NOW = datetime(2027, 6, 5, 17, 30, tzinfo=UTC)

# From the SES developer guide, "Amazon SNS notification examples".
BOUNCE: dict[str, Any] = {
    "notificationType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "reportingMTA": "dns; email.example.com",
        "bouncedRecipients": [
            {
                "emailAddress": "jane@example.com",
                "status": "5.1.1",
                "action": "failed",
                "diagnosticCode": "smtp; 550 5.1.1 <jane@example.com>... User",
            }
        ],
        "timestamp": "2027-06-05T17:30:00.000Z",
        "feedbackId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa068a-000000",
    },
    "mail": {"destination": ["jane@example.com", "mary@example.com"], "source": "no-reply@example.com"},
}
COMPLAINT: dict[str, Any] = {
    "notificationType": "Complaint",
    "complaint": {
        "userAgent": "AnyCompany Feedback Loop (V0.01)",
        "complainedRecipients": [{"emailAddress": "richard@example.com"}],
        "complaintFeedbackType": "abuse",
        "timestamp": "2027-06-05T17:30:00.000Z",
    },
    "mail": {"destination": ["richard@example.com"], "source": "no-reply@example.com"},
}


def bounce(**members: Any) -> dict[str, Any]:
    return {**BOUNCE, "bounce": {**BOUNCE["bounce"], **members}}


def complaint(**members: Any) -> dict[str, Any]:
    return {**COMPLAINT, "complaint": {**COMPLAINT["complaint"], **members}}


def apply(wiring: Wiring, notification: Any, now: datetime = NOW) -> None:
    with wiring.database.transaction() as connection:
        bounces.apply_report(connection, notification, now)


def suppressed(wiring: Wiring) -> dict[str, tuple[str, datetime]]:
    with wiring.database.transaction() as connection:
        rows = connection.execute(select(suppressed_addresses)).all()
    return {row.email: (row.reason, row.since) for row in rows}


def test_a_permanent_bounce_suppresses_the_address(wiring: Wiring) -> None:
    apply(wiring, BOUNCE)

    assert suppressed(wiring) == {"jane@example.com": ("bounce", NOW)}


def test_a_complaint_suppresses_the_address(wiring: Wiring) -> None:
    apply(wiring, COMPLAINT)

    assert suppressed(wiring) == {"richard@example.com": ("complaint", NOW)}


def test_a_complaint_without_a_type_counts(wiring: Wiring) -> None:
    del (unstated := complaint())["complaint"]["complaintFeedbackType"]

    apply(wiring, unstated)

    assert list(suppressed(wiring)) == ["richard@example.com"]


@pytest.mark.parametrize("notification", [BOUNCE, COMPLAINT])
def test_reports_of_a_configuration_set_count(wiring: Wiring, notification: dict[str, Any]) -> None:
    renamed = dict(notification)
    renamed["eventType"] = renamed.pop("notificationType")

    apply(wiring, renamed)

    assert len(suppressed(wiring)) == 1


def test_a_repeated_report_changes_nothing(wiring: Wiring) -> None:
    apply(wiring, BOUNCE)
    apply(wiring, BOUNCE, NOW + timedelta(days=1))
    apply(wiring, complaint(complainedRecipients=[{"emailAddress": "jane@example.com"}]))

    assert suppressed(wiring) == {"jane@example.com": ("bounce", NOW)}


def test_addresses_are_stored_bare_and_in_lower_case(wiring: Wiring) -> None:
    named = [
        {"emailAddress": "Jane@Example.COM"},
        {"emailAddress": "jane@example.com"},
        {"emailAddress": '"Doe, John" <John.Doe@example.com>'},
        {"emailAddress": "<mary@example.com>"},
    ]

    apply(wiring, bounce(bouncedRecipients=named))

    assert set(suppressed(wiring)) == {"jane@example.com", "john.doe@example.com", "mary@example.com"}


@pytest.mark.parametrize(
    "harmless",
    [
        bounce(bounceType="Transient", bounceSubType="MailboxFull"),
        bounce(bounceType="Undetermined"),
        bounce(bouncedRecipients=[]),
        complaint(complaintFeedbackType="not-spam"),
        {"notificationType": "Delivery", "delivery": {"recipients": ["jane@example.com"]}},
        {"eventType": "Open", "open": {}},
        {"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have successfully subscribed"},
    ],
)
def test_harmless_reports_suppress_nothing(wiring: Wiring, harmless: dict[str, Any]) -> None:
    apply(wiring, harmless)

    assert suppressed(wiring) == {}


@pytest.mark.parametrize(
    "malformed",
    [
        {},
        [],
        "Bounce",
        None,
        {"notificationType": "Bounce"},
        {"notificationType": "Bounce", "bounce": None},
        {"notificationType": "Bounce", "bounce": {"bounceType": "Permanent"}},
        bounce(bouncedRecipients=None),
        bounce(bouncedRecipients=["jane@example.com"]),
        bounce(bouncedRecipients=[{}]),
        bounce(bouncedRecipients=[{"emailAddress": None}]),
        bounce(bouncedRecipients=[{"emailAddress": "nobody"}]),
        bounce(bouncedRecipients=[{"emailAddress": "jane@example.com"}, {"emailAddress": ""}]),
        {"notificationType": "Complaint", "complaint": {}},
        complaint(complainedRecipients=[{"address": "richard@example.com"}]),
    ],
)
def test_malformed_reports_are_refused(wiring: Wiring, malformed: Any) -> None:
    with pytest.raises(MalformedReport):
        apply(wiring, malformed)

    assert suppressed(wiring) == {}

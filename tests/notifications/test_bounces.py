"""What SES says of e-mails: who is not written to any more, and who still is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from chalicelib.notifications import bounces
from chalicelib.notifications.bounces import MalformedReport
from chalicelib.notifications.models import suppressed_addresses
from chalicelib.wiring import Wiring

NOW = datetime(2027, 6, 5, 17, 30, tzinfo=UTC)

# As the SES developer guide shows them, "Amazon SNS notification examples".
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


def note(wiring: Wiring, notification: Any, now: datetime = NOW) -> None:
    with wiring.database.transaction() as connection:
        bounces.apply_report(connection, notification, now)


def suppressed(wiring: Wiring) -> dict[str, tuple[str, datetime]]:
    with wiring.database.transaction() as connection:
        rows = connection.execute(select(suppressed_addresses)).all()
    return {row.email: (row.reason, row.since) for row in rows}


def test_an_address_that_bounces_for_good_is_not_written_to_any_more(wiring: Wiring) -> None:
    note(wiring, BOUNCE)

    assert suppressed(wiring) == {"jane@example.com": ("bounce", NOW)}


def test_who_complains_is_not_written_to_any_more(wiring: Wiring) -> None:
    note(wiring, COMPLAINT)

    assert suppressed(wiring) == {"richard@example.com": ("complaint", NOW)}


def test_a_complaint_of_no_stated_kind_is_one(wiring: Wiring) -> None:
    del (unstated := complaint())["complaint"]["complaintFeedbackType"]

    note(wiring, unstated)

    assert list(suppressed(wiring)) == ["richard@example.com"]


@pytest.mark.parametrize("notification", [BOUNCE, COMPLAINT])
def test_reports_of_a_configuration_set_count_as_well(wiring: Wiring, notification: dict[str, Any]) -> None:
    renamed = dict(notification)
    renamed["eventType"] = renamed.pop("notificationType")

    note(wiring, renamed)

    assert len(suppressed(wiring)) == 1


def test_a_report_that_comes_again_changes_nothing(wiring: Wiring) -> None:
    note(wiring, BOUNCE)
    note(wiring, BOUNCE, NOW + timedelta(days=1))
    note(wiring, complaint(complainedRecipients=[{"emailAddress": "jane@example.com"}]))

    assert suppressed(wiring) == {"jane@example.com": ("bounce", NOW)}


def test_addresses_are_kept_bare_and_in_lower_case(wiring: Wiring) -> None:
    named = [
        {"emailAddress": "Jane@Example.COM"},
        {"emailAddress": "jane@example.com"},
        {"emailAddress": '"Doe, John" <John.Doe@example.com>'},
        {"emailAddress": "<mary@example.com>"},
    ]

    note(wiring, bounce(bouncedRecipients=named))

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
def test_what_may_pass_and_what_went_well_suppress_nobody(wiring: Wiring, harmless: dict[str, Any]) -> None:
    note(wiring, harmless)

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
def test_what_cannot_be_understood_is_raised_and_suppresses_nobody(wiring: Wiring, malformed: Any) -> None:
    with pytest.raises(MalformedReport):
        note(wiring, malformed)

    assert suppressed(wiring) == {}

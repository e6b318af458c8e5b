"""Bounces and complaints: which addresses are suppressed, and which are not."""

import email
import json
import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from sqlalchemy import select

from chalicelib.notifications import bounces
from chalicelib.notifications.bounces import MalformedReport
from chalicelib.notifications.models import suppressed_addresses
from chalicelib.platform.messaging.sqs_consumer import process_batch
from chalicelib.wiring import Wiring
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice, quiet

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

    assert suppressed(wiring) == {"jane@example.com": ("bounce", NOW)}


def test_a_complaint_outweighs_a_bounce(wiring: Wiring) -> None:
    complained = complaint(complainedRecipients=[{"emailAddress": "Jane@example.com"}])
    apply(wiring, BOUNCE)
    apply(wiring, complained, NOW + timedelta(days=1))
    apply(wiring, BOUNCE, NOW + timedelta(days=2))

    assert suppressed(wiring) == {"jane@example.com": ("complaint", NOW)}


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
        {},
        {"notificationType": None},
        {"notificationType": ["Bounce"]},
        {"eventType": {"a": "Complaint"}},
        {"bounce": BOUNCE["bounce"]},
    ],
)
def test_harmless_reports_suppress_nothing(wiring: Wiring, harmless: dict[str, Any]) -> None:
    apply(wiring, harmless)

    assert suppressed(wiring) == {}


@pytest.mark.parametrize(
    "malformed",
    [
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


class Message:
    """A message of the queue of mail reports."""

    def __init__(self, body: str) -> None:
        self.body = body

    def to_dict(self) -> dict[str, Any]:
        return {"messageId": str(id(self)), "body": self.body}


@pytest.mark.parametrize(
    "notice",
    [
        "Successfully validated SNS topic for Amazon SES event publishing.",
        "",
        "{",
        "[]",
        "null",
        '"Bounce"',
        "7" * 5_000,
        "[" * 100_000,
        '{"notificationType": "Bounce"',
        *map(json.dumps, ({}, {"notificationType": "AmazonSnsSubscriptionSucceeded"}, {"eventType": "Open"})),
    ],
    ids=lambda notice: f"{notice:.20}",
)
def test_a_notice_that_is_no_report_is_done_with_a_log_line(
    wiring: Wiring, notice: str, caplog: pytest.LogCaptureFixture
) -> None:
    """SES sends the first of them when a deployment has made the topic."""
    event: Any = [Message(notice), Message(json.dumps(BOUNCE))]

    def apply_report(report: dict[str, Any]) -> None:
        apply(wiring, report)

    assert process_batch(event, dict, apply_report, parse=bounces.parse_report) == {"batchItemFailures": []}
    assert "mail report ignored" in caplog.messages
    assert list(suppressed(wiring)) == ["jane@example.com"]


def lift(wiring: Wiring, address: str) -> bool:
    with wiring.database.transaction() as connection:
        return bounces.lift(connection, address)


def test_a_suppression_can_be_lifted(wiring: Wiring) -> None:
    apply(wiring, BOUNCE)
    apply(wiring, COMPLAINT)

    assert lift(wiring, "Jane@Example.com")
    assert lift(wiring, "richard@example.com")
    assert not lift(wiring, "jane@example.com")
    assert suppressed(wiring) == {}


def report(client: Client, kind: dict[str, Any], user: Account) -> None:
    address = [{"emailAddress": user.email}]
    members = {"bouncedRecipients": address} if kind is BOUNCE else {"complainedRecipients": address}
    apply(client.wiring, (bounce if kind is BOUNCE else complaint)(**members), datetime.now(UTC))


def ask_for_reset(client: Client, post_office: PostOffice, user: Account) -> list[str]:
    """Ask to reset the password, and return the tokens that are sent."""
    quiet(post_office)
    assert client("POST", "/auth/forgot-password", {"email": user.email}).status == 202
    post_office.run()
    mails = [
        email.message_from_bytes(message, EmailMessage, policy=default)
        for _, message in post_office.mailer.sent
    ]
    texts = [mail.get_body(["plain"]).get_content() for mail in mails]  # type: ignore[union-attr]
    return [found[0] for text in texts if (found := re.search(r"[\w-]{43}", text))]


def test_a_bounced_address_is_usable_again_after_a_password_reset(
    client: Client, post_office: PostOffice
) -> None:
    """The token proves that e-mails arrive."""
    user = client.attendee()
    report(client, BOUNCE, user)

    (token,) = ask_for_reset(client, post_office, user)
    assert suppressed(client.wiring)
    reset = {"token": token, "password": "another long password"}
    assert client("POST", "/auth/reset-password", reset).status == 204

    assert suppressed(client.wiring) == {}


def test_a_bounced_address_gets_only_what_its_user_asks_for(client: Client, post_office: PostOffice) -> None:
    user, host = client.attendee(), client.host()
    quiet(post_office)
    report(client, BOUNCE, user)

    assert client.book(user, client.event(host)["eventId"]).status == 201
    post_office.run()

    assert user.email not in post_office.mailer.addresses()


def test_an_address_that_complained_gets_no_token(client: Client, post_office: PostOffice) -> None:
    user = client.attendee()
    report(client, COMPLAINT, user)

    assert ask_for_reset(client, post_office, user) == []


def test_a_used_token_does_not_lift_a_complaint(client: Client, post_office: PostOffice) -> None:
    user = client.attendee()
    (token,) = ask_for_reset(client, post_office, user)
    report(client, COMPLAINT, user)

    reset = {"token": token, "password": "another long password"}
    assert client("POST", "/auth/reset-password", reset).status == 204

    assert list(suppressed(client.wiring)) == [user.email]


@pytest.mark.parametrize("kind", [BOUNCE, COMPLAINT], ids=["bounce", "complaint"])
def test_the_own_profile_shows_a_suppression(client: Client, kind: dict[str, Any]) -> None:
    user, other = client.attendee(), client.attendee()
    assert "emailSuppressed" not in client("GET", "/users/me", by=user).json

    report(client, kind, user)

    assert client("GET", "/users/me", by=user).json["emailSuppressed"] is True
    assert "emailSuppressed" not in client("GET", f"/users/{user.user_id}", by=other).json
    listed = client("GET", "/users", by=other).json
    assert not any("emailSuppressed" in profile for profile in listed)
    assert lift(client.wiring, user.email)
    assert "emailSuppressed" not in client("GET", "/users/me", by=user).json

"""The saved query "Follow a booking" finds every step of a booking in the log of a run with all functions."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest

import app
from chalicelib.adapters.stripe import StripePayments
from chalicelib.platform.messaging import queues
from chalicelib.wiring import Wiring, using
from infra.aws.template.logs import FOLLOW_A_BOOKING
from infra.local import aws, triggers
from infra.local.provision import make_topology
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.server import running as stripe_fake
from infra.stripe_fake.webhooks import Endpoint
from tests.client import Client
from tests.conftest import WEBHOOK_SECRET, Lines
from tests.infra.aws.stack import Stack
from tests.infra.aws.test_template import GIVEN
from tests.infra.local.conftest import becomes_true
from tests.payments.purchases import Hold, buy, cancel, deliver_to, deliver_webhooks, status

PLACEHOLDER = "PASTE THE ID OF THE BOOKING"
BOOKED = "request POST /bookings 201"
CONFIRMED = "request POST /webhooks/stripe confirmed"
CANCELLED = "request DELETE /bookings/{bookingId} 204"
REFUNDED = "request POST /webhooks/stripe no-change"


@pytest.fixture
def stripe() -> Iterator[StripeFake]:
    with stripe_fake(background=False) as fake:
        yield fake


@pytest.fixture
def client(wiring: Wiring, stripe: StripeFake) -> Iterator[Client]:
    """A client of the app while all its functions run."""
    with aws.running():
        sqs = boto3.client("sqs")
        resources = make_topology(boto3.client("sns"), sqs, boto3.client("ses"))
        topic = resources.topics[queues.DOMAIN_EVENTS_TOPIC]
        settings = replace(wiring.settings, domain_events_topic_arn=topic)
        gateway = StripePayments("sk_test_1", stripe.url)
        with using(Wiring(settings, payments=gateway)) as real, triggers.running(app.app, sqs, long_poll=0):
            client = Client(real, verified=True)
            stripe.add_endpoint(Endpoint("app", (WEBHOOK_SECRET.decode(),), send=deliver_to(client)))
            yield client


def follow(lines: list[dict[str, Any]], booking_id: str) -> list[dict[str, Any]]:
    """Run the saved query as CloudWatch would: its filters, and its order by time."""
    for line in FOLLOW_A_BOOKING.replace(PLACEHOLDER, booking_id).splitlines():
        if found := re.fullmatch(r'\| filter (\w+) (=|!=) "(.+)"', line):
            member, operator, value = found.groups()
            lines = [line for line in lines if (line.get(member) == value) is (operator == "=")]
    return sorted(lines, key=lambda line: str(line["time"]))


def step(line: dict[str, Any]) -> str:
    about = [line[name] for name in ("method", "route", "type") if name in line]
    result = line.get("outcome") if "stripe" in line.get("route", "") else line.get("status")
    return " ".join(map(str, [line["message"], *about, *([result] if result else [])]))


def test_a_booking_can_be_followed_from_request_to_refund(
    client: Client, stripe: StripeFake, log: Lines
) -> None:
    lines: list[dict[str, Any]] = []
    other, held = buy(client, stripe), buy(client, stripe)

    def has_emailed(kind: str, booking: Hold) -> bool:
        """Whether both the function for notifications and that for e-mails have handled the message."""
        lines.extend(log())
        steps = [step(line) for line in follow(lines, booking.booking_id)]
        return steps.count(f"message handled {kind}") == 2

    assert becomes_true(lambda: has_emailed("booking-confirmed", held))
    cancel(client, held)
    assert becomes_true(lambda: has_emailed("booking-cancelled", held))
    assert becomes_true(lambda: status(client, held) == ("cancelled", "refunded"))
    deliver_webhooks(stripe)
    lines.extend(log())

    found = follow(lines, held.booking_id)
    steps = [step(line) for line in found]
    assert [step for step in steps if step.startswith("request POST")][:2] == [BOOKED, CONFIRMED]
    for earlier, later in (
        (BOOKED, CONFIRMED),
        (CONFIRMED, "domain event published booking-confirmed"),
        ("domain event published booking-confirmed", "message handled booking-confirmed"),
        ("message handled booking-confirmed", CANCELLED),
        (CANCELLED, "domain event published payment-refund-due"),
        (CANCELLED, "domain event published booking-cancelled"),
        ("domain event published payment-refund-due", "message handled payment-refund-due"),
        ("domain event published booking-cancelled", "message handled booking-cancelled"),
        ("message handled payment-refund-due", REFUNDED),
    ):
        assert steps.index(earlier) < steps.index(later)
    assert not {line["bookingId"] for line in found} & {other.booking_id}
    for line in found:
        assert line["requestId"]
        if line["message"] == "message handled":
            assert {"messageId", "domainEventId", "eventId", "lambdaRequestId"} <= line.keys()
    assert client.wiring.settings.jwt_secret
    for secret in (
        *(held.attendee.email, held.host.email, held.attendee.token, "_secret_", "sk_test_"),
        *(WEBHOOK_SECRET.decode(), client.wiring.settings.jwt_secret.decode()),
    ):
        assert secret not in str(lines)


def test_the_query_searches_the_logs_of_all_functions(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    [query] = [
        query
        for query in stack.of_type("AWS::Logs::QueryDefinition").values()
        if query["Name"] == "event-booking/Follow a booking"
    ]
    assert query["QueryString"] == FOLLOW_A_BOOKING
    functions = stack.of_type("AWS::Serverless::Function").values()
    assert sorted(query["LogGroupNames"]) == sorted(
        function["LoggingConfig"]["LogGroup"] for function in functions
    )

"""The webhook: outages, configuration and logging."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chalicelib.platform.observability import logs
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from infra.stripe_fake.webhooks import sign
from tests.client import Client
from tests.conftest import SECRET, WEBHOOK_SECRET
from tests.payments.purchases import (
    cancel,
    deliver_webhooks,
    expire,
    hold,
    pay,
    post_webhook,
    process_refund,
    reconcile,
    request_payment,
    status,
)
from tests.payments.webhook_delivery import event, intent_of, recorded, send
from tests.rows import alter, rows


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log as the deployed app writes it."""
    logger = logging.getLogger("event-booking")
    handlers = logger.handlers
    stream = io.StringIO()
    logs.set_up(stream)
    yield stream
    logs.set_up()
    logger.handlers = handlers


def test_a_webhook_is_accepted_again_after_a_database_outage(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held, deliver=False)
    nowhere = replace(client.wiring.settings, database_url="postgresql+pg8000://none@127.0.0.1:9/none")
    with using(Wiring(nowhere)):
        responses = stripe.deliver_all()
    assert set(responses) == {503}
    assert status(client, held) == ("pending", "requires_payment")

    deliver_webhooks(stripe)

    assert status(client, held) == ("confirmed", "paid")


def test_a_failed_event_is_not_recorded_and_can_be_redelivered(client: Client) -> None:
    held = hold(client)
    succeeded = event("payment_intent.succeeded", intent_of(client, held))
    alter(client, "ALTER TABLE payments RENAME TO elsewhere")
    assert send(client, succeeded).status == 500
    alter(client, "ALTER TABLE elsewhere RENAME TO payments")
    assert recorded(client) == []

    assert send(client, succeeded).json == {"outcome": "confirmed"}


def test_without_a_secret_no_event_is_accepted(client: Client) -> None:
    held = hold(client)
    body = json.dumps(event("payment_intent.succeeded", intent_of(client, held))).encode()
    with using(Wiring(replace(client.wiring.settings, stripe_webhook_secrets=()))):
        for secret in ("", WEBHOOK_SECRET.decode()):
            assert post_webhook(client, body, sign(body, (secret,), 0)).status == 503

    assert status(client, held) == ("pending", "requires_payment")


def test_the_webhook_ignores_authorization(client: Client) -> None:
    body = json.dumps(event("customer.created", {"id": "cus_1"})).encode()
    headers = {"Authorization": "Bearer of nothing", "Stripe-Signature": "t=1,v1=2"}

    assert client("POST", "/webhooks/stripe", raw=body, headers=headers).problem == "invalid-signature"
    assert send(client, body).status == 200


def test_no_secret_is_logged(client: Client, stripe: StripeFake, log: io.StringIO) -> None:
    held, other = hold(client), hold(client)
    secrets = [
        client.wiring.settings.stripe_api_key or "",
        WEBHOOK_SECRET.decode(),
        SECRET.decode(),
        held.attendee.email,
        held.attendee.token,
        *(intent["client_secret"] for intent in stripe.intents()),
    ]
    assert all(secrets)
    for kind in ("error", "limit", "reset"):
        stripe.faults.calls = [Fault(kind)]
        rows(client, "UPDATE payments SET intent_id = NULL WHERE booking_id = :id", id=other.booking_id)
        request_payment(client, other)
    succeeded = event(
        "payment_intent.succeeded", intent_of(client, held, amount=1, client_secret=secrets[-1])
    )
    send(client, succeeded)
    post_webhook(client, json.dumps(succeeded).encode(), sign(b"", (WEBHOOK_SECRET.decode(),), 0))
    send(client, event("refund.updated", {"payment_intent": [secrets[-1]]}))
    alter(client, "ALTER TABLE stripe_events RENAME TO elsewhere")
    send(client, event("payment_intent.succeeded", intent_of(client, held, client_secret=secrets[-1])))
    alter(client, "ALTER TABLE elsewhere RENAME TO stripe_events")
    stripe.faults.calls = [Fault("error", 2)]
    expire(client)
    reconcile(client)
    stripe.faults.calls = []
    cancelled = hold(client)
    pay(stripe, cancelled)
    cancel(client, cancelled)
    stripe.faults.calls = [Fault("error")]
    process_refund(client, cancelled)

    written = log.getvalue()

    assert len(written.splitlines()) > 20
    assert [secret for secret in secrets if secret in written] == []
    assert "_secret_" not in written
    assert "whsec_" not in written


def test_events_of_the_other_mode_are_foreign(client: Client) -> None:
    live: Settings = replace(client.wiring.settings, stripe_livemode=True)
    held = hold(client)
    succeeded = event("payment_intent.succeeded", intent_of(client, held))

    with using(Wiring(live)):
        assert send(client, succeeded).json == {"outcome": "foreign"}
        assert send(client, {**succeeded, "id": "evt_live", "livemode": True}).json == {
            "outcome": "confirmed"
        }

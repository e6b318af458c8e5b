"""A fake without background threads, and Stripe's own package to call it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import stripe

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.server import running
from infra.stripe_fake.webhooks import Endpoint

SECRET = "whsec_tests"
EVENTUALLY = 60.0  # seconds, far more than a wait needs on a slow machine


@dataclass
class Recorder:
    """An endpoint that verifies each webhook as Stripe's package does, and keeps it."""

    events: list[stripe.Event] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """The statuses of the next responses; 200 after them."""

    def __call__(self, body: bytes, signature: str) -> int:
        self.events.append(stripe.Webhook.construct_event(body, signature, SECRET))
        return self.statuses.pop(0) if self.statuses else 200

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("recorder", (SECRET,), send=self)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def fake(recorder: Recorder) -> Iterator[StripeFake]:
    with running(endpoints=[recorder.endpoint], background=False) as fake:
        yield fake


@contextmanager
def client_of(fake: StripeFake, key: str = "sk_test_1") -> Iterator[stripe.StripeClient]:
    """Return a client that does not retry."""
    http = stripe.RequestsClient(timeout=30)
    try:
        yield stripe.StripeClient(
            key, base_addresses={"api": fake.url}, http_client=http, max_network_retries=0
        )
    finally:
        http.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def client(fake: StripeFake) -> Iterator[stripe.StripeClient]:
    with client_of(fake) as client:
        yield client


@pytest.fixture
def intent(client: stripe.StripeClient) -> stripe.PaymentIntent:
    """An unpaid PaymentIntent of 12.50 EUR."""
    return client.v1.payment_intents.create(
        {"amount": 1250, "currency": "eur", "metadata": {"bookingId": "b-1"}}
    )


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait until a condition is true, and say whether it became so."""
    deadline = time.monotonic() + EVENTUALLY
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met

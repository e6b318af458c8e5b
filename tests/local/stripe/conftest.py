"""A stand-in for Stripe that sends nothing by itself, and Stripe's own package to talk to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import stripe

from infra.local.stripe.server import running
from infra.local.stripe.stand_in import StandIn
from infra.local.stripe.webhooks import Endpoint

SECRET = "whsec_stand_in"


@dataclass
class Recorder:
    """An endpoint that checks each webhook's signature as the package does, and remembers it."""

    got: list[stripe.Event] = field(default_factory=list)
    responses: list[int] = field(default_factory=list)
    """What it answers next; 200 when nothing is left."""

    def __call__(self, body: bytes, signature: str) -> int:
        self.got.append(stripe.Webhook.construct_event(body, signature, SECRET))
        return self.responses.pop(0) if self.responses else 200

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("recorder", (SECRET,), send=self)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.got]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def stand_in(recorder: Recorder) -> Iterator[StandIn]:
    with running(endpoints=[recorder.endpoint], background=False) as stand_in:
        yield stand_in


@contextmanager
def talking_to(
    stand_in: StandIn, key: str = "sk_test_1", *, timeout: float = 30.0
) -> Iterator[stripe.StripeClient]:
    """Return a client of the package that tries each call once."""
    http = stripe.RequestsClient(timeout=timeout)
    try:
        yield stripe.StripeClient(
            key, base_addresses={"api": stand_in.url}, http_client=http, max_network_retries=0
        )
    finally:
        http.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[stripe.StripeClient]:
    with talking_to(stand_in) as client:
        yield client


Create = Callable[..., stripe.PaymentIntent]


@pytest.fixture
def intent(client: stripe.StripeClient) -> stripe.PaymentIntent:
    """A PaymentIntent of 12.50 EUR that nobody has paid yet."""
    return client.v1.payment_intents.create(
        {"amount": 1250, "currency": "eur", "metadata": {"bookingId": "b-1"}}
    )

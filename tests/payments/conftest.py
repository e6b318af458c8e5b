"""The app with the fake Stripe, which delivers webhooks only on request."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from chalicelib.adapters.stripe import StripePayments
from chalicelib.wiring import Wiring, using
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.server import running
from infra.stripe_fake.webhooks import Endpoint
from tests.client import Client
from tests.conftest import WEBHOOK_SECRET
from tests.fakes import FakePublisher, FakeQueues
from tests.notifications.pipeline import PostOffice
from tests.payments.purchases import deliver_to


@pytest.fixture
def stripe() -> Iterator[StripeFake]:
    """A fake Stripe. With `client`, its webhooks wait for `deliver` or `deliver_all`."""
    with running(background=False) as fake:
        yield fake


@pytest.fixture
def wiring(wiring: Wiring, stripe: StripeFake) -> Iterator[Wiring]:
    """The app's wiring with the real Stripe adapter."""
    settings = replace(wiring.settings, stripe_api_base=stripe.url)
    assert settings.stripe_api_key
    gateway = StripePayments(settings.stripe_api_key, stripe.url)
    with using(
        Wiring(settings, publisher=FakePublisher(), queues=FakeQueues(), payments=gateway)
    ) as with_stripe:
        yield with_stripe


@pytest.fixture
def client(client: Client, stripe: StripeFake) -> Client:
    """A client of the app, which receives Stripe's webhooks in the thread that delivers them.

    Accounts have verified addresses.
    """
    client.verified = True
    endpoint = Endpoint("app", (WEBHOOK_SECRET.decode(),), send=deliver_to(client))
    stripe.add_endpoint(endpoint)
    return client


@pytest.fixture
def post_office(wiring: Wiring) -> PostOffice:
    """The notification pipeline, step by step."""
    return PostOffice(wiring)

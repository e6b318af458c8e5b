"""What tests of payments stand on: the app beside a stand-in for Stripe that sends nothing by itself."""

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
    """Stripe; what it has to tell waits for `deliver` and `deliver_all`, once there is a `client`."""
    with running(background=False) as fake:
        yield fake


@pytest.fixture
def wiring(wiring: Wiring, stripe: StripeFake) -> Iterator[Wiring]:
    """The app's parts, with the real adapter."""
    settings = replace(wiring.settings, stripe_api_base=stripe.url)
    assert settings.stripe_api_key
    gateway = StripePayments(settings.stripe_api_key, stripe.url)
    with using(Wiring(settings, publisher=FakePublisher(), queues=FakeQueues(), payments=gateway)) as paying:
        yield paying


@pytest.fixture
def client(client: Client, stripe: StripeFake) -> Client:
    """A client of the app; Stripe's webhooks come to it in the thread that delivers them."""
    endpoint = Endpoint("app", (WEBHOOK_SECRET.decode(),), send=deliver_to(client))
    stripe.add_endpoint(endpoint)
    return client


@pytest.fixture
def post_office(wiring: Wiring) -> PostOffice:
    """Domain events to people, step by step."""
    return PostOffice(wiring)

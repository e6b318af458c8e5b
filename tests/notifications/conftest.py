"""Fixtures for tests of notifications."""

import pytest

from chalicelib.wiring import Wiring
from tests.client import Client
from tests.notifications.pipeline import PostOffice


@pytest.fixture
def client(wiring: Wiring) -> Client:
    """A client whose accounts have verified addresses."""
    return Client(wiring, verified=True)


@pytest.fixture
def post_office(wiring: Wiring) -> PostOffice:
    """The way from domain events to inboxes and e-mails, step by step."""
    return PostOffice(wiring)

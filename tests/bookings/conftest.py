"""The app behind a real HTTP server, for races."""

from collections.abc import Iterator

import pytest

import app
from chalicelib.wiring import Wiring
from infra.local.api_gateway import api_gateway
from infra.local.server import serving
from tests.concurrency import Web


@pytest.fixture
def web(wiring: Wiring) -> Iterator[Web]:
    """The app with the test's database, for concurrent clients."""
    assert wiring.settings.database_pool_size > 1, "one connection would serialize all requests"
    with serving(api_gateway(app.app)) as url:
        yield Web(url)

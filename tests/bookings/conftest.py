"""What races stand on: the app behind a real HTTP server."""

from collections.abc import Iterator

import pytest

import app
from chalicelib.wiring import Wiring
from infra.local.api_gateway import api_gateway
from infra.local.server import serving
from tests.concurrency import Web


@pytest.fixture
def web(wiring: Wiring) -> Iterator[Web]:
    """The app, set to the test's database, as many clients at once can call it."""
    assert wiring.settings.database_pool_size > 1, "one connection would let one request in at a time"
    with serving(api_gateway(app.app)) as url:
        yield Web(url)

"""What tests of telling people stand on."""

import pytest

from chalicelib.wiring import Wiring
from tests.notifications.pipeline import PostOffice


@pytest.fixture
def post_office(wiring: Wiring) -> PostOffice:
    """Domain events to people, step by step."""
    return PostOffice(wiring)

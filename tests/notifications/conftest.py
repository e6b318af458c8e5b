"""What tests of telling people stand on."""

import pytest

from chalicelib.wiring import Wiring
from tests.notifications.post_office import PostOffice


@pytest.fixture
def post_office(wiring: Wiring) -> PostOffice:
    """Facts to people, step by step."""
    return PostOffice(wiring)

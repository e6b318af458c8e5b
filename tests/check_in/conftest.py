"""Fixtures of the door's tests."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from chalicelib.platform.observability import logs
from tests.check_in.doors import Door
from tests.client import Client


@pytest.fixture
def door(client: Client) -> Door:
    return Door.open(client)


@pytest.fixture
def log() -> Iterator[StringIO]:
    """The log of the app during the test."""
    logger = logging.getLogger("event-booking")
    handlers = logger.handlers
    stream = StringIO()
    logs.set_up(stream)
    yield stream
    logs.set_up()
    logger.handlers = handlers

"""What the tests of the embedded stack share."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Make a folder that every account can reach, as PostgreSQL under root needs; pytest's are closed."""
    with tempfile.TemporaryDirectory(prefix="event-booking-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path

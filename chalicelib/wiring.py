"""Settings to running parts: the only place that chooses, and the only seam for tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from chalicelib.db import Database
from chalicelib.security import Tokens
from chalicelib.settings import Settings


class Wiring:
    """The parts of one process, each made when first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tokens = Tokens(settings)
        self.database = Database(settings)

    def close(self) -> None:
        self.database.close()


_current: Wiring | None = None


def current() -> Wiring:
    """The wiring of this process, made from the environment at the first call.

    Raises:
        BadSetting: The environment lacks a setting.
    """
    global _current  # noqa: PLW0603 (one per process, as a Lambda container is one)
    if _current is None:
        _current = Wiring(Settings.read(os.environ))
    return _current


@contextmanager
def using(wiring: Wiring) -> Iterator[Wiring]:
    """Have this process run on other parts for the length of a block."""
    global _current  # noqa: PLW0603
    previous, _current = _current, wiring
    try:
        yield wiring
    finally:
        _current = previous
        wiring.close()

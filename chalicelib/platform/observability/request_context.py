"""The id of the current request, and the other ids that log lines have.

Domain events and messages carry the id of the request on to the e-mails.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self

_VALID = re.compile("(?=.*[A-Za-z0-9])[A-Za-z0-9-]{1,128}")


class RequestId(str):
    """An id of letters, digits and hyphens only: safe in a header, a log and a SQL literal."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check and wrap an id.

        Raises:
            ValueError: The id has other characters, is empty or is too long.
        """
        if not _VALID.fullmatch(text):
            raise ValueError("not a request id")
        return super().__new__(cls, text)

    @classmethod
    def of(cls, text: object) -> Self | None:
        """Return the text as an id, or None if it is not valid."""
        if isinstance(text, cls):
            return text
        sane = isinstance(text, str) and _VALID.fullmatch(text)
        return super().__new__(cls, text) if sane else None


_current: ContextVar[RequestId | None] = ContextVar("request_id", default=None)
_ids: ContextVar[dict[str, str] | None] = ContextVar("ids", default=None)


def current() -> RequestId | None:
    """Return the id of the current request, or None."""
    return _current.get()


@contextmanager
def bind(request_id: object, **others: object) -> Iterator[None]:
    """Bind a request id for the block, and other ids. An invalid request id binds None."""
    token = _current.set(RequestId.of(request_id))
    ids_token = _ids.set({**ids(), **_texts(others)})
    try:
        yield
    finally:
        _ids.reset(ids_token)
        _current.reset(token)


@contextmanager
def scope(**others: object) -> Iterator[None]:
    """Add ids such as `bookingId` to the log lines of the block."""
    token = _ids.set({**ids(), **_texts(others)})
    try:
        yield
    finally:
        _ids.reset(token)


def add(**others: object) -> None:
    """Add ids to the further log lines of the innermost block. None adds nothing."""
    bound = _ids.get()
    if bound is not None:
        bound.update(_texts(others))


def _texts(others: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in others.items() if value is not None} if others else {}


def ids() -> Mapping[str, str]:
    """Return the ids that log lines have besides that of the request."""
    return _ids.get() or {}


def xray() -> str | None:
    """Return the X-Ray trace id of the current Lambda call, or None."""
    return os.environ.get("_X_AMZN_TRACE_ID")

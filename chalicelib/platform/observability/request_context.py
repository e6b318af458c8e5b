"""Tracing: the id of the request that something goes back to, from the request to the e-mail."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self

_VALID = re.compile("(?=.*[A-Za-z0-9])[A-Za-z0-9-]{1,128}")


class RequestId(str):
    """An id of letters, digits and hyphens only: safe in a header, a log and a SQL literal."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Take an id over.

        Raises:
            ValueError: It has other characters, or is empty or too long.
        """
        if not _VALID.fullmatch(text):
            raise ValueError("not a request id")
        return super().__new__(cls, text)

    @classmethod
    def of(cls, text: object) -> Self | None:
        """Take an id over if it is one; None if not."""
        if isinstance(text, cls):
            return text
        sane = isinstance(text, str) and _VALID.fullmatch(text)
        return super().__new__(cls, text) if sane else None


_current: ContextVar[RequestId | None] = ContextVar("request_id", default=None)


def current() -> RequestId | None:
    """The request that what is done here goes back to, if any does."""
    return _current.get()


@contextmanager
def bind(request_id: object) -> Iterator[None]:
    """Do something on behalf of a request; of an id that is none it is on nobody's."""
    token = _current.set(RequestId.of(request_id))
    try:
        yield
    finally:
        _current.reset(token)


def xray() -> str | None:
    """AWS X-Ray's id of what this process is doing, as Lambda tells it for each call."""
    return os.environ.get("_X_AMZN_TRACE_ID")

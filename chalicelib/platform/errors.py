"""Refusals: expected failures that the client is told about, one exception class per reason.

A refusal derives from a kind, which decides the HTTP status. Its class name in kebab-case is the problem type
(`SoldOut` is `sold-out`), and the first line of its docstring is the problem title.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple


class FieldError(NamedTuple):
    """An error in one member of the input, named as the client sent it."""

    field: str
    message: str


class Refusal(Exception):
    """An expected failure that the client is told about."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail or self.title())
        self.detail = detail
        self.errors = tuple(errors)
        self.members = dict(members or {})
        """Further members of the problem document (RFC 9457, section 3.2)."""
        self.retry_after = retry_after
        """Seconds after which the client should retry."""

    @classmethod
    @cache
    def slug(cls) -> str:
        """Return the kebab-case name that ends the problem type URI."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    @cache
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")


class InvalidInput(Refusal):
    """The request is not valid."""


class Unauthenticated(Refusal):
    """A valid token is required."""


class Forbidden(Refusal):
    """Not allowed."""


class NotFound(Refusal):
    """Not found."""


class MethodNotAllowed(Refusal):
    """This path does not support this method."""


class Conflict(Refusal):
    """Not possible in the current state."""


class StaleVersion(Refusal):
    """The resource has changed since the version in If-Match."""


class ContentTooLarge(Refusal):
    """The request body is too large."""


class UnsupportedMediaType(Refusal):
    """The Content-Type of the request body is not supported here."""


class IdempotencyKeyReused(Refusal):
    """The Idempotency-Key was used with a different request."""


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is still running."""


class TooManyRequests(Refusal):
    """Too many requests."""


class Unavailable(Refusal):
    """Temporarily unavailable, please try again."""


class Unreachable(Exception):
    """An external service failed. It is safe to retry."""

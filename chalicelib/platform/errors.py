"""Refusals: every reason for which a request is turned down, as one exception class per reason.

A refusal derives from its kind, which decides the HTTP status at the edge. Its class name in kebab-case
is the problem type (`SoldOut` is `sold-out`), the first line of its docstring is the problem title.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple


class FieldError(NamedTuple):
    """What is wrong with one member of the input, named as the client sent it."""

    field: str
    message: str


class Refusal(Exception):
    """A request that is turned down for a reason that the caller can act on."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail or self.title())
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
        """Seconds after which a retry is worth while."""

    @classmethod
    @cache
    def slug(cls) -> str:
        """The kebab-case name that ends the problem type URI."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    @cache
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")


class InvalidInput(Refusal):
    """The request is malformed or a value is not allowed."""


class Unauthenticated(Refusal):
    """A valid token is required."""


class Forbidden(Refusal):
    """This is not yours to do."""


class NotFound(Refusal):
    """Not there, or not visible to you."""


class MethodNotAllowed(Refusal):
    """The path does not support this method."""


class Conflict(Refusal):
    """The present state does not allow this."""


class StaleVersion(Refusal):
    """The resource has changed since the version named in If-Match."""


class ContentTooLarge(Refusal):
    """The request body is too large."""


class UnsupportedMediaType(Refusal):
    """The request body must be of the type that is taken here, and say so in Content-Type."""


class IdempotencyKeyReused(Refusal):
    """The Idempotency-Key was used before with another request."""


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is still running."""


class TooManyRequests(Refusal):
    """Too many requests at the moment."""


class Unavailable(Refusal):
    """The service cannot do this right now; a retry will help."""


class Unreachable(Exception):
    """A service outside did not do what it was asked; nothing is known to be lost, try again."""

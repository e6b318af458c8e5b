"""Problem documents (RFC 9457)."""

import json
from http import HTTPStatus

from chalicelib.platform import errors
from chalicelib.platform.errors import Refusal

CONTENT_TYPE = "application/problem+json"

STATUS: dict[type[Refusal], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.StaleVersion: HTTPStatus.PRECONDITION_FAILED,
    errors.ContentTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The kinds of refusal. Every refusal has the status of the kind that it derives from."""

FAULT = ("fault", "Something went wrong on our side")
"""The slug and title of status 500, which no refusal has."""


def status(refusal: type[Refusal]) -> HTTPStatus:
    return next(STATUS[kind] for kind in refusal.__mro__ if kind in STATUS)


def type_uri(slug: str, public_url: str) -> str:
    """Return the URI of a problem type, which leads to its entry in the list of problem types."""
    return f"{public_url}/docs/problems#{slug}"


def document(refusal: Refusal, public_url: str) -> str:
    kind = type(refusal)
    return render(
        slug=kind.slug(),
        title=kind.title(),
        status=status(kind),
        detail=refusal.detail,
        field_errors=refusal.errors,
        public_url=public_url,
    )


def render(
    *,
    slug: str,
    title: str,
    status: int,
    public_url: str,
    detail: str | None = None,
    field_errors: tuple[errors.FieldError, ...] = (),
) -> str:
    problem: dict[str, object] = {
        "type": type_uri(slug, public_url),
        "title": title,
        "status": int(status),
    }
    if detail:
        problem["detail"] = detail
    if field_errors:
        problem["errors"] = [error._asdict() for error in field_errors]
    return json.dumps(problem, separators=(",", ":"))

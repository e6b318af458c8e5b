"""Problem documents (RFC 9457)."""

import json
from collections.abc import Mapping
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


TYPE_PREFIX = "tag:event-booking.example,2026:problems/"
"""The same in every deployment (RFC 4151). The list at /docs/problems explains each code that follows it."""


def type_uri(slug: str) -> str:
    return TYPE_PREFIX + slug


def document(refusal: Refusal) -> str:
    kind = type(refusal)
    return render(
        slug=kind.slug(),
        title=kind.title(),
        status=status(kind),
        detail=refusal.detail,
        field_errors=refusal.errors,
        members=refusal.members,
    )


def render(
    *,
    slug: str,
    title: str,
    status: int,
    detail: str | None = None,
    field_errors: tuple[errors.FieldError, ...] = (),
    members: Mapping[str, object] | None = None,
) -> str:
    problem: dict[str, object] = {
        "type": type_uri(slug),
        "title": title,
        "status": int(status),
        "code": slug,
        **(members or {}),
    }
    if detail:
        problem["detail"] = detail
    if field_errors:
        problem["errors"] = [error._asdict() for error in field_errors]
    return json.dumps(problem, separators=(",", ":"))

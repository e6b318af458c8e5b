"""The OpenAPI 3.1 document, made from the declarations that the router enforces."""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chalicelib.platform import errors
from chalicelib.platform.errors import Refusal
from chalicelib.platform.http import problems
from chalicelib.platform.http.idempotency import MAX_KEY_LENGTH
from chalicelib.platform.http.operation import Auth, Operation
from chalicelib.platform.http.validation import FORM_TYPE, Id
from chalicelib.platform.security import InvalidToken

Schema = dict[str, Any]

INTRODUCTION = """\
Hosts publish events, and attendees book places. Bodies are JSON in camelCase. Times are RFC 3339, in UTC in
responses. Money is an integer in minor units, with its currency. Errors are problem documents (RFC 9457);
the [list of problems](docs#problems) explains each `type`. Lists are paged by `limit` and `offset`, or to
any depth by the `cursor` in the `next` link. A POST that creates something accepts an `Idempotency-Key`:
repeat the request with the same key within 24 hours to get the first response again. Single resources have
an `ETag` for `If-None-Match` and `If-Match`. Logins, registrations and account e-mails are limited:
`RateLimit` headers show what is left, and a 429 has a `Retry-After`. Every response has an `X-Request-Id`;
please quote it when you report a problem.

A place that costs something is held as a `pending` booking until `expiresAt`. Pass its
`payment.clientSecret` to Stripe.js, set up with the publishable key of this service, and let the attendee
pay. The result on your page does not confirm the booking; Stripe's event to this API does, a moment later.
Poll `GET /bookings/{bookingId}` until `status` is no longer `pending`, or rely on the confirmation e-mail,
which is also the receipt. If `payment` is null or missing, `POST /bookings/{bookingId}/payment` creates it.
A failed payment can be retried with the same secret while the place is held.
"""


class FieldProblem(Struct, kw_only=True):
    """A member of the input that is not valid."""

    field: str
    message: str


class Problem(Struct, kw_only=True):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | UnsetType = UNSET
    errors: list[FieldProblem] | UnsetType = UNSET


def document(operations: Sequence[Operation], public_url: str) -> Schema:
    """Make the document that describes the operations."""
    types = sorted(set(_types(operations)), key=str)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    writer = _Writer(dict(zip(types, schemas, strict=True)), components, public_url)
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = writer.operation(operation)
    queries = {operation.query.__name__ for operation in operations if operation.query}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Event booking", "version": "0.1.0", "description": INTRODUCTION},
        "servers": [{"url": public_url or "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _types(operations: Sequence[Operation]) -> Iterator[Any]:
    yield Problem
    yield Id
    for operation in operations:
        yield from (kind for kind in operation.responses.values() if kind and not isinstance(kind, str))
        yield from (kind for kind in (operation.body, operation.query) if kind is not None)


def refusals(operation: Operation) -> Iterator[type[Refusal]]:
    """List the refusals of an operation, including those of the router."""
    yield from operation.errors
    if operation.body or operation.query or "{" in operation.path or operation.idempotent:
        yield errors.InvalidInput
    if operation.body:
        yield from (errors.ContentTooLarge, errors.UnsupportedMediaType)
    if operation.auth != "none":
        yield from (errors.Unauthenticated, InvalidToken)
    if operation.auth in {"host", "attendee", "self"}:
        yield errors.Forbidden
    if operation.idempotent:
        yield from (errors.RequestInProgress, errors.IdempotencyKeyReused)
    yield from (errors.TooManyRequests, errors.Unavailable)


_HEADERS: dict[str, Schema] = {
    "X-Request-Id": {"schema": {"type": "string"}},
    "ETag": {"schema": {"type": "string"}},
    "Location": {"schema": {"type": "string", "format": "uri-reference"}},
    "Idempotent-Replayed": {
        "description": "`true` if this is the stored first response.",
        "schema": {"type": "string"},
    },
    "Link": {"description": "RFC 8288: first, prev, next, last.", "schema": {"type": "string"}},
    "X-Total-Count": {
        "description": "Exact up to 10000.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "X-Total-Count-Relation": {
        "description": "`gte` if there are more than X-Total-Count.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "Per limit: `r` hits are left in its window, which ends in `t` seconds.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "Per limit: `q` hits in a window of `w` seconds.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {"schema": {"type": "string"}},
}

_AUTH: dict[Auth, str] = {
    "none": "Anyone.",
    "optional": "Anyone. A token shows more.",
    "required": "Any logged-in user.",
    "host": "Hosts.",
    "attendee": "Attendees.",
    "self": "The user named in the path.",
}


class _Writer:
    """Writes operations, with references to the schemas."""

    def __init__(self, schemas: dict[Any, Schema], components: dict[str, Schema], public_url: str) -> None:
        self._schemas = schemas
        self._components = components
        self._public_url = public_url

    def operation(self, operation: Operation) -> Schema:
        summary, _, more = (operation.view.__doc__ or "").partition("\n")
        description = " ".join(more.split())
        written: Schema = {
            "operationId": operation.view.__name__,
            "tags": [operation.path.split("/")[1]],
            "summary": summary.strip().rstrip("."),
            "description": f"{description}\n\nWho can call it: {_AUTH[operation.auth]}".strip(),
            "parameters": [*self._parameters(operation)],
            "responses": self._all_responses(operation),
        }
        if operation.auth != "none":
            optional: list[Schema] = [{}] if operation.auth == "optional" else []
            written["security"] = [*optional, {"token": []}]
        if operation.body:
            schema = self._schemas[operation.body]
            content = {"schema": schema, "example": self._example(schema)}
            is_form = operation.media_type == FORM_TYPE
            usual = [] if is_form else ["application/json"]
            media_types = dict.fromkeys([*usual, operation.media_type])
            written["requestBody"] = {
                "required": True,
                "content": dict.fromkeys(media_types, content),
            }
        return written

    def _parameters(self, operation: Operation) -> Iterator[Schema]:
        for name in re.findall(r"\{(\w+)\}", operation.path):
            schema = self._schemas[Id]
            if name == "userId":
                schema = {"anyOf": [schema, {"const": "me"}], "examples": ["me"]}
            yield {"name": name, "in": "path", "required": True, "schema": schema}
        if operation.query:
            declared = self._components[operation.query.__name__]
            for name, schema in declared["properties"].items():
                required = {"required": True} if name in declared["required"] else {}
                yield {"name": name, "in": "query", **required, "schema": _not_null(schema)}
        if operation.idempotent:
            schema = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH}
            yield _header("Idempotency-Key", schema | {"pattern": "^[ -~]+$"})
        if operation.conditional and operation.method == "GET":
            yield _header("If-None-Match", {"type": "string"})
        if errors.StaleVersion in operation.errors:
            yield _header("If-Match", {"type": "string"})

    def _all_responses(self, operation: Operation) -> dict[str, Schema]:
        """The responses by status. A status may have an HTML page and a problem document."""
        responses: dict[str, Schema] = {}
        for status, response in sorted(self._responses(operation), key=itemgetter(0)):
            if status in responses:
                responses[status]["content"].update(response["content"])
            else:
                responses[status] = response
        return responses

    def _responses(self, operation: Operation) -> Iterator[tuple[str, Schema]]:
        for status, kind in operation.responses.items():
            response: Schema = {
                "description": HTTPStatus(status).phrase,
                "headers": _headers(*_response_headers(operation, status)),
            }
            if isinstance(kind, str):
                response["content"] = {kind: {"schema": {"type": "string"}, "example": "…"}}
            elif kind is not None:
                schema = self._schemas[kind]
                content = {"schema": schema, "example": self._example(schema)}
                response["content"] = {"application/json": content}
            yield str(status), response
        if operation.conditional and operation.method == "GET":
            headers = _headers("X-Request-Id", "ETag")
            yield "304", {"description": "Not modified.", "headers": headers}
        by_status: dict[HTTPStatus, list[type[Refusal]]] = {}
        for refusal in dict.fromkeys(refusals(operation)):
            by_status.setdefault(problems.status(refusal), []).append(refusal)
        for code, reasons in by_status.items():
            yield str(int(code)), self._problem(operation, code, reasons)

    def _problem(self, operation: Operation, status: HTTPStatus, reasons: list[type[Refusal]]) -> Schema:
        headers = ["X-Request-Id"]
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append("WWW-Authenticate")
        if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
            headers.append("Retry-After")
        if operation.limited:
            headers += ["RateLimit", "RateLimit-Policy"]
        examples = {
            reason.slug(): {
                "summary": reason.title(),
                "value": {
                    "type": problems.type_uri(reason.slug(), self._public_url),
                    "title": reason.title(),
                    "status": int(status),
                },
            }
            for reason in reasons
        }
        return {
            "description": " ".join(f"{reason.title()}." for reason in reasons),
            "headers": _headers(*headers),
            "content": {problems.CONTENT_TYPE: {"schema": self._schemas[Problem], "examples": examples}},
        }

    def _example(self, schema: Schema) -> Any:  # noqa: PLR0911 (one for each shape of schema)
        """Make an example value from the examples of the fields."""
        match schema:
            case {"$ref": str(reference)}:
                return self._example(self._components[reference.rpartition("/")[2]])
            case {"examples": [example, *_]}:
                return example
            case {"enum": [*_, value]}:
                return value
            case {"anyOf": [first, *_]}:
                return self._example(first)
            case {"properties": dict(members)}:
                required = schema["required"]
                return {name: self._example(member) for name, member in members.items() if name in required}
            case {"items": dict(item)}:
                return [self._example(item)]
        return {"integer": 0, "boolean": True, "object": {}}.get(str(schema.get("type")), "…")


def _response_headers(operation: Operation, status: int) -> Iterator[str]:
    yield "X-Request-Id"
    if status == HTTPStatus.CREATED:
        yield "Location"
    if operation.idempotent:
        yield "Idempotent-Replayed"
    if operation.conditional and status != HTTPStatus.NO_CONTENT:
        yield "ETag"
    if operation.limited:
        yield from ("RateLimit", "RateLimit-Policy")
    if operation.query and "cursor" in operation.query.__struct_fields__:
        yield from ("Link", "X-Total-Count", "X-Total-Count-Relation")


def _headers(*names: str) -> Schema:
    return {name: _HEADERS[name] for name in names}


def _header(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "schema": schema}


def _not_null(schema: Schema) -> Schema:
    """Remove null from a schema: a query parameter is present or absent, but never null."""
    if "anyOf" not in schema:
        return schema
    return next(kind for kind in schema["anyOf"] if kind != {"type": "null"})

"""The OpenAPI 3.1 document, made from the declarations that the router enforces."""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from operator import itemgetter
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.platform import errors
from chalicelib.platform.errors import Refusal
from chalicelib.platform.http import openapi_components, problems
from chalicelib.platform.http.html import HTML
from chalicelib.platform.http.idempotency import MAX_KEY_LENGTH
from chalicelib.platform.http.openapi_components import Schema
from chalicelib.platform.http.operation import Auth, Operation
from chalicelib.platform.http.validation import FORM_TYPE, Id
from chalicelib.platform.security import InvalidToken

INTRODUCTION = """\
Hosts publish events, and attendees book places. Bodies are JSON in camelCase. Times are RFC 3339, in UTC in
responses. Money is an integer in minor units, with its currency. Errors are problem documents (RFC 9457);
tell them apart by `code`, which the [list of problems](docs/problems) explains. Lists are paged by `limit`
and `offset`, or to any depth by the `cursor` in the `next` link. A POST that creates something accepts an
`Idempotency-Key`: repeat the request with the same key within 24 hours to get the first response again.
Single resources have an `ETag` for `If-None-Match` and `If-Match`. Logins, registrations, account e-mails
and wrong codes are limited: `RateLimit` headers show what is left, and a 429 has a `Retry-After`. Every
response has an `X-Request-Id`; please quote it when you report a problem. `HEAD` works wherever `GET` does. A
method that a path does not have is refused with 405 `method-not-allowed`, an unknown path with 404
`not-found`.

Within a major version this API only gains: optional members of requests, members of responses, operations,
values of enumerations. What will be removed is marked by the headers `Deprecation` and `Sunset` at least six
months before.

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

    type: Annotated[str, Meta(extra_json_schema={"format": "uri"})]
    title: str
    status: int
    code: Annotated[str, Meta(description="The last part of `type`.")]
    detail: str | UnsetType = UNSET
    errors: list[FieldProblem] | UnsetType = UNSET


def document(
    operations: Sequence[Operation],
    public_url: str,
    *,
    tags: Mapping[str, str],
    examples: Mapping[Any, Any],
    enums: Mapping[str, Any],
) -> Schema:
    """Make the document that describes the operations.

    `tags` says what each tag is for, `examples` has a value of each body, and `enums` names each `Literal`
    of more than one value.
    """
    types = sorted(set(_types(operations)), key=str)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    queries = {operation.query.__name__ for operation in operations if operation.query}
    components = openapi_components.rewrite(components, enums=enums, queries=queries)
    writer = _Writer(dict(zip(types, schemas, strict=True)), components, examples)
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = writer.operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Event booking",
            "version": "0.1.0",
            "description": INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
            "contact": {"name": "The event-booking authors"},
        },
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": name, "description": about} for name, about in tags.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {
                name: schema
                for name, schema in sorted(components.items())
                if name not in {*queries, Problem.__name__}
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "key": {"type": "http", "scheme": "bearer", "description": "A door key of the event."},
            },
        },
    }


_PAGE = {"schema": {"type": "string"}, "example": "…"}
_FILE = {**_PAGE, "schema": {"type": "string", "format": "binary"}}


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
    if operation.auth in {"host", "attendee", "self", "scope:check-in"}:
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
    "X-Next-Cursor": {
        "description": "The `cursor` of the next page. Left out on the last page.",
        "schema": {"type": "string"},
    },
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
    "scope:check-in": "The event's host, and scanners with a door key of the event.",
}


_USER_ID: Schema = {
    "type": "string",
    "pattern": "^(me|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$",
    "description": "The id of a user, or `me` for yourself.",
    "examples": ["me"],
}
"""One plain type, because generators cannot make a parameter of a union."""

_MAX_CODES_IN_NAME = 2


class _Writer:
    """Writes operations, with references to the schemas."""

    def __init__(
        self, schemas: dict[Any, Schema], components: dict[str, Schema], examples: Mapping[Any, Any]
    ) -> None:
        self._schemas = schemas
        self._components = components
        self._examples = examples
        self._problem_names: dict[tuple[str, ...], str] = {}

    def operation(self, operation: Operation) -> Schema:
        summary, _, more = (operation.view.__doc__ or "").partition("\n")
        description = " ".join(more.split())
        written: Schema = {
            "operationId": operation.view.__name__,
            "tags": [operation.tag],
            "summary": summary.strip().rstrip("."),
            "description": f"{description}\n\nWho can call it: {_AUTH[operation.auth]}".strip(),
            "parameters": [*self._parameters(operation)],
            "responses": self._all_responses(operation),
        }
        token: Schema = {"token": []}
        others: dict[Auth, list[Schema]] = {
            "none": [],
            "optional": [{}, token],
            "scope:check-in": [token, {"key": []}],
        }
        written["security"] = others.get(operation.auth, [token])
        if operation.body:
            content = self._content(operation.body)
            is_form = operation.media_type == FORM_TYPE
            usual = [] if is_form else ["application/json"]
            media_types = dict.fromkeys([*usual, operation.media_type])
            written["requestBody"] = {
                "required": operation.body_required,
                "content": dict.fromkeys(media_types, content),
            }
        return written

    def _parameters(self, operation: Operation) -> Iterator[Schema]:
        for name in re.findall(r"\{(\w+)\}", operation.path):
            schema = self._schemas[Id]
            if name == "userId":
                schema = _USER_ID
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
                response["content"] = {kind: _PAGE if kind.startswith(("text/", "image/svg")) else _FILE}
            elif kind is not None:
                response["content"] = {"application/json": self._content(kind)}
            yield str(status), response
        if operation.conditional and operation.method == "GET":
            headers = _headers("X-Request-Id", "ETag")
            yield "304", {"description": "Not modified.", "headers": headers}
        by_status: dict[HTTPStatus, dict[str, str]] = {}
        for refusal in refusals(operation):
            by_status.setdefault(problems.status(refusal), {})[refusal.slug()] = refusal.title()
        by_status[HTTPStatus.INTERNAL_SERVER_ERROR] = dict([problems.FAULT])
        for status_, titles in by_status.items():
            response = self._problem(operation, status_, titles)
            if operation.is_page:
                response["content"][HTML] = _PAGE
            yield str(int(status_)), response

    def _content(self, kind: Any) -> Schema:
        """The schema of a body, and its example."""
        schema = self._schemas[kind]
        if get_origin(kind) is list:
            example: Any = [self._examples.get(get_args(kind)[0])]
        else:
            example = self._examples.get(kind)
        return {"schema": schema, "example": example}

    def _problem(self, operation: Operation, status: HTTPStatus, titles: Mapping[str, str]) -> Schema:
        headers = ["X-Request-Id"]
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append("WWW-Authenticate")
        if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
            headers.append("Retry-After")
        if operation.limited:
            headers += ["RateLimit", "RateLimit-Policy"]
        examples = {
            code: {
                "summary": title,
                "value": {
                    "type": problems.type_uri(code),
                    "title": title,
                    "status": int(status),
                    "code": code,
                },
            }
            for code, title in titles.items()
        }
        schema = {"$ref": f"#/components/schemas/{self._problem_schema(operation, status, tuple(titles))}"}
        return {
            "description": " ".join(f"{title}." for title in titles.values()),
            "headers": _headers(*headers),
            "content": {problems.CONTENT_TYPE: {"schema": schema, "examples": examples}},
        }

    def _problem_schema(self, operation: Operation, status: HTTPStatus, codes: tuple[str, ...]) -> str:
        """Add the schema of a problem with one of these codes, if it is new, and return its name."""
        if codes in self._problem_names:
            return self._problem_names[codes]
        camel_case = ["".join(map(str.title, code.split("-"))) for code in codes]
        view = "".join(map(str.title, operation.view.__name__.split("_")))
        name = "Or".join(camel_case) if len(codes) <= _MAX_CODES_IN_NAME else f"{view}{int(status)}"
        problem = self._components[Problem.__name__]
        members = {
            **problem["properties"],
            "status": {"type": "integer", "const": int(status)},
            "code": {**problem["properties"]["code"], "enum": list(codes)},
        }
        self._problem_names[codes] = f"{name}Problem"
        self._components[f"{name}Problem"] = {**problem, "title": f"{name}Problem", "properties": members}
        return self._problem_names[codes]


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
        yield from ("Link", "X-Next-Cursor", "X-Total-Count", "X-Total-Count-Relation")


def _headers(*names: str) -> Schema:
    return {name: _HEADERS[name] for name in names}


def _header(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "schema": schema}


def _not_null(schema: Schema) -> Schema:
    """Remove null from a schema: a query parameter is present or absent, but never null."""
    if "anyOf" not in schema:
        return schema
    return next(kind for kind in schema["anyOf"] if kind != {"type": "null"})

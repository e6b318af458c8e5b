"""Routes: declares what a view takes and gives, and runs it from raw request to finished answer."""

import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID, uuid4

from chalice.app import Blueprint, CORSConfig
from chalice.app import Request as ChaliceRequest
from chalice.app import Response as ChaliceResponse
from msgspec import Struct

from chalicelib import wiring
from chalicelib.platform import errors
from chalicelib.platform.errors import FieldError, Forbidden, InvalidInput, Refusal, Unauthenticated
from chalicelib.platform.http import problems, validation
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.observability import logs, metrics, request_context
from chalicelib.platform.observability.request_context import RequestId
from chalicelib.platform.security import Caller, InvalidToken
from chalicelib.platform.settings import BadSetting

Auth = Literal["none", "optional", "required", "host", "attendee"]
"""Who may call: `anyone` needs no token and none is read; `known` may send one and gets more with it;
`signed in` has any role."""

View = Callable[..., Response]

_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

CORS = CORSConfig(
    allow_origin="*",  # tokens travel in a header that no browser sends by itself
    allow_headers=["Idempotency-Key", "If-Match", "If-None-Match", "X-Request-Id"],
    expose_headers=[
        "ETag",
        "Idempotent-Replayed",
        "Link",
        "Location",
        "Retry-After",
        "WWW-Authenticate",
        "X-Request-Id",
        "X-Total-Count",
        "X-Total-Count-Relation",
    ],
    max_age=600,
)

PRIVATE = "private, no-store"
SHARED = "public, max-age=2, stale-while-revalidate=10"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A route as declared: what the edge enforces and the OpenAPI document says."""

    method: str
    path: str
    view: View
    auth: Auth
    responses: Mapping[int, Any]
    """Status to the type of the body, or None for an empty one."""
    errors: tuple[type[Refusal], ...]
    body: type[Struct] | None
    query: type[Struct] | None
    idempotent: bool
    """Takes an Idempotency-Key."""
    conditional: bool
    """Gives an ETag and heeds If-None-Match, or heeds If-Match."""
    media_type: str


class Router:
    """The routes of one feature.

    A view takes the request, its path's ids by their snake_case names, and, where it declares them,
    `body` and `query` of the msgspec type that it names; so a declaration is written once.
    """

    def __init__(self, name: str) -> None:
        self.blueprint = Blueprint(name)
        self.operations: list[Operation] = []
        self.get = partial(self._route, "GET")
        self.post = partial(self._route, "POST")
        self.put = partial(self._route, "PUT")
        self.patch = partial(self._route, "PATCH")
        self.delete = partial(self._route, "DELETE")

    def _route(
        self,
        method: str,
        path: str,
        *,
        auth: Auth,
        responses: Mapping[int, Any],
        errors: tuple[type[Refusal], ...] = (),
        idempotent: bool = False,
        conditional: bool = False,
        media_type: str = "application/json",
    ) -> Callable[[View], View]:
        def declare(view: View) -> View:
            parameters = inspect.signature(view).parameters
            operation = Operation(
                method=method,
                path=path,
                view=view,
                auth=auth,
                responses=responses,
                errors=errors,
                body=parameters["body"].annotation if "body" in parameters else None,
                query=parameters["query"].annotation if "query" in parameters else None,
                idempotent=idempotent,
                conditional=conditional,
                media_type=media_type,
            )
            self.operations.append(operation)

            def handle(**path_parameters: str) -> ChaliceResponse:
                raw = self.blueprint.current_request
                request_id = request_id_of(raw)
                with request_context.bind(request_id), metrics.attach_to_request_log() as carried:
                    return _serve(operation, raw, request_id, path_parameters, carried)

            handle.__name__ = view.__name__
            # Content types are checked with the body, where a missing one can be told from a wrong one.
            register = self.blueprint.route(path, methods=[method], cors=CORS, content_types=[])
            register(handle)
            return view

        return declare


def _serve(
    operation: Operation,
    raw: ChaliceRequest,
    request_id: str,
    path_parameters: Mapping[str, str],
    carried: Mapping[str, object],
) -> ChaliceResponse:
    """Run one request to its end; whatever happens, the client gets an answer and the log a line."""
    started = time.perf_counter()
    caller: Caller | None = None
    try:
        caller = _caller(operation.auth, raw.headers.get("authorization"))
        request = Request(
            method=operation.method,
            route=operation.path,
            path=operation.path.format_map(path_parameters),
            headers=raw.headers,
            parameters=_parameters(raw),
            raw_body=_raw_body(raw),
            request_id=request_id,
            now=_now(),
            caller=caller,
        )
        answer = operation.view(request, **_arguments(operation, request, path_parameters))
    except Refusal as refusal:
        if isinstance(refusal, errors.Unavailable):
            logs.error("Not available")
        answer = _refuse(refusal, _public_url(), had_token="authorization" in raw.headers)
    except BadSetting:
        logs.error("The deployment is not set up")
        answer = _refuse(errors.Unavailable(retry_after=60), "")
    except Exception:  # noqa: BLE001 (the last line of defence: the client still gets a problem)
        logs.error("Unhandled exception")
        answer = _fault(_public_url())
    response = _finish(answer, request_id, anonymous=caller is None)
    logs.request(
        method=operation.method,
        route=operation.path,
        status=answer.status,
        milliseconds=(time.perf_counter() - started) * 1000,
        user_id=str(caller.user_id) if caller else None,
        request_id=request_id,
        metrics=carried,
    )
    return response


def _public_url() -> str:
    """Where problem types are explained; on a deployment that is not set up, beside the request."""
    try:
        return wiring.current().settings.public_url
    except BadSetting:
        return ""


def _raw_body(raw: ChaliceRequest) -> bytes:
    try:
        body = raw.raw_body
    except ValueError as error:  # bad base64, or text that is no Unicode
        raise InvalidInput("The body cannot be read.") from error
    return body if isinstance(body, bytes) else body.encode()


def request_id_of(raw: ChaliceRequest) -> RequestId:
    """The client's own X-Request-Id if it is a sane one, else the gateway's, else a new one."""
    given = RequestId.of(raw.headers.get("x-request-id")) or RequestId.of(raw.context.get("requestId"))
    return given or RequestId(str(uuid4()))


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _caller(auth: Auth, header: str | None) -> Caller | None:
    if auth == "none" or (auth == "optional" and header is None):
        return None
    scheme, _, token = (header or "").partition(" ")
    if not header or scheme.lower() != "bearer":
        raise Unauthenticated("Send the token as `Authorization: Bearer …`.")
    caller = wiring.current().tokens.read(token.strip())
    if auth in {"host", "attendee"} and caller.role != auth:
        raise Forbidden(f"Only {auth}s may do this.")
    return caller


def _parameters(raw: ChaliceRequest) -> Mapping[str, list[str]]:
    query = raw.query_params
    return {name: query.getlist(name) for name in query} if query else {}


def _arguments(operation: Operation, request: Request, path_parameters: Mapping[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        _snake_case(name): _id(name, value, request) for name, value in path_parameters.items()
    }
    if operation.query is not None:
        arguments["query"] = validation.parse_query(operation.query, request.parameters)
    if operation.body is not None:
        is_form = operation.media_type == validation.FORM_TYPE
        decode = validation.parse_form if is_form else validation.parse_json
        members = decode(request.raw_body, request.headers.get("content-type"))
        arguments["body"] = validation.parse(operation.body, members)
    return arguments


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _id(name: str, value: str, request: Request) -> UUID:
    if name == "userId" and value == "me":
        return request.require_caller().user_id
    # By shape first: UUID() would also take braces, urn: and misplaced hyphens.
    if not _UUID.fullmatch(value):
        raise InvalidInput(errors=[FieldError(name, "must be a UUID")])
    return UUID(value)


def _refuse(refusal: Refusal, public_url: str, *, had_token: bool = False) -> Response:
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if isinstance(refusal, Unauthenticated):
        invalid = had_token and isinstance(refusal, InvalidToken)
        headers["WWW-Authenticate"] = 'Bearer realm="event-booking"' + (
            ', error="invalid_token"' if invalid else ""
        )
    return Response(
        problems.status(type(refusal)),
        problems.document(refusal, public_url),
        headers,
        problems.CONTENT_TYPE,
    )


def _fault(public_url: str) -> Response:
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    body = problems.render(slug="fault", title="A fault on our side", status=status, public_url=public_url)
    return Response(status, body, content_type=problems.CONTENT_TYPE)


def _finish(answer: Response, request_id: str, *, anonymous: bool) -> ChaliceResponse:
    headers: dict[str, str | list[str]] = {
        "X-Request-Id": request_id,
        "Cache-Control": SHARED if answer.public and anonymous else PRIVATE,
        "Vary": "Authorization, Origin",
        **answer.headers,
    }
    if answer.body:
        headers["Content-Type"] = answer.content_type
    return ChaliceResponse(answer.body, headers=headers, status_code=int(answer.status))


def render_chalice_responses(
    raw: ChaliceRequest, get_response: Callable[[ChaliceRequest], ChaliceResponse]
) -> ChaliceResponse:
    """Middleware: give the answers that Chalice makes by itself (405, say) this API's shape and log line."""
    started = time.perf_counter()
    response = get_response(raw)
    if "X-Request-Id" in response.headers:
        return response
    refusals = {refused: kind for kind, refused in problems.STATUS.items()}
    kind = refusals.get(HTTPStatus(response.status_code))
    message = response.body.get("Message") if isinstance(response.body, dict) else None
    answer = _fault("") if kind is None else _refuse(kind(message), "")
    request_id = request_id_of(raw)
    finished = _finish(answer, request_id, anonymous=True)
    logs.request(
        method=raw.method,
        route=raw.path,
        status=answer.status,
        milliseconds=(time.perf_counter() - started) * 1000,
        user_id=None,
        request_id=request_id,
        metrics={},
    )
    kept = {name: value for name, value in response.headers.items() if name.lower() == "allow"}
    finished.headers.update({**kept, **CORS.get_access_control_headers()})
    return finished


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, json.dumps(body, separators=(",", ":")), headers or {})

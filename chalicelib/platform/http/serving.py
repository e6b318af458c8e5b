"""Serve a request: authenticate, parse, run the view, and make a response and a log line of every outcome."""

import json
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

from chalice.app import CORSConfig
from chalice.app import Request as ChaliceRequest
from chalice.app import Response as ChaliceResponse
from sqlalchemy import Connection

from chalicelib.platform import errors, throttle
from chalicelib.platform.errors import FieldError, Forbidden, InvalidInput, Refusal, Unauthenticated
from chalicelib.platform.http import problems, request_log, validation
from chalicelib.platform.http.html import page
from chalicelib.platform.http.operation import Operation
from chalicelib.platform.http.request import Request, Response, Services
from chalicelib.platform.observability import logs, metrics, request_context
from chalicelib.platform.observability.request_context import RequestId
from chalicelib.platform.security import AccessKey, AccountLock, Caller, InvalidToken
from chalicelib.platform.settings import BadSetting

_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_NOT_CONFIGURED = "The service is not configured completely."

PRIVATE = "private, no-store"
SHARED = "public, max-age=2, stale-while-revalidate=10"

CORS = CORSConfig(
    allow_origin="*",  # safe, because browsers do not add the Authorization header by themselves
    allow_headers=["Idempotency-Key", "If-Match", "If-None-Match", "X-Request-Id"],
    expose_headers=[
        "Content-Disposition",
        "ETag",
        "Idempotent-Replayed",
        "Link",
        "Location",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "WWW-Authenticate",
        "X-Next-Cursor",
        "X-Request-Id",
        "X-Total-Count",
        "X-Total-Count-Relation",
    ],
    max_age=600,
)


SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}
"""On every response. Pages have a policy of their own."""


@dataclass(frozen=True)
class Security:
    """The services of the process, and the check of the caller's account."""

    services: Callable[[], Services]
    """Called when a request first needs the services; /health does not."""
    require_account: Callable[[Connection, Caller, AccountLock], None]


def serve(
    operation: Operation, raw: ChaliceRequest, path_parameters: Mapping[str, str], security: Security
) -> ChaliceResponse:
    """Serve one request. Every outcome makes a response and a log line."""
    request_id = request_id_of(raw)
    gateway_id = _gateway_id(raw, request_id)
    with (
        request_context.bind(request_id, gatewayRequestId=gateway_id),
        metrics.attach_to_request_log() as attached,
    ):
        return _serve(operation, raw, request_id, path_parameters, security, attached)


def _serve(
    operation: Operation,
    raw: ChaliceRequest,
    request_id: str,
    path_parameters: Mapping[str, str],
    security: Security,
    attached: Mapping[str, object],
) -> ChaliceResponse:
    started = time.perf_counter()
    caller: Caller | None = None
    key: AccessKey | None = None
    rate_limits: list[throttle.Usage] = []
    try:
        identity = _authenticate(operation, raw.headers.get("authorization"), security)
        caller, key = (None, identity) if isinstance(identity, AccessKey) else (identity, None)
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
            access_key=key,
            client_address=_client_address(raw),
            rate_limits=rate_limits,
            get_services=security.services,
        )
        response = _run(operation, request, _arguments(operation, request, path_parameters), security)
    except Refusal as refusal:
        if isinstance(refusal, errors.Unavailable):
            logs.failure("unavailable", refusal)
        response = _problem(refusal, had_token="authorization" in raw.headers)
    except BadSetting as error:
        logs.failure("bad setting", error)
        response = _problem(errors.Unavailable(_NOT_CONFIGURED, retry_after=60))
    except Exception:  # noqa: BLE001 (the client gets a problem document)
        logs.exception("unhandled exception")
        response = _internal_error()
    if operation.is_page and response.content_type == problems.CONTENT_TYPE:
        response = _problem_page(response)
    finished = _finish(response, request_id, anonymous=not (caller or key), head=raw.method == "HEAD")
    finished.headers.update(throttle.headers(rate_limits))
    request_log.write(
        method=raw.method,
        route=operation.path,
        status=response.status,
        milliseconds=(time.perf_counter() - started) * 1000,
        user_id=str(caller.user_id) if caller else None,
        request_id=request_id,
        metrics=attached,
    )
    return finished


def _run(operation: Operation, request: Request, arguments: dict[str, Any], security: Security) -> Response:
    """Run the view after checking the account, in one transaction if the view takes a connection."""
    if operation.auth == "self" and arguments["user_id"] != request.caller_id:
        raise Forbidden("You can do this for your own account only.")
    unchecked = request.caller if operation.account_check == "router" else None
    if not operation.takes_connection:
        if unchecked:
            with request.database.transaction() as connection:
                security.require_account(connection, unchecked, "none")
        return operation.view(request, **arguments)
    is_bounded = operation.method == "GET" and (request.caller is None or operation.query is not None)
    database = request.database
    with database.bounded_read() if is_bounded else database.transaction() as connection:
        if unchecked:
            security.require_account(connection, unchecked, operation.account_lock)
        return operation.view(request, connection=connection, **arguments)


def _raw_body(raw: ChaliceRequest) -> bytes:
    try:
        body = raw.raw_body
    except ValueError as error:  # bad base64, or text that is not Unicode
        raise InvalidInput("The body cannot be read.") from error
    return body if isinstance(body, bytes) else body.encode()


def request_id_of(raw: ChaliceRequest) -> RequestId:
    """Return the client's X-Request-Id if it is valid, else the gateway's id, else a new one."""
    given = RequestId.of(raw.headers.get("x-request-id")) or RequestId.of(raw.context.get("requestId"))
    return given or RequestId(str(uuid4()))


def _gateway_id(raw: ChaliceRequest, request_id: str) -> RequestId | None:
    """Return the id that the gateway's own log has, if the client has sent another one."""
    gateway_id = raw.context.get("requestId")
    return None if gateway_id == request_id else RequestId.of(gateway_id)


def _client_address(raw: ChaliceRequest) -> str:
    return str((raw.context.get("identity") or {}).get("sourceIp") or "unknown")


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _authenticate(operation: Operation, header: str | None, security: Security) -> Caller | AccessKey | None:
    auth = operation.auth
    if auth == "none" or (auth == "optional" and header is None):
        return None
    scheme, _, token = (header or "").partition(" ")
    if not header or scheme.lower() != "bearer":
        raise Unauthenticated("Send the token as `Authorization: Bearer …`.")
    is_scope = auth.startswith("scope:")
    if is_scope and (key := AccessKey.read(token.strip())):
        return key
    caller = security.services().tokens.read(token.strip())
    role = "host" if is_scope else auth
    if role in {"host", "attendee"} and caller.role != role:
        raise Forbidden(f"Only {role}s may do this.")
    return caller


def _parameters(raw: ChaliceRequest) -> Mapping[str, list[str]]:
    query = raw.query_params
    return {name: query.getlist(name) for name in query} if query else {}


def _arguments(operation: Operation, request: Request, path_parameters: Mapping[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        _snake_case(name): _id(name, value, request) for name, value in path_parameters.items()
    }
    if operation.query is not None:
        parse = validation.parse_page_query if operation.is_page else validation.parse_query
        arguments["query"] = parse(operation.query, request.parameters)
    if operation.body is None:
        if request.raw_body and not operation.raw_body:
            validation.refuse_body(request.raw_body)
    elif not request.raw_body and not operation.body_required:
        arguments["body"] = None
    else:
        is_form = operation.media_type == validation.FORM_TYPE
        decode = validation.parse_form if is_form else validation.parse_json
        members = decode(request.raw_body, request.headers.get("content-type"))
        arguments["body"] = validation.parse(operation.body, members)
    if arguments:
        event_id = arguments.get("event_id") or getattr(arguments.get("body"), "event_id", None)
        request_context.add(bookingId=arguments.get("booking_id"), eventId=event_id)
    return arguments


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _id(name: str, value: str, request: Request) -> UUID:
    if name == "userId" and value == "me":
        return request.require_caller().user_id
    # Checked by pattern first: UUID() also accepts braces, urn: and misplaced hyphens.
    if not _UUID.fullmatch(value):
        raise InvalidInput(errors=[FieldError(name, "must be a UUID")])
    return UUID(value)


def _problem(refusal: Refusal, *, had_token: bool = False) -> Response:
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
        problems.document(refusal),
        headers,
        problems.CONTENT_TYPE,
    )


def _problem_page(response: Response) -> Response:
    """Show a problem as a page."""
    problem = json.loads(response.body)
    field_errors = "".join(
        f"<p>{escape(error['field'])}: {escape(error['message'])}.</p>" for error in problem.get("errors", [])
    )
    detail = f"<p>{escape(problem.get('detail', ''))}</p>"
    shown = page(escape(problem["title"]), detail + field_errors, status=problem["status"])
    return Response(shown.status, shown.body, {**response.headers, **shown.headers}, shown.content_type)


def _internal_error() -> Response:
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    slug, title = problems.FAULT
    body = problems.render(slug=slug, title=title, status=status)
    return Response(status, body, content_type=problems.CONTENT_TYPE)


def _finish(response: Response, request_id: str, *, anonymous: bool, head: bool) -> ChaliceResponse:
    headers: dict[str, str | list[str]] = {
        **SECURITY_HEADERS,
        "X-Request-Id": request_id,
        "Cache-Control": SHARED if response.public and anonymous else PRIVATE,
        "Vary": "Authorization, Origin",
        **response.headers,
    }
    body = response.body if response.file is None else response.file
    if body:
        headers["Content-Type"] = response.content_type
    if head:
        body = ""
    kind = _BinaryResponse if isinstance(body, bytes) else ChaliceResponse
    return kind(body, headers=headers, status_code=int(response.status))


class _BinaryResponse(ChaliceResponse):
    """A response in Base64, which API Gateway decodes.

    Chalice would do so by the type of each response, and refuse a browser, whose Accept names other types.
    """

    def to_dict(self, binary_types: list[str] | None = None) -> dict[str, Any]:
        rendered = super().to_dict(binary_types)
        return {**rendered, "body": b64encode(rendered["body"]).decode(), "isBase64Encoded": True}


def render_chalice_responses(
    raw: ChaliceRequest, get_response: Callable[[ChaliceRequest], ChaliceResponse]
) -> ChaliceResponse:
    """Middleware: give Chalice's own responses (405, for example) this API's shape and log line."""
    started = time.perf_counter()
    original = get_response(raw)
    if "X-Request-Id" in original.headers:
        return original
    kinds = {status: kind for kind, status in problems.STATUS.items()}
    kind = kinds.get(HTTPStatus(original.status_code))
    message = original.body.get("Message") if isinstance(original.body, dict) else None
    response = _internal_error() if kind is None else _problem(kind(message))
    request_id = request_id_of(raw)
    finished = _finish(response, request_id, anonymous=True, head=raw.method == "HEAD")
    with request_context.bind(request_id, gatewayRequestId=_gateway_id(raw, request_id)):
        request_log.write(
            method=raw.method,
            route=raw.path,
            status=response.status,
            milliseconds=(time.perf_counter() - started) * 1000,
            user_id=None,
            request_id=request_id,
            metrics={},
        )
    allow = {name: value for name, value in original.headers.items() if name.lower() == "allow"}
    finished.headers.update({**allow, **CORS.get_access_control_headers()})
    return finished

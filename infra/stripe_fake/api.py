"""Responds to calls of the API: authentication, idempotency keys and faults."""

import json
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import NoReturn

from werkzeug.wrappers import Request, Response

from infra.stripe_fake import objects
from infra.stripe_fake.errors import ApiError
from infra.stripe_fake.faults import Fault
from infra.stripe_fake.parameters import Parameters
from infra.stripe_fake.routes import Route, find_route
from infra.stripe_fake.store import Store

TEST_MODE_PREFIX = "sk_test_"


@dataclass(frozen=True)
class _Call:
    """A valid request."""

    route: Route
    object_id: str
    parameters: Parameters
    idempotency_key: str
    fingerprint: str
    """Differs for each other method, path or parameters."""


class Api:
    """The API of one account."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys_in_use: set[str] = set()

    def respond(self, request: Request) -> Response:
        with self._store.lock:
            fault = self._store.faults.take_call(f"{request.method} {request.path}")
        try:
            if fault and not fault.after:
                raise _failure(fault)
            response = self._run_once(_parse(request), fault)
        except ApiError as error:
            response = _error_response(error)
        if fault and fault.kind == "reset":
            _close_connection(request)
        response.headers["Request-Id"] = objects.new_id("req", 14)
        return response

    def _run_once(self, call: _Call, fault: Fault | None) -> Response:
        """Run a call, or return the stored response of its idempotency key. Raise ApiError."""
        key = call.idempotency_key
        if not key:
            return self._run(call, fault)
        with self._store.lock:
            if stored := self._store.stored_response(key):
                return _replay(call, *stored)
            if key in self._keys_in_use:
                raise _key_in_use(key)
            self._keys_in_use.add(key)
        try:
            return self._run(call, fault)
        finally:
            self._keys_in_use.discard(key)

    def _run(self, call: _Call, fault: Fault | None) -> Response:
        """Run a call, and store the response for its idempotency key in the same transaction."""
        time.sleep(self._store.faults.latency)
        with self._store.transaction():
            stored = True
            try:
                result = call.route.run(self._store, call.parameters, call.object_id)
                response = _json_response(json.dumps(result))
            except ApiError as error:
                stored = error.stored
                response = _error_response(error)
            if fault and fault.kind == "error":
                response = _error_response(_failure(fault))
            if call.idempotency_key and stored:
                body = response.get_data(as_text=True)
                self._store.store_response(call.idempotency_key, call.fingerprint, response.status_code, body)
        return response


def _parse(request: Request) -> _Call:
    """Raise ApiError if the request is not valid."""
    _authenticate(request)
    route, object_id = find_route(request.method, request.path)
    form = (request.args if request.method == "GET" else request.form).to_dict()
    key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
    fingerprint = json.dumps([request.method, request.path, sorted(form.items())])
    return _Call(route, object_id, Parameters(form, route.parameters.split()), key, fingerprint)


def _authenticate(request: Request) -> None:
    """Accept every secret key for tests. Raise ApiError for other keys."""
    given = request.authorization
    key = (given.token or given.username or "") if given else ""
    if not key:
        raise ApiError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization "
            "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    if not key.startswith(TEST_MODE_PREFIX):
        raise ApiError(401, f"Invalid API Key provided: {key[:8]}****{key[-4:]}")


def _replay(call: _Call, fingerprint: str, status: int, body: str) -> Response:
    if fingerprint != call.fingerprint:
        raise ApiError(
            400,
            "Keys for idempotent requests can only be used with the same parameters they were first used "
            f"with. Try using a key other than '{call.idempotency_key}' if you meant to execute a different "
            "request.",
            kind="idempotency_error",
        )
    response = _json_response(body, status)
    response.headers["Idempotent-Replayed"] = "true"
    return response


def _key_in_use(key: str) -> ApiError:
    return ApiError(
        409,
        "There is currently another in-progress request using this Idempotent Key (that probably means you "
        f"submitted twice, and the other request is still going through): {key}. Please try again later.",
        kind="idempotency_error",
        code="idempotency_key_in_use",
    )


def _failure(fault: Fault) -> ApiError:
    if fault.kind == "limit":
        text = "Request rate limit exceeded. Learn more about rate limits here "
        return ApiError(429, f"{text}https://docs.stripe.com/rate-limits.", code="rate_limit")
    return ApiError(500, "An unknown error occurred", kind="api_error")


def _close_connection(request: Request) -> NoReturn:
    """Close the connection without a response."""
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def _error_response(error: ApiError) -> Response:
    return _json_response(json.dumps({"error": error.error}), error.status)


def _json_response(body: str, status: int = HTTPStatus.OK) -> Response:
    return Response(body, status, mimetype="application/json")

"""Stands in for API Gateway and Lambda: finds the route, limits concurrency, calls the app."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LocalGateway, LocalGatewayException

from infra.local.refusals import Refused

AT_ONCE = 64  # requests in the app; more wait in line, so that a rush needs no rush of connections
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}  # HEAD is not provided there either


class Gateway(LocalGateway):
    """Chalice's local gateway, shared by all connections, with refusals for what it leaves out."""

    def __init__(self, app: Chalice, config: Config) -> None:
        super().__init__(app, config)
        self._app = app
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._changed = threading.Condition()
        self._in_progress = 0
        self._closing = False

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Count a request from here until its answer is on the wire."""
        with self._changed:
            self._in_progress += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_progress -= 1
                self._changed.notify_all()

    def close(self, grace: float) -> bool:
        """Refuse new requests, wait for those in progress, and say whether all of them ended."""
        with self._changed:
            self._closing = True
            return self._changed.wait_for(lambda: not self._in_progress, grace)

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> dict[str, Any]:
        """Return the app's answer as Lambda hands it to API Gateway, or raise Refused."""
        if self._closing:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "1"})
        self._check_route(method, path)
        try:
            with self._slots:
                response: dict[str, Any] = self.handle_request(method, path, dict(headers), body)
        except LocalGatewayException as error:  # an authorizer's
            raise Refused(error.CODE) from error
        if method == "OPTIONS":  # answered by the gateway itself for most routes
            response["headers"] = {"X-Request-Id": str(uuid4()), **response["headers"]}
        return response

    def _check_route(self, method: str, path: str) -> None:
        try:
            route = self.event_converter._route_matcher.match_route(path).route  # noqa: SLF001
        except ValueError:
            raise Refused(HTTPStatus.NOT_FOUND, "There is nothing at this path.") from None
        if method not in METHODS:
            allowed = ", ".join(sorted(self._app.routes[route]))
            raise Refused(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"The path takes {allowed}.",
                headers={"Allow": allowed},
            )

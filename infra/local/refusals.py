"""What the local server refuses before the app sees it, as API Gateway would in production."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

# The type and title of each problem, with the names that the app gives to its own.
PROBLEMS = {
    400: ("invalid-input", "The request is malformed or a value is not allowed"),
    401: ("unauthenticated", "A valid token is required"),
    403: ("forbidden", "This is not yours to do"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "The path does not support this method"),
    408: ("request-timeout", "The request did not arrive in time"),
    413: ("content-too-large", "The request body is too large"),
    414: ("uri-too-long", "The address is too long"),
    431: ("request-header-fields-too-large", "The request headers are too large"),
    500: ("fault", "A fault on our side"),
    503: ("unavailable", "The service cannot do this right now; a retry will help"),
}


class Refused(Exception):
    """A request that is not for the app; it is answered with this problem."""

    def __init__(self, status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status if status in PROBLEMS else HTTPStatus.BAD_REQUEST)
        self.detail = detail
        self.headers = {
            "Content-Type": "application/problem+json",
            "Cache-Control": "private, no-store",
            "X-Request-Id": str(uuid4()),
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "Retry-After,X-Request-Id",
            **(headers or {}),
        }

    def document(self) -> bytes:
        slug, title = PROBLEMS[self.status]
        problem: dict[str, object] = {
            "type": f"/docs#{slug}",
            "title": title,
            "status": int(self.status),
        }
        if self.detail:
            problem["detail"] = self.detail
        return json.dumps(problem, separators=(",", ":")).encode()

"""Errors of the API (docs.stripe.com/api/errors)."""

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """An error response.

    `stored` says whether an idempotency key stores the response. Stripe stores it only if the call passed
    validation and started to execute.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        stored: bool = True,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = stored
        members = {"type": kind, "message": message, **details}
        if code := details.get("code"):
            members["doc_url"] = f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}"
        self.error: Json = {name: value for name, value in members.items() if value is not None}


def invalid(message: str, param: str, code: str | None = None) -> ApiError:
    """Return the error for a parameter that fails validation."""
    return ApiError(400, message, param=param, code=code, stored=False)


def missing(kind: str, object_id: str, param: str) -> ApiError:
    return ApiError(404, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def unexpected_state(message: str, intent: Json) -> ApiError:
    return ApiError(400, message, code="payment_intent_unexpected_state", payment_intent=intent)

"""What Stripe says when it does not do what it is asked (docs.stripe.com/api/errors)."""

from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """A call that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        began: bool = False,
        **further: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.began = began
        """Whether the call was under way already, so that its idempotency key keeps the answer."""
        members = {"code": code, "message": message, "param": param, "type": kind, **further}
        if code is not None:
            members["doc_url"] = doc_url(code)
        self.error: Json = {name: value for name, value in members.items() if value is not None}


def doc_url(code: str) -> str:
    return f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}"


def card_error(message: str, members: Json) -> Refused:
    return Refused(402, message, kind="card_error", began=True, **members)


def missing(kind: str, identity: str, param: str) -> Refused:
    """Refuse a call about something that is not there; `kind` as in an object's `object`."""
    return Refused(404, f"No such {kind}: '{identity}'", code="resource_missing", param=param, began=True)


def unexpected_state(message: str, intent: Json) -> Refused:
    return Refused(400, message, code="payment_intent_unexpected_state", began=True, payment_intent=intent)

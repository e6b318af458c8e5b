"""Faults that a test or a person asks for, in webhooks and in calls of the API."""

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

ALWAYS = 10**9
"""A number of times that is never reached."""

FaultKind = Literal["error", "limit", "reset"]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]


class Fault(Struct, forbid_unknown_fields=True):
    """A failure of the next calls: status 500 or 429, or a connection closed without a response."""

    kind: FaultKind
    times: Count = 1
    after: bool = False
    """Whether the call is executed before it fails. Its idempotency key then stores the response."""
    route: str = "*"
    """A pattern of calls, such as `POST /v1/refunds` or `POST */confirm`."""

    def __post_init__(self) -> None:
        if self.kind == "limit" and self.after:
            raise ValueError("A call over the rate limit is not executed.")


class Faults(Struct, forbid_unknown_fields=True):
    """The faults in force; none at first."""

    delay: Seconds = 0.0
    """Time before a webhook is sent."""
    drop: Count = 0
    """How many of the next webhooks are lost for good."""
    duplicate: Count = 0
    """How many extra times each webhook is sent."""
    settles_after: Seconds = 3.0
    """Time until a bank debit or a pending refund settles."""
    latency: Seconds = 0.0
    """Time that each call of the API takes."""
    calls: list[Fault] = []

    def take_call(self, call: str) -> Fault | None:
        """Return the fault for a call such as `GET /v1/refunds`, and count it."""
        for fault in self.calls:
            if fault.times > 0 and fnmatchcase(call, fault.route):
                fault.times -= 1
                return fault
        return None

    def take_drop(self) -> bool:
        """Say whether to lose the current webhook, and count it."""
        lost = self.drop > 0
        self.drop -= lost
        return lost

    def as_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self)).decode()

    def change(self, body: bytes) -> None:
        """Set the members that a JSON object names: all, or none. Raise MsgspecError."""
        given = msgspec.json.decode(body, type=dict[str, Any])
        changed = msgspec.convert(msgspec.to_builtins(self) | given, Faults)
        for name in given:
            setattr(self, name, getattr(changed, name))

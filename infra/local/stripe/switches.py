"""What a person or a test can have go wrong: with webhooks, and with calls of the API."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

ALL = 10**9
"""A number of times that nothing reaches."""

Kind = Literal["error", "limit", "reset"]


@dataclass
class Fault:
    """A failure of the next calls: an answer 500 or 429, or a connection closed without an answer."""

    kind: Kind
    times: int = 1
    after: bool = False
    """Whether the call is done before it fails. Its idempotency key keeps a 500, and hides a reset."""
    route: str = "*"
    """Which calls, such as `POST /v1/refunds` or `POST */confirm`."""
    seconds: float = 0.0
    """How long the client waits for it."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"A fault is one of {', '.join(get_args(Kind))}.")
        if self.kind == "limit" and self.after:
            raise ValueError("Who is over the limit has nothing done.")


@dataclass
class Switches:
    """Everything as it should be, until something is set."""

    delay: float = 0.0
    """Seconds that a webhook waits before it is sent."""
    drop: int = 0
    """How many of the next webhooks are lost for good."""
    duplicate: int = 0
    """How many further times each webhook is sent."""
    hold: bool = False
    """Keep webhooks back, until they are delivered by hand, in any order."""
    settles_after: float = 3.0
    """Seconds until a bank debit, or a refund that is under way, comes to its end."""
    latency: float = 0.0
    """Seconds that each call of the API takes."""
    faults: list[Fault] = field(default_factory=list)

    def take_fault(self, call: str) -> Fault | None:
        """Return the fault that a call such as `GET /v1/events` meets, and count it."""
        for fault in self.faults:
            if fault.times > 0 and fnmatchcase(call, fault.route):
                fault.times -= 1
                return fault
        return None

    def take_drop(self) -> bool:
        """Say whether the webhook at hand is to be lost, and count it."""
        lost = self.drop > 0
        self.drop -= lost
        return lost

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def set_from(self, text: str) -> None:
        """Set what the JSON names, all of it or nothing. Raises ValueError."""
        given = json.loads(text)
        if not isinstance(given, dict):
            raise ValueError("Switches are a JSON object.")  # noqa: TRY004 - one class for all input
        for name, value in dict(_checked(given)).items():
            setattr(self, name, value)


def _checked(given: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    known = {one.name: one.type for one in fields(Switches)}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"There is no switch {name}; there are {', '.join(known)}.")
        if name == "faults":
            try:
                yield name, [Fault(**fault) for fault in value]
            except TypeError as error:
                raise ValueError(f"faults: {error}") from error
        elif known[name] is bool:
            if not isinstance(value, bool):
                raise ValueError(f"{name} is true or false.")
            yield name, value
        else:
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name} is a number from 0.")
            yield name, int(value) if known[name] is int else float(value)

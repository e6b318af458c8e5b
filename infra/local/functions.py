"""Calls an app's function as Lambda does: with a context that counts down, and JSON in and out."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalice.local import LambdaContext

MEGABYTES = 256
"""What the context says; nothing here limits it."""


class Context(LambdaContext):
    """What Lambda tells a function of a call, which has no time left from when `halt` is set."""

    def __init__(self, name: str, seconds: int, halt: threading.Event) -> None:
        super().__init__(name, MEGABYTES, seconds * 1000)
        self._halt = halt

    def get_remaining_time_in_millis(self) -> int:
        left = 0 if self._halt.is_set() else super().get_remaining_time_in_millis()
        return max(0, int(left))


@dataclass(frozen=True)
class Function:
    """A function of the deployment, with the seconds that a call may take."""

    name: str
    handler: Callable[[dict[str, Any], Context], Any]
    seconds: int
    halt: threading.Event

    def __call__(self, event: dict[str, Any]) -> Any:
        """Call it, and raise what it raises, or that its answer is no JSON."""
        answer = self.handler(event, Context(self.name, self.seconds, self.halt))
        return json.loads(json.dumps(answer))

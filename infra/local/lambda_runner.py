"""Calls a function as Lambda does, with a context that counts down and a JSON response."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalice.local import LambdaContext

MEMORY_MB = 256  # only reported: the embedded stack does not limit memory


class Context(LambdaContext):
    """The context of a call. After `halt` is set, the call has no time left."""

    def __init__(self, name: str, timeout: int, halt: threading.Event) -> None:
        super().__init__(name, MEMORY_MB, timeout * 1000)
        self._halt = halt

    def get_remaining_time_in_millis(self) -> int:
        left = 0 if self._halt.is_set() else super().get_remaining_time_in_millis()
        return max(0, int(left))


@dataclass(frozen=True)
class Function:
    """A function of the app, with the timeout of a call in seconds."""

    name: str
    handler: Callable[[dict[str, Any], Context], Any]
    timeout: int
    halt: threading.Event

    def __call__(self, event: dict[str, Any]) -> Any:
        """Call the function. Raises its exceptions, and TypeError if its response is not JSON."""
        response = self.handler(event, Context(self.name, self.timeout, self.halt))
        return json.loads(json.dumps(response))

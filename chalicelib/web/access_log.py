"""The log: one line of JSON a request, and one for each fault, all with the request's id.

What is logged is listed here member by member, so that no header, body or secret gets in by accident.
"""

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from chalicelib import tracing

_log = logging.getLogger("event-booking")


_ENCODER = msgspec.json.Encoder(enc_hook=str)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_whence(),
            **getattr(record, "members", {}),
            **getattr(record, "metrics", {}),
        }
        if record.exc_info:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            return _ENCODER.encode(line).decode()
        except UnicodeEncodeError:  # of a lone surrogate in an error's text
            return json.dumps(line)


FORMATTER = _JsonFormatter()


class _Line(logging.LogRecord):
    """A record that knows what is written of it, and nothing of thread, process and caller.

    To find those out takes logging longer than all else about a line.
    """

    def __init__(self, message: str, members: Mapping[str, object], metrics: Mapping[str, object]) -> None:
        self.name = _log.name
        self.levelno, self.levelname = logging.INFO, "INFO"
        self.msg, self.args = message, None
        self.created = time.time()
        self.exc_info = self.exc_text = self.stack_info = None
        self.pathname = self.filename = self.module = __name__
        self.lineno = 0
        self.members, self.metrics = members, metrics


def _whence() -> dict[str, object]:
    """Which request a line goes back to, and which call of the function it is of."""
    known = {"requestId": tracing.current(), "traceId": tracing.xray()}
    return {name: value for name, value in known.items() if value is not None}


def set_up() -> None:
    """Send this project's log to standard output, where Lambda collects it."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(FORMATTER)
    _log.handlers = [handler]
    _log.propagate = False
    _log.setLevel(logging.INFO)


def request(
    *,
    method: str,
    route: str,
    status: int,
    milliseconds: float,
    user_id: str | None,
    request_id: str,
    metrics: Mapping[str, object],
) -> None:
    """Log that a request was answered, with the metrics that its line carries."""
    members = {
        "method": method,
        "route": route,
        "status": status,
        "ms": round(milliseconds, 1),
        "userId": user_id,
        "requestId": request_id,
    }
    if _log.isEnabledFor(logging.INFO):
        _log.handle(_Line("request", members, metrics))


def message(*, kind: str | None, message_id: str, milliseconds: float) -> None:
    """Log that a message of a queue was done."""
    members = {"type": kind, "messageId": message_id, "ms": round(milliseconds, 1)}
    _log.info("message", extra={"members": members})


def fault(message: str, *, message_id: str | None = None) -> None:
    """Log the exception that is being handled, with its traceback."""
    members = {"messageId": message_id} if message_id else {}
    _log.error(message, exc_info=True, extra={"members": members})

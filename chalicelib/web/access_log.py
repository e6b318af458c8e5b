"""The log: one line of JSON a request, and one for each fault, all with the request's id.

What is logged is listed here member by member, so that no header, body or secret gets in by accident.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from chalicelib import tracing

_log = logging.getLogger("event-booking")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_whence(),
            **getattr(record, "members", {}),
        }
        if record.exc_info:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


FORMATTER = _JsonFormatter()


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
) -> None:
    _log.info(
        "request",
        extra={
            "members": {
                "method": method,
                "route": route,
                "status": status,
                "ms": round(milliseconds, 1),
                "userId": user_id,
                "requestId": request_id,
            }
        },
    )


def message(*, kind: str | None, message_id: str, milliseconds: float) -> None:
    """Log that a message of a queue was done."""
    members = {"type": kind, "messageId": message_id, "ms": round(milliseconds, 1)}
    _log.info("message", extra={"members": members})


def fault(message: str, *, message_id: str | None = None) -> None:
    """Log the exception that is being handled, with its traceback."""
    members = {"messageId": message_id} if message_id else {}
    _log.error(message, exc_info=True, extra={"members": members})

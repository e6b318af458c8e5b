"""The log: one line of JSON a request, and one for each fault, all with the request's id.

What is logged is listed here member by member, so that no header, body or secret gets in by accident.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from chalicelib.platform.observability import request_context

_log = logging.getLogger("event-booking")

_ENCODER = msgspec.json.Encoder(enc_hook=str)


def _text(line: Mapping[str, object]) -> str:
    try:
        return _ENCODER.encode(line).decode()
    except UnicodeEncodeError:  # of a lone surrogate in an error's text
        return json.dumps(line)


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_whence(),
            **getattr(record, "members", {}),
            **getattr(record, "metrics", {}),
        }
        if record.exc_info:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return _text(line)


FORMATTER = _JsonFormatter()


def _whence() -> dict[str, object]:
    """Which request a line goes back to, and which call of the function it is of."""
    known = {"requestId": request_context.current(), "traceId": request_context.xray()}
    return {name: value for name, value in known.items() if value is not None}


_output: TextIO = sys.stdout
_has_metrics = True


def set_up(output: TextIO | None = None) -> None:
    """Send this project's log to standard output, where Lambda collects it, or to where it is said."""
    global _output  # noqa: PLW0603 (one per process, as the log is one)
    _output = output or sys.stdout
    handler = logging.StreamHandler(_output)
    handler.setFormatter(FORMATTER)
    _log.handlers = [handler]
    _log.propagate = False
    _log.setLevel(logging.INFO)


def without_metrics() -> None:
    """Have the log for people alone: without metrics, and lines of nothing else."""
    global _has_metrics  # noqa: PLW0603 (as above)
    _has_metrics = False
    _log.addFilter(lambda record: record.msg != "metric")


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
    """Log that a request was answered, with the metrics that its line carries.

    Straight to the output: the way through `logging` is longer than all else about a line.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    line: dict[str, object] = {
        "time": _time(datetime.now(UTC)),
        "level": "info",
        "message": "request",
        "method": method,
        "route": route,
        "status": status,
        "ms": round(milliseconds, 1),
        "userId": user_id,
        "requestId": request_id,
    }
    if (trace_id := request_context.xray()) is not None:
        line["traceId"] = trace_id
    if _has_metrics:
        line.update(metrics)
    try:
        _output.write(_text(line) + "\n")
        _output.flush()
    except (OSError, ValueError):  # nobody goes without an answer because it cannot be logged
        pass


def message(*, kind: str | None, message_id: str, milliseconds: float) -> None:
    """Log that a message of a queue was done."""
    members = {"type": kind, "messageId": message_id, "ms": round(milliseconds, 1)}
    _log.info("message", extra={"members": members})


def error(message: str, *, message_id: str | None = None) -> None:
    """Log the exception that is being handled, with its traceback."""
    members = {"messageId": message_id} if message_id else {}
    _log.error(message, exc_info=True, extra={"members": members})

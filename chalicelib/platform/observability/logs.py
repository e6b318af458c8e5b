"""The log: JSON lines on standard output, each with the id of the request that it belongs to.

Every member of a line is listed here or by the caller, so that no header, body or secret is logged by accident.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from chalicelib.platform.observability import request_context

_log = logging.getLogger("event-booking")
_output: TextIO = sys.stdout
_with_metrics = True


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time_text(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_origin(),
            **getattr(record, "members", {}),
            **getattr(record, "metrics", {}),
        }
        if record.exc_info:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str)


FORMATTER = _JsonFormatter()


def time_text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _origin() -> dict[str, object]:
    """The ids of the request and of the function call that a line belongs to."""
    known = {"requestId": request_context.current(), "traceId": request_context.xray()}
    return {name: value for name, value in known.items() if value is not None}


def set_up(output: TextIO | None = None) -> None:
    """Send the log to standard output, where Lambda collects it, or to another output."""
    global _output  # noqa: PLW0603 (one per process, as the log is one)
    _output = output or sys.stdout
    handler = logging.StreamHandler(_output)
    handler.setFormatter(FORMATTER)
    _log.handlers = [handler]
    _log.propagate = False
    _log.setLevel(logging.INFO)


def without_metrics() -> None:
    """Leave metrics out of the log, for people who read it."""
    global _with_metrics  # noqa: PLW0603 (as above)
    _with_metrics = False
    _log.addFilter(lambda record: record.msg != "metric")


def is_enabled() -> bool:
    return _log.isEnabledFor(logging.INFO)


def write(line: str) -> None:
    """Write a finished line directly to the output. A log that cannot be written fails no request."""
    try:
        _output.write(line + "\n")
        _output.flush()
    except (OSError, ValueError):
        pass


def metrics_of(line_metrics: Mapping[str, object]) -> Mapping[str, object]:
    """Return the metrics to add to a line: none if the log is for people."""
    return line_metrics if _with_metrics else {}


def message(*, kind: str | None, message_id: str, milliseconds: float) -> None:
    """Log that a queue message was handled. `kind` is the type of its domain event."""
    members = {"type": kind, "messageId": message_id, "ms": round(milliseconds, 1)}
    _log.info("message handled", extra={"members": members})


def error(message: str, *, kind: str | None = None, message_id: str | None = None) -> None:
    """Log the exception that is being handled, with its traceback.

    For a queue message: its id, and the type of its domain event.
    """
    given = {"type": kind, "messageId": message_id}
    members = {name: value for name, value in given.items() if value}
    _log.error(message, exc_info=True, extra={"members": members})

"""The log: JSON lines on standard output, each with the ids of its request and of what it is about.

A line has only members that the code names, so that no header, body or secret is logged by accident. Texts of
errors come from others, so e-mail addresses are removed from every line.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from chalicelib.platform.observability import request_context

_ADDRESS = re.compile(r"""(?:"[^"\n]*"|[^\s"<>()\[\]{},;:]+)@(?:\[[^\]\s]*\]|[^\s"<>()\[\]{},;:]+)""")
"""Whatever may be an e-mail address, such as in the message of an error of SES or Stripe."""

_MAX_ERROR_LENGTH, _MAX_CAUSE_LENGTH = 600, 200

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
        }
        if record.name != _log.name:
            line["logger"] = record.name
        if record.exc_info and record.exc_info[1]:
            # A library's traceback says little, and an error of SQLAlchemy has the whole statement.
            error = record.exc_info[1]
            line["error"] = _traceback(error) if record.name == _log.name else _chain(error)
        texts = {name: _redacted(value) for name, value in line.items() if isinstance(value, str)}
        return json.dumps({**line, **texts}, default=str)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _redacted(text: str) -> str:
    return _ADDRESS.sub("[address]", text) if "@" in text else text


FORMATTER = _JsonFormatter()


def time_text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _origin() -> dict[str, object]:
    """Return the ids of the current request, of its X-Ray trace, and of what it is about."""
    found = {
        "requestId": request_context.current(),
        "traceId": request_context.xray(),
        **request_context.ids(),
    }
    return {name: value for name, value in found.items() if value is not None}


def set_up(output: TextIO | None = None) -> None:
    """Send the log to `output`, or to standard output, from which Lambda collects it.

    Warnings and errors of libraries go there too. Otherwise they would be texts of many lines.
    """
    global _output  # noqa: PLW0603 (one log per process)
    _output = output or sys.stdout
    _log.handlers = [_handler(logging.INFO)]
    _log.propagate = False
    _log.setLevel(logging.INFO)
    logging.getLogger().handlers = [_handler(logging.WARNING)]
    logging.captureWarnings(capture=True)


def _handler(level: int) -> logging.Handler:
    handler = logging.StreamHandler(_output)
    handler.setFormatter(FORMATTER)
    handler.setLevel(level)
    return handler


def without_metrics() -> None:
    """Leave metrics out of the log, for people who read it."""
    global _with_metrics  # noqa: PLW0603 (one log per process)
    _with_metrics = False


def info(message: str, /, **members: object) -> None:
    _log.info(message, extra={"members": members})


def warning(message: str, /, **members: object) -> None:
    _log.warning(message, extra={"members": members})


def error(message: str, /, **members: object) -> None:
    _log.error(message, extra={"members": members})


def failure(message: str, error: BaseException, /, **members: object) -> None:
    """Log an expected error and its causes in one short line: many may follow while a service is away."""
    _log.error(message, extra={"members": {"error": _chain(error), **members}})


def _chain(error: BaseException) -> str:
    """Return an error and its causes in one short line."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:  # an error can be its own cause
        causes.append(cause)
        cause = cause.__cause__
    return " < ".join(dict.fromkeys(map(_short, causes)))[:_MAX_ERROR_LENGTH]


def _short(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    fields = original.args[0] if original.args else ""
    # The other fields of an error of PostgreSQL can have values of rows.
    text = f"{fields.get('C')} {fields.get('M')}" if isinstance(fields, dict) else str(original)
    return _redacted(f"{type(original).__name__}: {text}")[:_MAX_CAUSE_LENGTH]


def exception(message: str, /, **members: object) -> None:
    """Log an error with the traceback of the exception that is being handled."""
    _log.error(message, exc_info=True, extra={"members": members})


def metric(members: Mapping[str, object]) -> None:
    """Log metrics in a line of their own."""
    if _with_metrics:
        info("metric", **members)


def metrics_of(members: Mapping[str, object]) -> Mapping[str, object]:
    """Return the metrics to add to a line: none if the log is without metrics."""
    return members if _with_metrics else {}


def is_enabled() -> bool:
    return _log.isEnabledFor(logging.INFO)


def write(line: str) -> None:
    """Write a finished line directly to the output. A request does not fail if its line cannot be written."""
    try:
        _output.write(line + "\n")
        _output.flush()
    except (OSError, ValueError):
        pass

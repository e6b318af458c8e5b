"""The log line of a request.

It goes directly to the output: through `logging`, a booking costs 212 µs of client CPU instead of 176.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from chalicelib.platform.observability import logs, request_context

_ENCODER = msgspec.json.Encoder(enc_hook=str)


def write(
    *,
    method: str,
    route: str,
    status: int,
    milliseconds: float,
    user_id: str | None,
    request_id: str,
    metrics: Mapping[str, object],
) -> None:
    """Log a request with its metrics."""
    if not logs.is_enabled():
        return
    line: dict[str, object] = {
        "time": logs.time_text(datetime.now(UTC)),
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
    line.update(request_context.ids())
    line.update(logs.metrics_of(metrics))
    logs.write(_text(line))


def _text(line: Mapping[str, object]) -> str:
    try:
        return _ENCODER.encode(line).decode()
    except UnicodeEncodeError:  # a lone surrogate in a path
        return json.dumps(line)

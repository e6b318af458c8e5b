"""Queues: runs a function's work for each message of a batch, and reports those that failed."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from chalicelib.platform.observability import logs, request_context


class Record(Protocol):
    """One message of a batch, as Chalice hands it over."""

    body: str

    def to_dict(self) -> dict[str, Any]: ...


def process_batch(event: Iterable[Record], work: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Do the work of every message, and return the failed ones for SQS to deliver again.

    One that cannot be done keeps none of the others from being done; after its attempts it goes to the
    dead-letter queue, whatever is wrong with it.
    """
    failed: list[dict[str, str]] = []
    for record in event:
        message_id = record.to_dict()["messageId"]
        if not _process(message_id, record.body, work):
            failed.append({"itemIdentifier": message_id})
    return {"batchItemFailures": failed}


def _process(message_id: str, body: str, work: Callable[[dict[str, Any]], None]) -> bool:
    """Do the work of one message, on behalf of the request that it goes back to; say whether it is done."""
    started = time.perf_counter()
    message = _decode(body)
    domain_event = message.get("domainEvent", message) if isinstance(message, dict) else {}
    told = domain_event if isinstance(domain_event, dict) else {}
    with request_context.bind(told.get("requestId")):
        try:
            work(message)
        except Exception:  # noqa: BLE001 (a message of any kind must not stop its batch)
            logs.error("A message was not done", message_id=message_id)
            return False
        logs.message(kind=told.get("type"), message_id=message_id, milliseconds=_since(started))
        return True


def _decode(body: str) -> Any:
    """The message; where it is no JSON, its text, which no work can do anything with."""
    try:
        return json.loads(body)
    except ValueError:
        return body


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000

"""Consume batches of SQS messages, and report the messages that failed."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from chalicelib.platform.messaging.messages import domain_event_of
from chalicelib.platform.observability import logs, request_context

M = TypeVar("M")


class Record(Protocol):
    """A message as Chalice hands it over."""

    body: str

    def to_dict(self) -> dict[str, Any]: ...


def process_batch(
    records: Iterable[Record], decode: Callable[[dict[str, Any]], M], handle: Callable[[M], None]
) -> dict[str, Any]:
    """Handle each message of a batch. Return the failed ones, for SQS to deliver again.

    A message that fails, malformed or not, does not stop the others. After its last attempt SQS moves it to
    the dead-letter queue.
    """
    failed: list[dict[str, str]] = []
    for record in records:
        message_id = record.to_dict()["messageId"]
        if not _process(message_id, record.body, decode, handle):
            failed.append({"itemIdentifier": message_id})
    return {"batchItemFailures": failed}


def _process(
    message_id: str, body: str, decode: Callable[[dict[str, Any]], M], handle: Callable[[M], None]
) -> bool:
    started = time.perf_counter()
    try:
        message = decode(_json_object(body))
    except Exception:  # noqa: BLE001 (a malformed message must not stop its batch)
        logs.exception("message failed", messageId=message_id)
        return False
    domain_event = domain_event_of(message)
    kind = domain_event.type if domain_event else None
    with request_context.bind(domain_event.request_id if domain_event else None):
        try:
            handle(message)
        except Exception:  # noqa: BLE001 (a failed message must not stop its batch)
            logs.exception("message failed", type=kind, messageId=message_id)
            return False
        elapsed_ms = round((time.perf_counter() - started) * 1000, 1)
        logs.info("message handled", type=kind, messageId=message_id, ms=elapsed_ms)
        return True


def _json_object(body: str) -> dict[str, Any]:
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 (malformed, as any other message)
    return message

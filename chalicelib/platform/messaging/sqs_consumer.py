"""Consume batches of SQS messages, report the messages that failed, and put back those that met an outage."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from chalicelib.platform.errors import Unavailable, Unreachable
from chalicelib.platform.messaging.messages import domain_event_of
from chalicelib.platform.messaging.ports import TIMES_PUT_BACK
from chalicelib.platform.observability import logs, metrics, request_context

M = TypeVar("M")

MAX_TIMES_PUT_BACK = 1_440
"""About a day of outage. Then the message fails as any other, and becomes a dead letter."""
_FIRST_DELAY_SECONDS = 5
_MAX_DELAY_SECONDS = 60
_OUTAGE_BUDGET_SECONDS = 10.0
"""What a batch may spend on services that do not answer. The rest of it is put back without an attempt.
Otherwise the time limit of the function would end the batch, which counts an attempt of each message."""


class Record(Protocol):
    """A message as Chalice hands it over."""

    body: str

    def to_dict(self) -> dict[str, Any]: ...


class PutBack(Protocol):
    """Sends a message again to the queue that it came from, as `QueueSender.put_back` does."""

    def __call__(self, body: str, *, times: int, delay: int) -> None: ...


def json_object(body: str) -> dict[str, Any]:
    """Parse the body of a message.

    Raises:
        ValueError, RecursionError: It is no JSON object, or one that is nested too deeply.
    """
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 (malformed, as any other message)
    return message


def process_batch(
    records: Iterable[Record],
    decode: Callable[[dict[str, Any]], M],
    handle: Callable[[M], None],
    put_back: PutBack | None = None,
    *,
    parse: Callable[[str], dict[str, Any]] = json_object,
) -> dict[str, Any]:
    """Handle each message of a batch. Return the failed ones, for SQS to deliver again.

    A message that fails, malformed or not, does not stop the others. After its last attempt SQS moves it to
    the dead-letter queue.

    An outage of a service says nothing about the message and uses up none of its attempts: the message is put
    back as a new one, which comes after a delay that grows.
    """
    batch = _Batch(put_back)

    def read(body: str) -> M:
        return decode(parse(body))

    failed = [
        {"itemIdentifier": record.to_dict()["messageId"]}
        for record in records
        if not batch.process(record, read, handle)
    ]
    return {"batchItemFailures": failed}


class _Batch:
    def __init__(self, put_back: PutBack | None) -> None:
        self._put_back = put_back
        self._outage_seconds = 0.0

    def process(self, record: Record, read: Callable[[str], M], handle: Callable[[M], None]) -> bool:
        """Return False if SQS has to deliver the message again."""
        started = time.perf_counter()
        message_id = record.to_dict()["messageId"]
        try:
            message = read(record.body)
        except Exception:  # noqa: BLE001 (a malformed message must not stop its batch)
            logs.exception("message failed", messageId=message_id)
            return False
        domain_event = domain_event_of(message)
        with request_context.bind(
            domain_event.request_id if domain_event else None,
            messageId=message_id,
            **(domain_event.ids if domain_event else {}),
        ):
            if self._outage_seconds > _OUTAGE_BUDGET_SECONDS and self._puts_back(record, None):
                return True
            try:
                handle(message)
            except (Unavailable, Unreachable) as error:
                self._outage_seconds += time.perf_counter() - started
                if self._puts_back(record, error):
                    return True
                logs.exception("message failed")
                return False
            except Exception:  # noqa: BLE001 (a failed message must not stop its batch)
                logs.exception("message failed")
                return False
            logs.info("message handled", ms=round((time.perf_counter() - started) * 1000, 1))
            return True

    def _puts_back(self, record: Record, cause: Exception | None) -> bool:
        times = _times_put_back(record)
        if self._put_back is None or times >= MAX_TIMES_PUT_BACK:
            return False
        delay = min(_FIRST_DELAY_SECONDS * 2 ** min(times, 10), _MAX_DELAY_SECONDS)
        try:
            self._put_back(record.body, times=times + 1, delay=delay)
        except Exception:  # noqa: BLE001 (SQS delivers the message again, and counts an attempt)
            logs.exception("message not put back")
            self._put_back = None  # spares the rest of the batch the wait
            return False
        metrics.put("MessagesPutBack", 1, "Count")
        logs.warning(
            "message put back",
            times=times + 1,
            delay=delay,
            error=f"{type(cause).__name__}: {cause}" if cause else "an earlier message met an outage",
        )
        return True


def _times_put_back(record: Record) -> int:
    attributes = record.to_dict().get("messageAttributes") or {}
    value = str(attributes.get(TIMES_PUT_BACK, {}).get("stringValue"))
    return int(value) if value.isascii() and value.isdigit() and len(value) < len("10000") else 0

"""Queues: runs a function's work for each message of a batch, and reports those that failed."""

import json
from collections.abc import Callable
from typing import Any

from chalice.app import SQSEvent

from chalicelib.web import access_log


def each(event: SQSEvent, work: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Do the work of every message, and return the failed ones for SQS to deliver again.

    One that cannot be done keeps none of the others from being done; after its attempts it goes to the
    dead-letter queue, whatever is wrong with it.
    """
    failed: list[dict[str, str]] = []
    for record in event:
        message_id = record.to_dict()["messageId"]
        try:
            work(json.loads(record.body))
        except Exception:  # noqa: BLE001 (a message of any kind must not stop its batch)
            access_log.fault("A message was not done", request_id=message_id)
            failed.append({"itemIdentifier": message_id})
    return {"batchItemFailures": failed}

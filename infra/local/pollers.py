"""Polls queues as Lambda's event source mapping does, and calls functions with batches of messages."""

import math
import sys
import threading
import time
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.lambda_runner import Function

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageAttributeValueOutputTypeDef, MessageTypeDef

MAX_BATCH_SIZE = 10
"""Messages in one call of SQS."""
POLL_INTERVAL = 0.02
"""Seconds between receives without long polling."""
ERROR_BACKOFF = 1.0
"""Seconds before the next receive after SQS has failed."""


@dataclass(frozen=True)
class EventSource:
    """The configuration of a queue as the event source of a function."""

    url: str
    arn: str
    batch_size: int
    window: int
    """Seconds to wait for a full batch."""


class Poller:
    """Polls one queue until `stopping` is set, in a thread that calls `run`.

    After `draining` is set, the poller receives without long polling, so that a stop need not wait.

    A failed message returns after its visibility timeout. After its last attempt, SQS moves the message
    to the dead-letter queue.
    """

    def __init__(
        self,
        sqs: "SQSClient",
        source: EventSource,
        function: Function,
        *,
        draining: threading.Event,
        stopping: threading.Event,
        long_poll: int,
    ) -> None:
        self._sqs = sqs
        self._source = source
        self.function = function
        self._draining = draining
        self._stopping = stopping
        self._long_poll = long_poll

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                messages = self._receive_batch()
                if messages:
                    self._process(messages)
            except (BotoCoreError, ClientError):
                self._print_error("cannot reach its queue")
                self._stopping.wait(ERROR_BACKOFF)

    def backlog(self) -> int:
        """Count the messages in the queue, with those in progress and those that wait for a retry."""
        return count(self._sqs, self._source.url, hidden=True)

    def _receive_batch(self) -> list["MessageTypeDef"]:
        """Receive messages, and wait for a full batch until the window ends."""
        wait = 0 if self._draining.is_set() else self._long_poll
        messages = self._receive(self._source.batch_size, wait)
        until = time.monotonic() + self._source.window
        while messages and not self._stopping.is_set():
            missing = self._source.batch_size - len(messages)
            left = until - time.monotonic()
            if missing <= 0 or left <= 0:
                break
            messages += self._receive(missing, min(wait, math.ceil(left)))
        return messages

    def _receive(self, max_messages: int, wait: int) -> list["MessageTypeDef"]:
        response = self._sqs.receive_message(
            QueueUrl=self._source.url,
            MaxNumberOfMessages=min(MAX_BATCH_SIZE, max_messages),
            WaitTimeSeconds=wait,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = response.get("Messages", [])
        if not messages and not wait:
            self._stopping.wait(POLL_INTERVAL)
        return messages

    def _process(self, messages: Sequence["MessageTypeDef"]) -> None:
        ids = [message["MessageId"] for message in messages]
        try:
            response = self.function({"Records": [self._record(message) for message in messages]})
            failed = failed_messages(response, ids)
        except Exception:  # noqa: BLE001 - after any error, Lambda continues to poll
            self._print_error("has failed")
            failed = set(ids)
        done = [message for message in messages if message["MessageId"] not in failed]
        for start in range(0, len(done), MAX_BATCH_SIZE):
            self._sqs.delete_message_batch(
                QueueUrl=self._source.url,
                Entries=[
                    {"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]}
                    for message in done[start : start + MAX_BATCH_SIZE]
                ],
            )

    def _record(self, message: "MessageTypeDef") -> dict[str, Any]:
        """Return a record of the event (Lambda Developer Guide, "Using Lambda with SQS")."""
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {name: str(value) for name, value in message["Attributes"].items()},
            "messageAttributes": {
                name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._source.arn,
            "awsRegion": self._source.arn.split(":")[3],
        }

    def _print_error(self, what: str) -> None:
        print(f"{self.function.name} {what}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)


def count(sqs: "SQSClient", url: str, *, hidden: bool = False) -> int:
    """Count the visible messages of a queue, and with `hidden` also those in flight."""
    names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages"]
    if hidden:
        names.append("ApproximateNumberOfMessagesNotVisible")
    # One request, so that a message received meanwhile is not counted twice.
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(map(int, attributes.values()))


def failed_messages(response: Any, ids: Collection[str]) -> set[str]:
    """Return the messages that a function's response reports as failed.

    An empty response means success, and an invalid one fails the whole batch (Lambda Developer Guide,
    "Implementing partial batch responses").
    """
    try:
        reported = ({} if response is None else response).get("batchItemFailures") or []
        named = {item["itemIdentifier"] for item in reported}
    except (AttributeError, KeyError, TypeError):
        return set(ids)
    return set(ids) if named - set(ids) else named


def _attribute(value: "MessageAttributeValueOutputTypeDef") -> dict[str, Any]:
    return {
        "dataType": value["DataType"],
        "stringValue": value.get("StringValue"),
        "stringListValues": [],
        "binaryListValues": [],
    }

"""Stands in for Lambda's event source mapping: hands the messages of a queue to a function in batches."""

import math
import sys
import threading
import time
import traceback
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.functions import Function

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageAttributeValueOutputTypeDef, MessageTypeDef

AT_ONCE = 10
"""Messages that SQS gives or takes in one call."""
BREATH = 0.02
"""Seconds between receives that do not wait for a message."""
PAUSE = 1.0
"""Seconds before another try when SQS does not answer."""


@dataclass(frozen=True)
class Mapping:
    """What Lambda is told of a queue and its function."""

    url: str
    arn: str
    batch_size: int
    window: int
    """Seconds to wait for a batch to fill."""


class Poller:
    """Polls one queue, in a thread that calls `run`, until `stopping` is set.

    From when `ending` is set it waits for no message any more, so that the end need not wait for it.

    A message that a function did not do is left to its visibility timeout, and after its attempts
    SQS itself moves it to the dead-letter queue.
    """

    def __init__(
        self,
        sqs: "SQSClient",
        mapping: Mapping,
        function: Function,
        *,
        ending: threading.Event,
        stopping: threading.Event,
        long_poll: int,
    ) -> None:
        self._sqs = sqs
        self._mapping = mapping
        self.function = function
        self._ending = ending
        self._stopping = stopping
        self._long_poll = long_poll

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                messages = self._batch()
                if messages:
                    self._hand_over(messages)
            except (BotoCoreError, ClientError):
                self._note("has lost touch with its queue")
                self._stopping.wait(PAUSE)

    def waiting(self) -> int:
        """Count the messages in the queue, also those that are being handled or will come again."""
        return count(self._sqs, self._mapping.url, hidden=True)

    def _batch(self) -> list["MessageTypeDef"]:
        """Receive what there is, and wait for more of it as long as the window allows."""
        wait = 0 if self._ending.is_set() else self._long_poll
        messages = self._receive(self._mapping.batch_size, wait)
        until = time.monotonic() + self._mapping.window
        while messages and not self._stopping.is_set():
            missing = self._mapping.batch_size - len(messages)
            left = until - time.monotonic()
            if missing <= 0 or left <= 0:
                break
            messages += self._receive(missing, min(wait, math.ceil(left)))
        return messages

    def _receive(self, at_most: int, wait: int) -> list["MessageTypeDef"]:
        answer = self._sqs.receive_message(
            QueueUrl=self._mapping.url,
            MaxNumberOfMessages=min(AT_ONCE, at_most),
            WaitTimeSeconds=wait,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = answer.get("Messages", [])
        if not messages and not wait:
            self._stopping.wait(BREATH)
        return messages

    def _hand_over(self, messages: Sequence["MessageTypeDef"]) -> None:
        ids = [message["MessageId"] for message in messages]
        try:
            answer = self.function({"Records": [self._record(message) for message in messages]})
            failed = undone(answer, ids)
        except Exception:  # noqa: BLE001 - whatever it raises, Lambda goes on
            self._note("has failed")
            failed = set(ids)
        done = [message for message in messages if message["MessageId"] not in failed]
        for start in range(0, len(done), AT_ONCE):
            self._sqs.delete_message_batch(
                QueueUrl=self._mapping.url,
                Entries=[
                    {"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]}
                    for message in done[start : start + AT_ONCE]
                ],
            )

    def _record(self, message: "MessageTypeDef") -> dict[str, Any]:
        """Return the message as a function receives it (Lambda Developer Guide, "Using Lambda with SQS")."""
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
            "eventSourceARN": self._mapping.arn,
            "awsRegion": self._mapping.arn.split(":")[3],
        }

    def _note(self, what: str) -> None:
        print(f"{self.function.name} {what}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)


def count(sqs: "SQSClient", url: str, *, hidden: bool = False) -> int:
    """Count the messages of a queue that can be received, or also those hidden since they were."""
    names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages"]
    if hidden:
        names.append("ApproximateNumberOfMessagesNotVisible")
    # In one request, so that a message that is received meanwhile does not count twice.
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(map(int, attributes.values()))


def undone(answer: Any, ids: Collection[str]) -> set[str]:
    """Return which messages of a batch a function's answer says to deliver again.

    Nothing said is success; what cannot be understood fails the whole batch (Lambda Developer Guide,
    "Implementing partial batch responses").
    """
    try:
        reported = ({} if answer is None else answer).get("batchItemFailures") or []
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

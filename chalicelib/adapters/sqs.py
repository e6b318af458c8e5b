"""Messages through SQS."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3

from chalicelib.adapters.aws import CONFIG, MAX_BATCH_SIZE, translate_errors
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.ports import TIMES_PUT_BACK, DeadLetter
from chalicelib.platform.messaging.queues import Queue

_MOVE_TIMEOUT_SECONDS = 60
"""Time in which a message that is redriven must be moved."""


class SqsQueues:
    """The queues of the AWS account and region in the environment."""

    def __init__(self) -> None:
        self._sqs = boto3.client("sqs", config=CONFIG)
        self._url = cache(self._get_url)

    def _get_url(self, queue: str) -> str:
        return self._sqs.get_queue_url(QueueName=queue)["QueueUrl"]

    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(messages), MAX_BATCH_SIZE):
            batch = messages[start : start + MAX_BATCH_SIZE]
            with translate_errors("SQS"):
                response = self._sqs.send_message_batch(
                    QueueUrl=self._url(queue),
                    Entries=[
                        {"Id": str(i), "MessageBody": json.dumps(message, separators=(",", ":"))}
                        for i, message in enumerate(batch)
                    ],
                )
            if failed := response.get("Failed"):
                raise Unreachable(f"SQS rejected {len(failed)} of {len(batch)} messages")

    def put_back(self, queue: str, body: str, *, times: int, delay: int) -> None:
        with translate_errors("SQS"):
            self._sqs.send_message(
                QueueUrl=self._url(queue),
                MessageBody=body,
                DelaySeconds=delay,
                MessageAttributes={TIMES_PUT_BACK: {"DataType": "Number", "StringValue": str(times)}},
            )

    def dead_letters(self, queue: Queue) -> tuple[int, list[DeadLetter]]:
        with translate_errors("SQS"):
            received = self._sqs.receive_message(
                QueueUrl=self._url(queue.dead_letters),
                MaxNumberOfMessages=MAX_BATCH_SIZE,
                VisibilityTimeout=0,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        letters = [
            DeadLetter(
                message_id=message["MessageId"],
                sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
                body=message["Body"],
            )
            for message in received.get("Messages", [])
        ]
        return self._count(queue.dead_letters), letters

    def redrive(self, queue: Queue, *, keep_going: Callable[[], bool]) -> int:
        # Not more than there are now, so that a message that fails again is not moved again.
        left, moved = self._count(queue.dead_letters), 0
        while moved < left and keep_going():
            with translate_errors("SQS"):
                batch = self._move(queue, min(MAX_BATCH_SIZE, left - moved))
            if not batch:
                break
            moved += batch
        return moved

    def _count(self, queue: str) -> int:
        with translate_errors("SQS"):
            found = self._sqs.get_queue_attributes(
                QueueUrl=self._url(queue), AttributeNames=["ApproximateNumberOfMessages"]
            )
        return int(found["Attributes"]["ApproximateNumberOfMessages"])

    def _move(self, queue: Queue, at_most: int) -> int:
        source = self._url(queue.dead_letters)
        received = self._sqs.receive_message(
            QueueUrl=source,
            MaxNumberOfMessages=at_most,
            VisibilityTimeout=_MOVE_TIMEOUT_SECONDS,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        )
        messages = received.get("Messages", [])
        for message in messages:
            # The types differ, but SQS returns attributes in the form in which it accepts them.
            attributes: Any = message.get("MessageAttributes", {})
            self._sqs.send_message(
                QueueUrl=self._url(queue.name), MessageBody=message["Body"], MessageAttributes=attributes
            )
            self._sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
        return len(messages)

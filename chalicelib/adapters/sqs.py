"""Messages through SQS."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import boto3

from chalicelib.adapters.aws import CONFIG, MAX_BATCH_SIZE, translate_errors
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.ports import TIMES_PUT_BACK


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

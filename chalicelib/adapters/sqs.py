"""Messages through SQS."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import boto3

from chalicelib.adapters.transient import AT_ONCE, CONFIG, reaching
from chalicelib.platform.errors import Unreachable


class SqsQueues:
    """The queues of the account and region that the environment names."""

    def __init__(self) -> None:
        self._sqs = boto3.client("sqs", config=CONFIG)
        self._url = cache(self._find)

    def _find(self, queue: str) -> str:
        return self._sqs.get_queue_url(QueueName=queue)["QueueUrl"]

    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(messages), AT_ONCE):
            part = messages[start : start + AT_ONCE]
            with reaching("SQS"):
                answer = self._sqs.send_message_batch(
                    QueueUrl=self._url(queue),
                    Entries=[
                        {"Id": str(i), "MessageBody": json.dumps(message, separators=(",", ":"))}
                        for i, message in enumerate(part)
                    ],
                )
            if answer.get("Failed"):
                raise Unreachable(f"SQS took {len(part) - len(answer['Failed'])} of {len(part)} messages")

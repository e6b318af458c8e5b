"""Moves the messages of each dead-letter queue back to their source queue."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.platform.messaging import queues
from infra.local import aws, run_dir
from infra.local.pollers import MAX_BATCH_SIZE, count
from infra.local.startup import CannotStart

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

VISIBILITY_TIMEOUT = 60
"""Seconds in which a message must be moved."""


def main() -> None:
    with _target() as target:
        import boto3  # noqa: PLC0415 - slow to import

        print(f"Dead letters of {target}:")
        try:
            for name, moved in redrive(boto3.client("sqs")):
                print(f"  {name:24} {moved} moved back")
        except (BotoCoreError, ClientError) as error:
            raise CannotStart(f"SQS has failed: {error}") from error


def redrive(sqs: "SQSClient") -> Iterator[tuple[str, int]]:
    """Move the messages, and yield the name of each source queue and the number of its messages.

    Crash-safe: if killed, a message may be delivered twice, and none is lost. The function moves only as
    many messages as the queue had at the start, so that a message that fails again is not moved again.
    """
    for queue in queues.QUEUES:
        source = sqs.get_queue_url(QueueName=queue.dead_letters)["QueueUrl"]
        target = sqs.get_queue_url(QueueName=queue.name)["QueueUrl"]
        yield queue.name, _move(sqs, source, target, count(sqs, source))


def _move(sqs: "SQSClient", source: str, target: str, max_messages: int) -> int:
    moved = 0
    while moved < max_messages:
        received = sqs.receive_message(
            QueueUrl=source,
            MaxNumberOfMessages=min(MAX_BATCH_SIZE, max_messages - moved),
            VisibilityTimeout=VISIBILITY_TIMEOUT,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        )
        messages = received.get("Messages", [])
        if not messages:
            break
        for message in messages:
            # The types differ, but SQS returns attributes in the form in which it accepts them.
            attributes = cast("dict[str, MessageAttributeValueTypeDef]", message.get("MessageAttributes", {}))
            sqs.send_message(QueueUrl=target, MessageBody=message["Body"], MessageAttributes=attributes)
            sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


@contextlib.contextmanager
def _target() -> Iterator[str]:
    """Point the environment at the queues for a block, which gets a description of them."""
    port = os.environ.get("PORT") or "8000"
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    running = _endpoint_of_run(int(port)) if port.isdecimal() else None
    if endpoint:
        yield endpoint
    elif running:
        with aws.pointing_at(running):
            yield f"the run on port {port}"
    elif os.environ.get("AWS_PROFILE") or os.environ.get("AWS_ACCESS_KEY_ID"):
        yield "AWS, as the environment says"
    else:
        raise CannotStart(
            f"There is no run on port {port}. Start one with: PORT={port} make run\n"
            "For other queues set AWS_ENDPOINT_URL, or AWS_PROFILE and AWS_REGION."
        )


def _endpoint_of_run(port: int) -> str | None:
    endpoints = (run_dir.endpoint_of(run_dir.folder_of(port, stack)) for stack in run_dir.STACKS)
    return next(filter(None, endpoints), None)

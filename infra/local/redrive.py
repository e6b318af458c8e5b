"""Moves the messages of each dead-letter queue back to the queue that they come from."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.platform.messaging import queues
from infra.local import aws, state
from infra.local.installation import CannotStart
from infra.local.pollers import AT_ONCE, count

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

HIDDEN = 60
"""Seconds that a message is out of the others' sight while it is moved."""


def main() -> None:
    with _somewhere() as where:
        import boto3  # noqa: PLC0415 - slow to import

        print(f"Dead letters of {where}:")
        try:
            for name, moved in redrive(boto3.client("sqs")):
                print(f"  {name:24} {moved} moved back")
        except (BotoCoreError, ClientError) as error:
            raise CannotStart(f"SQS does not answer as it should: {error}") from error


def redrive(sqs: "SQSClient") -> Iterator[tuple[str, int]]:
    """Move them, queue by queue, and tell the name of each and how many came back to it.

    A cut in the middle loses nothing: a message may then be delivered twice, as all may be. Only as
    many are moved as there were at the beginning, so that one that dies again does not go round.
    """
    for queue in queues.QUEUES:
        source = sqs.get_queue_url(QueueName=queue.dead_letters)["QueueUrl"]
        target = sqs.get_queue_url(QueueName=queue.name)["QueueUrl"]
        yield queue.name, _move(sqs, source, target, count(sqs, source))


def _move(sqs: "SQSClient", source: str, target: str, at_most: int) -> int:
    moved = 0
    while moved < at_most:
        received = sqs.receive_message(
            QueueUrl=source,
            MaxNumberOfMessages=min(AT_ONCE, at_most - moved),
            VisibilityTimeout=HIDDEN,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        )
        messages = received.get("Messages", [])
        if not messages:
            break
        for message in messages:
            # They are received as they are sent, which the types do not know.
            attributes = cast("dict[str, MessageAttributeValueTypeDef]", message.get("MessageAttributes", {}))
            sqs.send_message(QueueUrl=target, MessageBody=message["Body"], MessageAttributes=attributes)
            sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


@contextlib.contextmanager
def _somewhere() -> Iterator[str]:
    """Choose whose queues are meant, so that the environment leads there; say whose."""
    port = os.environ.get("PORT") or "8000"
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    running = _announced(int(port)) if port.isdecimal() else None
    if endpoint:
        yield endpoint
    elif running:
        with aws.pointing_at(running):
            yield f"the run on port {port}"
    elif os.environ.get("AWS_PROFILE") or os.environ.get("AWS_ACCESS_KEY_ID"):
        yield "AWS, as the environment says"
    else:
        raise CannotStart(
            f"Nothing runs on port {port}. Start it with: PORT={port} make run\n"
            "For other queues set AWS_ENDPOINT_URL, or AWS_PROFILE and AWS_REGION."
        )


def _announced(port: int) -> str | None:
    found = (state.announced(state.folder_of(port, stack)) for stack in state.STACKS)
    return next(filter(None, found), None)

"""Makes the topics, queues and subscriptions of the topology, and SES's sender, as the template would."""

import json
from dataclasses import dataclass
from email.utils import parseaddr
from typing import TYPE_CHECKING

from chalicelib import topology
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ses.client import SESClient
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

A_FORTNIGHT = 14 * 24 * 3600
"""Seconds, the most that SQS keeps a message: dead letters wait for a person."""


@dataclass(frozen=True)
class Made:
    """What was made, by the names that the topology gives."""

    topics: dict[str, str]
    """ARNs."""
    queues: dict[str, str]
    """URLs, those of the dead-letter queues too."""


def make_topology(
    sns: "SNSClient",
    sqs: "SQSClient",
    ses: "SESClient",
    *,
    sender: str = Settings.mail_sender,
    visibility: int | None = None,
) -> Made:
    """Make all of `chalicelib.topology`, and let SES send as `sender`.

    `visibility` is for whoever wants to see a failed message again sooner than the topology says.
    """
    names = dict.fromkeys([*(queue.topic for queue in topology.QUEUES), topology.FACTS_TOPIC])
    topics = {name: sns.create_topic(Name=name)["TopicArn"] for name in names}
    queues: dict[str, str] = {}
    for queue in topology.QUEUES:
        dead = sqs.create_queue(
            QueueName=queue.dead_letters,
            Attributes={"MessageRetentionPeriod": str(A_FORTNIGHT)},
        )["QueueUrl"]
        redrive = {"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": queue.attempts}
        url = sqs.create_queue(
            QueueName=queue.name,
            Attributes={
                "VisibilityTimeout": str(queue.visibility if visibility is None else visibility),
                "RedrivePolicy": json.dumps(redrive),
            },
        )["QueueUrl"]
        attributes = {"RawMessageDelivery": "true"}
        if queue.facts:
            attributes["FilterPolicy"] = json.dumps({"type": list(queue.facts)})
        sns.subscribe(
            TopicArn=topics[queue.topic], Protocol="sqs", Endpoint=_arn(sqs, url), Attributes=attributes
        )
        queues |= {queue.name: url, queue.dead_letters: dead}
    _, address = parseaddr(sender)
    ses.verify_email_identity(EmailAddress=address)
    for kind in ("Bounce", "Complaint"):
        ses.set_identity_notification_topic(
            Identity=address,
            NotificationType=kind,
            SnsTopic=topics[topology.FEEDBACK_TOPIC],
        )
    return Made(topics, queues)


def _arn(sqs: "SQSClient", url: str) -> str:
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return attributes["QueueArn"]

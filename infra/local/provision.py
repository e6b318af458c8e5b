"""Makes the topics, queues and subscriptions of the topology, and SES's sender, as the template would."""

import json
from dataclasses import dataclass
from email.utils import parseaddr
from typing import TYPE_CHECKING

from chalicelib.platform.messaging import queues
from chalicelib.platform.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ses.client import SESClient
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

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
    """Make all of `chalicelib.platform.messaging.queues`, and let SES send as `sender`.

    What is there already is brought to what it should be. `visibility` is for whoever wants to see a
    failed message again sooner than the topology says.
    """
    names = dict.fromkeys([*(queue.topic for queue in queues.QUEUES), queues.DOMAIN_EVENTS_TOPIC])
    topics = {name: sns.create_topic(Name=name)["TopicArn"] for name in names}
    urls: dict[str, str] = {}
    for queue in queues.QUEUES:
        dead = _queue(sqs, queue.dead_letters, {"MessageRetentionPeriod": str(A_FORTNIGHT)})
        redrive = {"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": queue.attempts}
        url = _queue(
            sqs,
            queue.name,
            {
                "VisibilityTimeout": str(queue.visibility if visibility is None else visibility),
                "RedrivePolicy": json.dumps(redrive),
            },
        )
        attributes = {"RawMessageDelivery": "true"}
        if queue.domain_events:
            attributes["FilterPolicy"] = json.dumps({"type": list(queue.domain_events)})
        _subscribe(sns, topics[queue.topic], _arn(sqs, url), attributes)
        urls |= {queue.name: url, queue.dead_letters: dead}
    _, address = parseaddr(sender)
    ses.verify_email_identity(EmailAddress=address)
    for kind in ("Bounce", "Complaint"):
        ses.set_identity_notification_topic(
            Identity=address,
            NotificationType=kind,
            SnsTopic=topics[queues.MAIL_REPORTS_TOPIC],
        )
    return Made(topics, urls)


# Names first, attributes after: SNS and SQS refuse to make again what they have with other attributes.


def _queue(sqs: "SQSClient", name: str, attributes: dict["QueueAttributeNameType", str]) -> str:
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    return url


def _subscribe(sns: "SNSClient", topic: str, queue: str, attributes: dict[str, str]) -> None:
    made = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, ReturnSubscriptionArn=True)
    for name, value in attributes.items():
        sns.set_subscription_attributes(
            SubscriptionArn=made["SubscriptionArn"], AttributeName=name, AttributeValue=value
        )


def _arn(sqs: "SQSClient", url: str) -> str:
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return attributes["QueueArn"]

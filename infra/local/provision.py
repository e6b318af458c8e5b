"""Creates the topology's topics, queues and subscriptions, and the sender in SES, as the template does."""

import json
from dataclasses import dataclass
from email.utils import parseaddr
from typing import TYPE_CHECKING

from chalicelib.notifications import subscriptions
from chalicelib.platform.messaging import queues
from chalicelib.platform.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ses.client import SESClient
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

DEAD_LETTER_RETENTION = 14 * 24 * 3600
"""Seconds, SQS's maximum."""


@dataclass(frozen=True)
class Resources:
    """The topics and queues by their names in the topology."""

    topics: dict[str, str]
    """ARNs."""
    queues: dict[str, str]
    """URLs, including those of the dead-letter queues."""


def make_topology(
    sns: "SNSClient",
    sqs: "SQSClient",
    ses: "SESClient",
    *,
    sender: str = Settings.mail_sender,
    visibility_timeout: int | None = None,
) -> Resources:
    """Create or update everything in `chalicelib.platform.messaging.queues`, and let SES send as `sender`.

    `visibility_timeout` replaces the topology's timeouts, so that failed messages return sooner.
    """
    topics = {name: sns.create_topic(Name=name)["TopicArn"] for name in queues.TOPICS}
    urls: dict[str, str] = {}
    for queue in queues.QUEUES:
        dead_letters = _queue(sqs, queue.dead_letters, {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION)})
        redrive = {"deadLetterTargetArn": _arn(sqs, dead_letters), "maxReceiveCount": queue.attempts}
        url = _queue(
            sqs,
            queue.name,
            {
                "VisibilityTimeout": str(
                    queue.visibility if visibility_timeout is None else visibility_timeout
                ),
                "RedrivePolicy": json.dumps(redrive),
            },
        )
        if queue.topic:
            attributes = {"RawMessageDelivery": "true"}
            if types := subscriptions.types_of(queue):
                attributes["FilterPolicy"] = json.dumps({"type": types})
            _subscribe(sns, topics[queue.topic], _arn(sqs, url), attributes)
        urls |= {queue.name: url, queue.dead_letters: dead_letters}
    _, address = parseaddr(sender)
    ses.verify_email_identity(EmailAddress=address)
    for kind in ("Bounce", "Complaint"):
        ses.set_identity_notification_topic(
            Identity=address,
            NotificationType=kind,
            SnsTopic=topics[queues.MAIL_REPORTS_TOPIC],
        )
    return Resources(topics, urls)


# SNS and SQS refuse to create what exists with other attributes, so attributes are set afterwards.


def _queue(sqs: "SQSClient", name: str, attributes: dict["QueueAttributeNameType", str]) -> str:
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    return url


def _subscribe(sns: "SNSClient", topic: str, queue: str, attributes: dict[str, str]) -> None:
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, ReturnSubscriptionArn=True)
    for name, value in attributes.items():
        sns.set_subscription_attributes(
            SubscriptionArn=subscription["SubscriptionArn"], AttributeName=name, AttributeValue=value
        )


def _arn(sqs: "SQSClient", url: str) -> str:
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return attributes["QueueArn"]

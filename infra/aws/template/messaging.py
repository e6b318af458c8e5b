"""Topics, queues, dead-letter queues and subscriptions of the topology, and the email sender."""

from chalicelib.notifications import subscriptions
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.queues import Queue
from infra.aws.template.cfn import Json, allow, arn, att, logical_name, policy, ref, resource, sub, tls_only

DOMAIN_EVENTS_TOPIC = logical_name(queues.DOMAIN_EVENTS_TOPIC)
BOUNCES_TOPIC = logical_name(queues.MAIL_REPORTS_TOPIC)
MAIL_EVENTS = "MailEvents"
"""SES's configuration set."""

_DEAD_LETTER_RETENTION_SECONDS = 14 * 24 * 3600
"""The maximum of SQS. It counts from the first send, so a dead letter is kept for at least 10 days."""
_MESSAGE_RETENTION_SECONDS = 4 * 24 * 3600


def resources() -> Json:
    result: Json = {"TopicsKey": _key()}
    for name in queues.TOPICS:
        topic = {"TopicName": name, "KmsMasterKeyId": ref("TopicsKey")}
        result[logical_name(name)] = resource("SNS::Topic", topic)
        result[f"{logical_name(name)}Policy"] = _topic_policy(name)
    for queue in queues.QUEUES:
        result |= _queue(queue)
        if queue.topic:
            result |= _subscription(queue, queue.topic)
    return result | _mail()


def queue_name(queue: Queue) -> str:
    """Return the logical name of a queue."""
    return f"{logical_name(queue.name)}Queue"


def dead_letter_queue_name(queue: Queue) -> str:
    return logical_name(queue.dead_letters)


def _key() -> Json:
    """Declare the key that encrypts topics. SES and CloudWatch cannot use the AWS managed key of SNS."""
    return resource(
        "KMS::Key",
        {
            "Description": "Encrypts SNS topics",
            "EnableKeyRotation": True,
            "KeyPolicy": policy(
                allow(
                    "kms:*",
                    "*",
                    Sid="AccountAdministersKey",
                    Principal={"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")},
                ),
                allow(
                    ["kms:GenerateDataKey", "kms:Decrypt"],
                    "*",
                    Sid="ServicesPublish",
                    Principal={"Service": ["ses.amazonaws.com", "cloudwatch.amazonaws.com"]},
                    Condition=_from_this_account(),
                ),
            ),
        },
        removal_policy="Delete",
    )


def _from_this_account() -> Json:
    """Stop other accounts from using our resources through an AWS service (confused deputy)."""
    return {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}}


def _topic_policy(name: str) -> Json:
    """Let SES report bounces to its topic. Functions publish by the permissions of their roles."""
    topic = ref(logical_name(name))
    statements = [tls_only("sns:Publish", topic)]
    if name == queues.MAIL_REPORTS_TOPIC:
        statements.append(
            allow(
                "sns:Publish",
                topic,
                Sid="SesReports",
                Principal={"Service": "ses.amazonaws.com"},
                Condition=_from_this_account(),
            )
        )
    return resource("SNS::TopicPolicy", {"Topics": [topic], "PolicyDocument": policy(*statements)})


def _queue(queue: Queue) -> Json:
    name, dead_letters = queue_name(queue), dead_letter_queue_name(queue)
    statements = [tls_only("sqs:*", att(name))]
    if queue.topic:
        statements.append(
            allow(
                "sqs:SendMessage",
                att(name),
                Sid="TopicSends",
                Principal={"Service": "sns.amazonaws.com"},
                Condition={"ArnEquals": {"aws:SourceArn": ref(logical_name(queue.topic))}},
            )
        )
    return {
        dead_letters: resource(
            "SQS::Queue",
            {
                "QueueName": queue.dead_letters,
                "MessageRetentionPeriod": _DEAD_LETTER_RETENTION_SECONDS,
                "SqsManagedSseEnabled": True,
                # An ARN in full: references in both directions would be a circular dependency.
                "RedriveAllowPolicy": {
                    "redrivePermission": "byQueue",
                    "sourceQueueArns": [arn("sqs", queue.name)],
                },
            },
            removal_policy="Delete",
        ),
        name: resource(
            "SQS::Queue",
            {
                "QueueName": queue.name,
                "VisibilityTimeout": queue.visibility,
                "MessageRetentionPeriod": _MESSAGE_RETENTION_SECONDS,
                "SqsManagedSseEnabled": True,
                "RedrivePolicy": {
                    "deadLetterTargetArn": att(dead_letters),
                    "maxReceiveCount": queue.attempts,
                },
            },
            removal_policy="Delete",
        ),
        f"{name}Policy": resource(
            "SQS::QueuePolicy",
            {"Queues": [ref(name)], "PolicyDocument": policy(*statements)},
        ),
    }


def _subscription(queue: Queue, topic: str) -> Json:
    subscription: Json = {
        "TopicArn": ref(logical_name(topic)),
        "Protocol": "sqs",
        "Endpoint": att(queue_name(queue)),
        "RawMessageDelivery": True,
    }
    if types := subscriptions.types_of(queue):
        subscription["FilterPolicy"] = {"type": list(types)}
    return {f"{logical_name(queue.name)}Subscription": resource("SNS::Subscription", subscription)}


def _mail() -> Json:
    """Declare the email sender, whose configuration set reports bounces and complaints."""
    return {
        MAIL_EVENTS: resource(
            "SES::ConfigurationSet",
            {
                "DeliveryOptions": {"TlsPolicy": "REQUIRE"},
                "ReputationOptions": {"ReputationMetricsEnabled": True},
                # The app suppresses bounces itself, and lifts them when an address works again.
                "SuppressionOptions": {"SuppressedReasons": ["COMPLAINT"]},
            },
        ),
        "MailFeedbackDestination": resource(
            "SES::ConfigurationSetEventDestination",
            {
                "ConfigurationSetName": ref(MAIL_EVENTS),
                "EventDestination": {
                    "Enabled": True,
                    "MatchingEventTypes": ["bounce", "complaint"],
                    "SnsDestination": {"TopicARN": ref(BOUNCES_TOPIC)},
                },
            },
            DependsOn=f"{BOUNCES_TOPIC}Policy",
        ),
        "Sender": resource(
            "SES::EmailIdentity",
            {
                "EmailIdentity": ref("MailIdentity"),
                "ConfigurationSetAttributes": {"ConfigurationSetName": ref(MAIL_EVENTS)},
                "FeedbackAttributes": {"EmailForwardingEnabled": False},
            },
        ),
    }

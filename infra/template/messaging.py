"""Topics, queues, dead letters, subscriptions and the sender of e-mails: all of the topology's table."""

from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.queues import Queue
from infra.template.words import Json, allow, arn, att, policy, ref, resource, sub, titled

FACTS_TOPIC = titled(queues.DOMAIN_EVENTS_TOPIC)
FEEDBACK_TOPIC = titled(queues.MAIL_REPORTS_TOPIC)
MAIL_EVENTS = "MailEvents"
"""SES's configuration set."""

_A_FORTNIGHT = 14 * 24 * 3600
"""Seconds, the most that SQS keeps a message: dead letters wait for a person."""
_FOUR_DAYS = 4 * 24 * 3600
"""A dead letter's time counts from its first sending, so that ten days are left of the fortnight at least."""


def messaging() -> Json:
    topics = dict.fromkeys([queues.DOMAIN_EVENTS_TOPIC, *(queue.topic for queue in queues.QUEUES)])
    made: Json = {"TopicsKey": _key()}
    for name in topics:
        made[titled(name)] = resource("SNS::Topic", {"TopicName": name, "KmsMasterKeyId": ref("TopicsKey")})
        made[f"{titled(name)}Policy"] = _topic_policy(name)
    for queue in queues.QUEUES:
        made |= _queue(queue)
    return made | _mail()


def queue_of(queue: Queue) -> str:
    return f"{titled(queue.name)}Queue"


def dead_letters_of(queue: Queue) -> str:
    return titled(queue.dead_letters)


def _key() -> Json:
    """Make the key of what waits in topics: SES and CloudWatch cannot use the one that AWS has for SNS."""
    return resource(
        "KMS::Key",
        {
            "Description": "Messages in topics",
            "EnableKeyRotation": True,
            "KeyPolicy": policy(
                {
                    **allow("kms:*", "*"),
                    "Sid": "TheAccountDecides",
                    "Principal": {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")},
                },
                {
                    **allow(["kms:GenerateDataKey", "kms:Decrypt"], "*", _of_this_account()),
                    "Sid": "WhoPublishes",
                    "Principal": {"Service": ["ses.amazonaws.com", "cloudwatch.amazonaws.com"]},
                },
            ),
        },
        UpdateReplacePolicy="Delete",
        DeletionPolicy="Delete",
    )


def _of_this_account() -> Json:
    """Keep a service from being used by another account."""
    return {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}}


def _topic_policy(name: str) -> Json:
    """Let SES report to its topic; functions publish by right of their roles. All goes encrypted."""
    topic = ref(titled(name))
    statements = [
        {
            "Sid": "OnlyByTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sns:Publish",
            "Resource": topic,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    if name == queues.MAIL_REPORTS_TOPIC:
        statements.append(
            {
                **allow("sns:Publish", topic, _of_this_account()),
                "Sid": "Reports",
                "Principal": {"Service": "ses.amazonaws.com"},
            }
        )
    return resource("SNS::TopicPolicy", {"Topics": [topic], "PolicyDocument": policy(*statements)})


def _queue(queue: Queue) -> Json:
    name, dead = queue_of(queue), dead_letters_of(queue)
    subscription: Json = {
        "TopicArn": ref(titled(queue.topic)),
        "Protocol": "sqs",
        "Endpoint": att(name),
        "RawMessageDelivery": True,
    }
    if queue.domain_events:
        subscription["FilterPolicy"] = {"type": list(queue.domain_events)}
    return {
        dead: resource(
            "SQS::Queue",
            {
                "QueueName": queue.dead_letters,
                "MessageRetentionPeriod": _A_FORTNIGHT,
                "SqsManagedSseEnabled": True,
                # Named by its name: by reference, each of the two would wait for the other.
                "RedriveAllowPolicy": {
                    "redrivePermission": "byQueue",
                    "sourceQueueArns": [arn("sqs", queue.name)],
                },
            },
            UpdateReplacePolicy="Delete",
            DeletionPolicy="Delete",
        ),
        name: resource(
            "SQS::Queue",
            {
                "QueueName": queue.name,
                "VisibilityTimeout": queue.visibility,
                "MessageRetentionPeriod": _FOUR_DAYS,
                "SqsManagedSseEnabled": True,
                "RedrivePolicy": {"deadLetterTargetArn": att(dead), "maxReceiveCount": queue.attempts},
            },
            UpdateReplacePolicy="Delete",
            DeletionPolicy="Delete",
        ),
        f"{name}Policy": resource(
            "SQS::QueuePolicy",
            {"Queues": [ref(name)], "PolicyDocument": _queue_policy(queue)},
        ),
        f"{titled(queue.name)}Subscription": resource("SNS::Subscription", subscription),
    }


def _queue_policy(queue: Queue) -> Json:
    target = att(queue_of(queue))
    return policy(
        {
            **allow("sqs:SendMessage", target, {"ArnEquals": {"aws:SourceArn": ref(titled(queue.topic))}}),
            "Sid": "FromItsTopic",
            "Principal": {"Service": "sns.amazonaws.com"},
        },
        {
            "Sid": "OnlyByTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": target,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    )


def _mail() -> Json:
    """Make the sender, which reports bounces and complaints of all that it sends."""
    return {
        MAIL_EVENTS: resource(
            "SES::ConfigurationSet",
            {
                "DeliveryOptions": {"TlsPolicy": "REQUIRE"},
                "ReputationOptions": {"ReputationMetricsEnabled": True},
                "SuppressionOptions": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
            },
        ),
        "MailFeedbackDestination": resource(
            "SES::ConfigurationSetEventDestination",
            {
                "ConfigurationSetName": ref(MAIL_EVENTS),
                "EventDestination": {
                    "Enabled": True,
                    "MatchingEventTypes": ["bounce", "complaint"],
                    "SnsDestination": {"TopicARN": ref(FEEDBACK_TOPIC)},
                },
            },
            DependsOn=f"{FEEDBACK_TOPIC}Policy",
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

"""The fake AWS and its topology, used through the app's adapters."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import boto3
import pytest

from chalicelib.adapters.sns import SnsPublisher
from chalicelib.adapters.sqs import SqsQueues
from chalicelib.notifications.subscriptions import types_of
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.ports import TIMES_PUT_BACK, DomainEvent
from infra.local import aws
from infra.local.aws import REGION
from infra.local.provision import make_topology
from infra.local.ses_simulator import Simulator
from infra.local.startup import CHECKOUT
from tests.infra.local.conftest import Cloud, becomes_true

UNKNOWN_TYPE = "weather-changed"  # no queue subscribes to it


def domain_event(kind: str) -> DomainEvent:
    return DomainEvent(
        domain_event_id=uuid4(),
        type=kind,
        version=1,
        subject=uuid4(),
        time=datetime(2027, 5, 1, 18, 30, 15, 250_000, tzinfo=UTC),
        body={"title": "Grüße, „Jazz“"},
    )


def bodies(cloud: Cloud, queue: str, expected: int = 0) -> list[Any]:
    """Receive and delete all messages of a queue, and wait for the expected number of them."""
    url = cloud.resources.queues[queue]
    found: list[Any] = []

    def is_complete() -> bool:
        received = cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in received:
            found.append(json.loads(message["Body"]))
            cloud.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return not received and len(found) >= expected

    becomes_true(is_complete)
    return found


def test_each_queue_receives_only_events_of_its_types(cloud: Cloud) -> None:
    kinds = [UNKNOWN_TYPE, *(kind for queue in queues.QUEUES for kind in types_of(queue))]
    domain_events = {kind: domain_event(kind) for kind in kinds}
    refused = SnsPublisher(cloud.resources.topics[queues.DOMAIN_EVENTS_TOPIC]).publish(
        list(domain_events.values())
    )
    assert refused == set()
    for queue in queues.QUEUES:
        published = [domain_events[kind].as_message() for kind in types_of(queue)]
        received = bodies(cloud, queue.name, expected=len(published))
        assert sorted(received, key=itemgetter("type")) == sorted(published, key=itemgetter("type"))


def test_sent_messages_are_received_unchanged(cloud: Cloud) -> None:
    messages = [
        {"domainEvent": domain_event("event-published").as_message(), "recipients": [str(i)]}
        for i in range(12)
    ]
    SqsQueues().send(queues.EMAIL.name, messages)
    received = bodies(cloud, queues.EMAIL.name, expected=len(messages))
    assert sorted(received, key=lambda message: int(message["recipients"][0])) == messages


def test_a_message_is_put_back_as_a_new_one_after_a_delay(cloud: Cloud) -> None:
    body = '{"name": "unlucky"}'
    SqsQueues().put_back(queues.EMAIL.name, body, times=3, delay=1)
    url = cloud.resources.queues[queues.EMAIL.name]

    assert "Messages" not in cloud.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0)
    (message,) = cloud.sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )["Messages"]
    assert message["Body"] == body
    assert message["MessageAttributes"][TIMES_PUT_BACK]["StringValue"] == "3"
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


@pytest.mark.moto
def test_published_messages_can_be_deleted(cloud: Cloud) -> None:
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415 - slow to import
    from moto.sns.models import sns_backends  # noqa: PLC0415

    topic = cloud.resources.topics[queues.DOMAIN_EVENTS_TOPIC]
    SnsPublisher(topic).publish([domain_event(UNKNOWN_TYPE)])
    published = sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics[topic].sent_notifications
    assert len(published) == 1
    aws.delete_published_messages()
    assert published == []


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("bounce@simulator.amazonses.com", "Bounce"),
        ("complaint+jazz@simulator.amazonses.com", "Complaint"),
        ("bounce@example.com", None),
        ("success@simulator.amazonses.com", None),
    ],
)
def test_the_simulators_addresses_bounce_or_complain(cloud: Cloud, address: str, kind: str | None) -> None:
    Simulator(cloud.sns, cloud.resources.topics[queues.MAIL_REPORTS_TOPIC]).react(address)
    notifications = bodies(cloud, queues.MAIL_REPORTS.name, expected=1 if kind else 0)
    assert [notification["notificationType"] for notification in notifications] == ([kind] if kind else [])
    assert all(address in json.dumps(notification[str(kind).lower()]) for notification in notifications)


def test_a_message_received_too_often_becomes_a_dead_letter(cloud: Cloud) -> None:
    queue = queues.BOOKING_NOTIFICATIONS
    SqsQueues().send(queue.name, [{"poison": True}])
    url = cloud.resources.queues[queue.name]
    received = [
        cloud.sqs.receive_message(QueueUrl=url).get("Messages", []) for _ in range(queue.attempts + 1)
    ]
    assert [len(messages) for messages in received] == [1] * queue.attempts + [0]
    assert bodies(cloud, queue.dead_letters, expected=1) == [{"poison": True}]


def test_queues_have_the_timeouts_and_attempts_of_the_topology(endpoint: str) -> None:
    assert endpoint
    sqs = boto3.client("sqs")
    resources = make_topology(boto3.client("sns"), sqs, boto3.client("ses"))
    for queue in queues.QUEUES:
        url = resources.queues[queue.name]
        seen = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        policy = json.loads(seen["RedrivePolicy"])
        assert seen["VisibilityTimeout"] == str(queue.visibility)
        assert policy["maxReceiveCount"] == queue.attempts
        assert policy["deadLetterTargetArn"].endswith(f":{queue.dead_letters}")
    aws.reset()


def test_a_second_creation_updates_and_subscribes_only_once(cloud: Cloud) -> None:
    again = make_topology(cloud.sns, cloud.sqs, cloud.ses, visibility_timeout=7)
    assert again == cloud.resources
    url = cloud.resources.queues[queues.ACCOUNT_EMAIL.name]
    seen = cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert seen == {"VisibilityTimeout": "7"}
    published = domain_event(types_of(queues.ACCOUNT_EMAIL)[0])
    SnsPublisher(cloud.resources.topics[queues.DOMAIN_EVENTS_TOPIC]).publish([published])
    assert bodies(cloud, queues.ACCOUNT_EMAIL.name, expected=1) == [published.as_message()]


@pytest.mark.moto
def test_the_users_aws_settings_and_proxy_are_not_used(endpoint: str) -> None:
    program = """
import os, boto3
from infra.local import aws
before = dict(os.environ)
with aws.running():
    print(boto3.client("sns").create_topic(Name="domain_events")["TopicArn"])
print(dict(os.environ) == before)
"""
    users_settings = {
        "AWS_PROFILE": "production",
        "AWS_DEFAULT_REGION": "us-gov-west-1",
        "AWS_ENDPOINT_URL_SNS": endpoint.replace("127.0.0.1", "nowhere.invalid"),
        "HTTP_PROXY": "http://proxy.invalid:3128",
        "http_proxy": "http://proxy.invalid:3128",
        "no_proxy": "localhost",
    }
    command = [sys.executable, "-c", program]
    output = subprocess.run(  # noqa: S603
        command, cwd=CHECKOUT, env=users_settings, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert output[0].startswith(f"arn:aws:sns:{REGION}:")
    assert output[1] == "True"


@pytest.mark.moto
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_websites_cannot_read_the_fake_aws(endpoint: str, headers: dict[str, str]) -> None:
    request = Request(f"{endpoint}/moto-api/data.json", headers=headers)  # noqa: S310 (on this machine)

    with pytest.raises(HTTPError, match="403"), urlopen(request):  # noqa: S310 (on this machine)
        pass

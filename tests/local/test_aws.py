"""The promises of the stand-in for AWS and of the topology in it, tried with the app's own adapters."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any
from uuid import uuid4

import boto3
import pytest

from chalicelib.adapters.sns import SnsPublisher
from chalicelib.adapters.sqs import SqsQueues
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.ports import DomainEvent
from infra.local import aws
from infra.local.aws import REGION
from infra.local.installation import CHECKOUT
from infra.local.provision import make_topology
from infra.local.simulator import Simulator
from tests.local.conftest import Cloud, becomes_true

UNHEARD_OF = "weather-changed"  # a domain event that nobody listens to


def domain_event(kind: str) -> DomainEvent:
    return DomainEvent(
        domain_event_id=uuid4(),
        type=kind,
        version=1,
        subject=uuid4(),
        time=datetime(2027, 5, 1, 18, 30, 15, 250_000, tzinfo=UTC),
        body={"title": "Grüße, „Jazz“"},
    )


def bodies(cloud: Cloud, queue: str, coming: int = 0) -> list[Any]:
    """Take all messages out of a queue, and wait for those that are still coming."""
    url = cloud.made.queues[queue]
    taken: list[Any] = []

    def are_all() -> bool:
        received = cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in received:
            taken.append(json.loads(message["Body"]))
            cloud.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return not received and len(taken) >= coming

    becomes_true(are_all)
    return taken


def test_each_fact_is_in_the_queues_that_listen_to_its_type_and_in_no_other(cloud: Cloud) -> None:
    kinds = [UNHEARD_OF, *(kind for queue in queues.QUEUES for kind in queue.domain_events)]
    domain_events = {
        kind: domain_event(kind) for kind in kinds
    }  # once, though several queues may listen to it
    refused = SnsPublisher(cloud.made.topics[queues.DOMAIN_EVENTS_TOPIC]).publish(
        list(domain_events.values())
    )
    assert refused == set()
    for queue in queues.QUEUES:
        told = [domain_events[kind].as_message() for kind in queue.domain_events]
        received = bodies(cloud, queue.name, coming=len(told))
        assert sorted(received, key=itemgetter("type")) == sorted(told, key=itemgetter("type"))


def test_what_a_function_sends_is_in_the_queue_as_it_was(cloud: Cloud) -> None:
    messages = [
        {"domainEvent": domain_event("event-published").as_message(), "people": [str(i)]} for i in range(12)
    ]
    SqsQueues().send(queues.EMAIL.name, messages)
    received = bodies(cloud, queues.EMAIL.name, coming=len(messages))
    assert sorted(received, key=lambda message: int(message["people"][0])) == messages


@pytest.mark.moto
def test_what_was_published_is_not_kept_for_ever(cloud: Cloud) -> None:
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415 - slow to import
    from moto.sns.models import sns_backends  # noqa: PLC0415

    topic = cloud.made.topics[queues.DOMAIN_EVENTS_TOPIC]
    SnsPublisher(topic).publish([domain_event(UNHEARD_OF)])
    kept = sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics[topic].sent_notifications
    assert len(kept) == 1
    aws.trim()
    assert kept == []


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("bounce@simulator.amazonses.com", "Bounce"),
        ("complaint+jazz@simulator.amazonses.com", "Complaint"),
        ("bounce@example.com", None),
        ("success@simulator.amazonses.com", None),
    ],
)
def test_the_addresses_that_ses_has_for_it_bounce_or_complain(
    cloud: Cloud, address: str, kind: str | None
) -> None:
    Simulator(cloud.sns, cloud.made.topics[queues.MAIL_REPORTS_TOPIC]).react(address)
    reports = bodies(cloud, queues.MAIL_REPORTS.name, coming=1 if kind else 0)
    assert [report["notificationType"] for report in reports] == ([kind] if kind else [])
    assert all(address in json.dumps(report[str(kind).lower()]) for report in reports)


def test_a_message_that_is_received_too_often_is_with_the_dead_letters(cloud: Cloud) -> None:
    queue = queues.BOOKING_NOTIFICATIONS
    SqsQueues().send(queue.name, [{"poison": True}])
    url = cloud.made.queues[queue.name]
    received = [
        cloud.sqs.receive_message(QueueUrl=url).get("Messages", []) for _ in range(queue.attempts + 1)
    ]
    assert [len(messages) for messages in received] == [1] * queue.attempts + [0]
    assert bodies(cloud, queue.dead_letters, coming=1) == [{"poison": True}]


def test_without_a_wish_queues_hide_and_try_as_the_topology_says(endpoint: str) -> None:
    assert endpoint
    sqs = boto3.client("sqs")
    made = make_topology(boto3.client("sns"), sqs, boto3.client("ses"))
    for queue in queues.QUEUES:
        url = made.queues[queue.name]
        seen = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        policy = json.loads(seen["RedrivePolicy"])
        assert seen["VisibilityTimeout"] == str(queue.visibility)
        assert policy["maxReceiveCount"] == queue.attempts
        assert policy["deadLetterTargetArn"].endswith(f":{queue.dead_letters}")
    aws.forget()


def test_what_is_made_again_is_as_it_should_be_and_no_fact_comes_twice(cloud: Cloud) -> None:
    again = make_topology(cloud.sns, cloud.sqs, cloud.ses, visibility=7)
    assert again == cloud.made
    url = cloud.made.queues[queues.EMAIL.name]
    seen = cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert seen == {"VisibilityTimeout": "7"}
    told = domain_event(queues.EMAIL.domain_events[0])
    SnsPublisher(cloud.made.topics[queues.DOMAIN_EVENTS_TOPIC]).publish([told])
    assert bodies(cloud, queues.EMAIL.name, coming=1) == [told.as_message()]


@pytest.mark.moto
def test_whatever_aws_and_proxy_a_person_has_only_the_stand_in_is_used(endpoint: str) -> None:
    program = """
import os, boto3
from infra.local import aws
before = dict(os.environ)
with aws.running():
    print(boto3.client("sns").create_topic(Name="domain_events")["TopicArn"])
print(dict(os.environ) == before)
"""
    persons_own = {
        "AWS_PROFILE": "production",
        "AWS_DEFAULT_REGION": "us-gov-west-1",
        "AWS_ENDPOINT_URL_SNS": endpoint.replace("127.0.0.1", "nowhere.invalid"),
        "HTTP_PROXY": "http://proxy.invalid:3128",
        "http_proxy": "http://proxy.invalid:3128",
        "no_proxy": "localhost",
    }
    command = [sys.executable, "-c", program]
    said = subprocess.run(  # noqa: S603
        command, cwd=CHECKOUT, env=persons_own, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said[0].startswith(f"arn:aws:sns:{REGION}:")
    assert said[1] == "True"

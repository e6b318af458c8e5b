"""The topology of the template, really made, and each function's role against what the function calls."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parseaddr
from fnmatch import fnmatchcase
from threading import current_thread
from typing import Any
from uuid import UUID

import boto3
import pytest
from botocore.model import OperationModel
from sqlalchemy import func, select

import app
from chalicelib.events import publishing as events
from chalicelib.notifications.models import deliveries, suppressed_addresses
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.outbox import outbox
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra import functions
from infra.local import aws, triggers
from infra.local.pollers import count
from infra.local.simulator import Simulator
from infra.template.messaging import FEEDBACK_TOPIC, queue_of
from infra.template.words import role_of
from tests.client import Client
from tests.conftest import SECRET
from tests.infra.stack import ACCOUNT, REGION, Stack
from tests.infra.test_template import GIVEN
from tests.local.conftest import becomes_true

ACTIONS = {
    "PublishBatch": "sns:Publish",
    "GetQueueUrl": "sqs:GetQueueUrl",
    "SendMessageBatch": "sqs:SendMessage",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "SendRawEmail": "ses:SendRawEmail",
}
"""What AWS asks a role for, by the operation that is called (Service Authorization Reference)."""
BY_AWS = {
    *("logs:CreateLogStream", "logs:PutLogEvents"),
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
    *("kms:GenerateDataKey", "kms:Decrypt"),
    *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
}
"""What Lambda and SNS do with a function's role, and no code of ours calls."""
WITHOUT_RESOURCES = {
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
}
"""Actions for which AWS knows no resource but `*`."""

Call = tuple[str, str, str]
"""A function, an action and a resource."""


@dataclass
class Recorder:
    """Notes what is called in the threads of triggers, which are named after their functions."""

    calls: set[Call] = field(default_factory=set)

    def note(self, params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        kind, _space, function = current_thread().name.partition(" ")
        if kind == "trigger":
            self.calls.add((function, ACTIONS[model.name], resource(params)))


def resource(params: dict[str, Any]) -> str:
    if "TopicArn" in params:
        return str(params["TopicArn"])
    if "Source" in params:
        domain = parseaddr(params["Source"])[1].partition("@")[2]
        return f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/{domain}"
    queue = params.get("QueueName") or params["QueueUrl"].rpartition("/")[2]
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"


@pytest.fixture(scope="module")
def stack(made: Any) -> Iterator[Stack]:
    """A stack whose topics, queues, subscriptions and sender are there, in a stand-in for AWS."""
    with aws.running():
        stack = Stack(made("prod"), GIVEN)
        make_topics_and_queues(stack)
        yield stack


def make_topics_and_queues(stack: Stack) -> None:
    """Make them of their properties, in the order of who needs whom."""
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    for name, topic in stack.of_type("AWS::SNS::Topic").items():
        arn = sns.create_topic(Name=topic.get("TopicName", name))["TopicArn"]
        stack.known[name, "Ref"] = arn
    names = sorted(stack.of_type("AWS::SQS::Queue"), key=lambda name: not name.endswith("DeadLetters"))
    for name in names:
        queue = stack.of_type("AWS::SQS::Queue")[name]
        attributes = {key: text(value) for key, value in queue.items() if key != "QueueName"}
        url = sqs.create_queue(QueueName=queue["QueueName"], Attributes=attributes)["QueueUrl"]  # type: ignore[arg-type]
        stack.known[name, "Ref"] = url
        stack.known[name, "Arn"] = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue['QueueName']}"
    for policy in stack.of_type("AWS::SQS::QueuePolicy").values():
        for url in policy["Queues"]:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": text(policy["PolicyDocument"])})
    for policy in stack.of_type("AWS::SNS::TopicPolicy").values():
        for arn in policy["Topics"]:
            document = text(policy["PolicyDocument"])
            sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=document)
    for made in stack.of_type("AWS::SNS::Subscription").values():
        attributes = {key: text(made[key]) for key in ("RawMessageDelivery", "FilterPolicy") if key in made}
        sns.subscribe(
            TopicArn=made["TopicArn"],
            Protocol=made["Protocol"],
            Endpoint=made["Endpoint"],
            Attributes=attributes,
        )
    for sender in stack.of_type("AWS::SES::EmailIdentity").values():
        boto3.client("ses").verify_domain_identity(Domain=sender["EmailIdentity"])


def text(value: Any) -> str:
    """Write a property as the services' own calls have it."""
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


@pytest.fixture(scope="module")
def environments(stack: Stack) -> dict[str, dict[str, str]]:
    lambdas = stack.of_type("AWS::Serverless::Function")
    return {name: part["Environment"]["Variables"] for name, part in lambdas.items()}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A recorder of the clients that are made from now on."""
    recorder = Recorder()
    boto3.setup_default_session()
    session = boto3.DEFAULT_SESSION
    assert session
    session.events.register("before-parameter-build", recorder.note)
    yield recorder
    boto3.setup_default_session()


def allowed(stack: Stack, function: functions.Function) -> Iterator[tuple[str, str]]:
    """What a role allows: actions with patterns of resources."""
    role = stack.of_type("AWS::IAM::Role")[role_of(function)]
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                for action in listed(statement["Action"]):
                    yield from ((action, pattern) for pattern in listed(statement["Resource"]))


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_no_role_allows_all_actions_or_all_resources_where_one_can_be_named(stack: Stack) -> None:
    for function in functions.of(app.app):
        rights = set(allowed(stack, function))
        assert all("*" not in action for action, _ in rights)
        assert {action for action, pattern in rights if pattern == "*"} <= WITHOUT_RESOURCES


def test_roles_allow_what_the_functions_call_and_nothing_else(
    stack: Stack, environments: dict[str, dict[str, str]], recorder: Recorder, database_url: str
) -> None:
    settings = Settings(
        database_url=database_url,
        jwt_secret=SECRET,
        database_pool_size=16,
        domain_events_topic_arn=environments["RelayOutbox"]["DOMAIN_EVENTS_TOPIC_ARN"],
        mail_sender=environments["SendEmail"]["MAIL_SENDER"],
        public_url=environments["SendEmail"]["PUBLIC_URL"],
    )
    sqs = boto3.client("sqs")
    with using(Wiring(settings)) as wiring, triggers.running(app.app, sqs, long_poll=0):
        client = Client(wiring)
        cause_every_domain_event(client)
        Simulator(boto3.client("sns"), stack.known[FEEDBACK_TOPIC, "Ref"]).react(
            "bounce@simulator.amazonses.com"
        )

        def all_is_done() -> bool:
            with wiring.database.transaction() as session:
                domain_events = session.scalar(select(func.count()).select_from(outbox))
                sent = session.scalar(select(func.count()).select_from(deliveries))
                suppressed = session.scalar(select(func.count()).select_from(suppressed_addresses))
            return not domain_events and sent == EMAILS and suppressed == 1

        assert becomes_true(all_is_done)
        urls = [stack.known[queue_of(queue), "Ref"] for queue in queues.QUEUES]
        assert becomes_true(lambda: not any(count(sqs, url, hidden=True) for url in urls))

    # Here the functions share a process, where the first who asks for a queue's address asks for all.
    looked_up = any(action == "sqs:GetQueueUrl" for _, action, _ in recorder.calls)
    for function in functions.of(app.app):
        rights = set(allowed(stack, function))
        called = {(action, arn) for name, action, arn in recorder.calls if name == function.name}
        for action, arn in called:
            assert any(action == known and fnmatchcase(arn, pattern) for known, pattern in rights)
        used = {action for action, _ in called}
        if "sqs:SendMessage" in used and looked_up:
            used.add("sqs:GetQueueUrl")
        assert {action for action, _ in rights} - BY_AWS <= used, function.name


EMAILS = 9
"""Three welcomes, as many proofs of an address, a new event, a sale that starts, and a place."""


def cause_every_domain_event(client: Client) -> None:
    host, follower, stranger = client.host(), client.attendee(), client.attendee()
    assert client("PUT", f"/users/{host.user_id}/follow", by=follower).status < 300
    event = client.event(host)
    assert client("PUT", f"/events/{event['eventId']}/interest", by=follower).status < 300
    assert client.book(stranger, event["eventId"]).status == 201
    with client.wiring.database.transaction() as session:
        events.record_sale_started(session, UUID(event["eventId"]), datetime.now(UTC))

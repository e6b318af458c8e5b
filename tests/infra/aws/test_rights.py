"""Each function's role allows the calls that the function makes, and no others.

The topics and queues of the template are created in moto, and the functions' AWS calls are recorded.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parseaddr
from fnmatch import fnmatchcase
from threading import current_thread
from typing import Any, ClassVar
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
from infra.aws import function_table
from infra.aws.template.messaging import BOUNCES_TOPIC, dead_letter_queue_name, queue_name
from infra.local import aws, triggers
from infra.local.lambda_runner import Context
from infra.local.pollers import count
from infra.local.ses_simulator import Simulator
from tests.client import Client
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET
from tests.documents.certificates import PASS_TYPE, wallet_certificate
from tests.infra.aws.stack import ACCOUNT, REGION, Stack
from tests.infra.aws.test_template import GIVEN
from tests.infra.local.conftest import becomes_true

ACTIONS = {
    "PublishBatch": "sns:Publish",
    "GetQueueUrl": "sqs:GetQueueUrl",
    "SendMessageBatch": "sqs:SendMessage",
    "SendMessage": "sqs:SendMessage",
    "DeleteMessage": "sqs:DeleteMessage",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "SendRawEmail": "ses:SendRawEmail",
}
"""The permission that AWS requires, by operation (Service Authorization Reference)."""
PLATFORM_ACTIONS = {
    *("logs:CreateLogStream", "logs:PutLogEvents"),
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
    *("kms:GenerateDataKey", "kms:Decrypt"),
    *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
}
"""Actions that Lambda and SNS take with a function's role and our code does not."""
WITHOUT_RESOURCES = {
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
}
"""Actions without resource-level permissions."""

SECRETS = {
    "jwt_secret": "JWT_SECRET",
    "link_secret": "LINK_SECRET",
    "ticket_secret": "TICKET_SECRET",
    "previous_ticket_secret": "TICKET_SECRET_PREVIOUS",
    "stripe_webhook_secrets": "STRIPE_WEBHOOK_SECRETS",
}
"""Variables by setting. Stripe's key is not needed here, because all events are free."""

Call = tuple[str, str, str]
"""A function, an action and a resource."""


class WatchedSettings(Settings):
    """Settings that record which trigger uses which secret."""

    used: ClassVar[set[tuple[str, str]]] = set()

    def __getattribute__(self, name: str) -> Any:
        kind, _space, function = current_thread().name.partition(" ")
        if kind == "trigger" and name in SECRETS:
            self.used.add((function, SECRETS[name]))
        return super().__getattribute__(name)


@dataclass
class Recorder:
    """Records AWS calls in the threads of triggers, which are named after their functions."""

    calls: set[Call] = field(default_factory=set)

    def record(self, params: dict[str, Any], model: OperationModel, **_: Any) -> None:
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
def stack(build_template: Any) -> Iterator[Stack]:
    """A stack whose topics, queues, subscriptions and sender exist in moto."""
    with aws.running():
        stack = Stack(build_template("prod"), {**GIVEN, "PreviousTicketSecret": "accept"})
        create_topics_and_queues(stack)
        yield stack


def create_topics_and_queues(stack: Stack) -> None:
    """Create them from their properties, dependencies first."""
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
    for subscription in stack.of_type("AWS::SNS::Subscription").values():
        attributes = {
            key: text(subscription[key])
            for key in ("RawMessageDelivery", "FilterPolicy")
            if key in subscription
        }
        sns.subscribe(
            TopicArn=subscription["TopicArn"],
            Protocol=subscription["Protocol"],
            Endpoint=subscription["Endpoint"],
            Attributes=attributes,
        )
    for name, sender in stack.of_type("AWS::SES::EmailIdentity").items():
        stack.known[name, "Ref"] = sender["EmailIdentity"]
        boto3.client("ses").verify_domain_identity(Domain=sender["EmailIdentity"])


def text(value: Any) -> str:
    """Convert a property to the form that the services' API expects."""
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


@pytest.fixture(scope="module")
def environments(stack: Stack) -> dict[str, dict[str, str]]:
    lambdas = stack.of_type("AWS::Serverless::Function")
    return {name: part["Environment"]["Variables"] for name, part in lambdas.items()}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Records the calls of clients that are created from now on."""
    recorder = Recorder()
    boto3.setup_default_session()
    session = boto3.DEFAULT_SESSION
    assert session
    session.events.register("before-parameter-build", recorder.record)
    yield recorder
    boto3.setup_default_session()


def permissions(stack: Stack, function: function_table.Function) -> Iterator[tuple[str, str]]:
    """List the actions that a role allows, with resource patterns."""
    role = stack.of_type("AWS::IAM::Role")[function.role]
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                for action in as_list(statement["Action"]):
                    yield from ((action, pattern) for pattern in as_list(statement["Resource"]))


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_no_role_allows_all_actions_or_resources(stack: Stack) -> None:
    for function in function_table.deployed(app.app):
        permitted = set(permissions(stack, function))
        assert all("*" not in action for action, _ in permitted)
        assert {action for action, pattern in permitted if pattern == "*"} <= WITHOUT_RESOURCES


def test_roles_allow_exactly_what_the_functions_call(
    stack: Stack, environments: dict[str, dict[str, str]], recorder: Recorder, database_url: str
) -> None:
    settings = WatchedSettings(
        database_url=database_url,
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
        ticket_secret=TICKET_SECRET,
        database_pool_size=16,
        domain_events_topic_arn=environments["RelayOutbox"]["DOMAIN_EVENTS_TOPIC_ARN"],
        mail_sender=environments["SendEmail"]["MAIL_SENDER"],
        public_url=environments["SendEmail"]["PUBLIC_URL"],
    )
    sqs = boto3.client("sqs")
    with using(Wiring(settings)) as wiring, triggers.running(app.app, sqs, long_poll=0):
        client = Client(wiring, verified=True)
        cause_domain_events(client)
        Simulator(boto3.client("sns"), stack.known[BOUNCES_TOPIC, "Ref"]).react(
            "bounce@simulator.amazonses.com"
        )

        def all_is_processed() -> bool:
            with wiring.database.transaction() as connection:
                waiting = connection.scalar(select(func.count()).select_from(outbox))
                sent = connection.scalar(select(func.count()).select_from(deliveries))
                suppressed = connection.scalar(select(func.count()).select_from(suppressed_addresses))
            return not waiting and sent == EMAILS and suppressed == 1

        assert becomes_true(all_is_processed)
        urls = [stack.known[queue_name(queue), "Ref"] for queue in queues.QUEUES]
        assert becomes_true(lambda: not any(count(sqs, url, hidden=True) for url in urls))
        redrive_all(stack)

    given = {
        (function.name, name)
        for function in function_table.deployed(app.app)
        for name in environments[function.logical_name]
    }
    assert {("send_email", "LINK_SECRET"), ("send_account_email", "LINK_SECRET")} <= settings.used <= given

    # The functions share a process here, so only the first to send looks up the URL of a queue.
    looks_up = any(action == "sqs:GetQueueUrl" for _, action, _ in recorder.calls)
    for function in function_table.deployed(app.app):
        permitted = set(permissions(stack, function))
        called = {(action, arn) for name, action, arn in recorder.calls if name == function.name}
        for action, arn in called:
            assert any(action == known and fnmatchcase(arn, pattern) for known, pattern in permitted)
        used = {action for action, _ in called}
        if "sqs:SendMessage" in used and looks_up:
            used.add("sqs:GetQueueUrl")
        if function.queue:  # it puts messages back in an outage
            used |= {"sqs:GetQueueUrl", "sqs:SendMessage"}
        assert {action for action, _ in permitted} - PLATFORM_ACTIONS <= used, function.name


def redrive_all(stack: Stack) -> None:
    """Redrive a dead letter of each queue, as the function `operate` does."""
    sqs = boto3.client("sqs")
    for queue in queues.QUEUES:
        url = stack.known[dead_letter_queue_name(queue), "Ref"]
        sqs.send_message(QueueUrl=url, MessageBody="{}")

    def operate() -> None:
        for queue in queues.QUEUES:
            request = {
                "operation": "redrive",
                "arguments": {"queue": queue.name},
                "who": "ana",
                "why": "test",
            }
            app.operate(request, Context("operate", 300, threading.Event()))

    thread = threading.Thread(target=operate, name="trigger operate")
    thread.start()
    thread.join()
    assert all(count(sqs, stack.known[dead_letter_queue_name(queue), "Ref"]) == 0 for queue in queues.QUEUES)


EMAILS = 7
"""3 address verifications, which are not due any more, a reset, a new event, a sale start and a booking."""


def cause_domain_events(client: Client) -> None:
    host, follower, stranger = client.host(), client.attendee(), client.attendee()
    assert client("PUT", f"/users/{host.user_id}/follow", by=follower).status < 300
    event = client.event(host)
    assert client("PUT", f"/events/{event['eventId']}/interest", by=follower).status < 300
    assert client.book(stranger, event["eventId"]).status == 201
    assert client("POST", "/auth/forgot-password", {"email": stranger.email}).status == 202
    with client.wiring.database.transaction() as connection:
        events.record_sale_started(connection, UUID(event["eventId"]), datetime.now(UTC))


def test_the_api_may_read_the_certificate_of_passes(build_template: Any, stack: Stack) -> None:
    secret = boto3.client("secretsmanager").create_secret(Name="wallet", SecretString=wallet_certificate())
    given = Stack(build_template("prod"), {**GIVEN, "WalletSecret": secret["ARN"]})
    environment = given.of_type("AWS::Serverless::Function")["APIHandler"]["Environment"]["Variables"]
    settings = Settings(
        database_url="postgresql+pg8000://u@localhost/d", wallet_certificate=environment["WALLET_CERTIFICATE"]
    )

    signer = Wiring(settings).pass_signer

    assert signer is not None
    assert signer.pass_type_id == PASS_TYPE
    allowed = ("secretsmanager:GetSecretValue", secret["ARN"])
    holders = [
        function.name
        for function in function_table.deployed(app.app)
        if allowed in permissions(given, function)
    ]
    assert holders == [function_table.API]
    assert allowed not in permissions(stack, function_table.TABLE[0])

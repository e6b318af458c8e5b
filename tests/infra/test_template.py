"""The template: without a fault for cfn-lint, and with what each function, queue and answer needs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import app
from chalicelib.adapters.stripe import API_VERSION
from chalicelib.payments import stripe_events
from chalicelib.platform.messaging import queues
from infra import functions
from infra.template.alarms import TOPIC
from infra.template.functions import RUNTIME
from infra.template.words import logs_of, role_of, titled
from tests.infra.stack import Stack

GIVEN = {
    "AlarmAddress": "ops@example.com",
    "MailIdentity": "example.com",
    "MailSender": "Event booking <no-reply@example.com>",
    "PublicUrl": "https://api.example.com",
}
LARGEST = 10**6
"""Bytes of a template that CloudFormation reads from S3."""
RESPONSE_TYPES = {
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
}
"""All that API Gateway names in its guide."""


def test_cfn_lint_finds_nothing(template: dict[str, Any], tmp_path: Path) -> None:
    written = tmp_path / "template.json"
    written.write_text(json.dumps(template))

    linted = subprocess.run(  # noqa: S603
        [Path(sys.executable).with_name("cfn-lint"), written, "--regions", "eu-central-1"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (linted.stdout, linted.stderr, linted.returncode) == ("", "", 0)


def test_cloudformation_takes_a_template_of_this_size(template: dict[str, Any]) -> None:
    assert len(json.dumps(template, indent=4)) < LARGEST  # as `aws cloudformation package` writes it
    assert len(template["Resources"]) < 400  # of 500; SAM makes a few more of them


def test_stages_differ_in_nothing_but_defaults_and_names(made: Any) -> None:
    dev, prod = (
        json.loads(json.dumps(made(stage)).replace(f"stage={stage}", "")) for stage in ("dev", "prod")
    )
    for template in (dev, prod):
        for parameter in template["Parameters"].values():
            parameter.pop("Default", None)
    assert dev == prod


def test_each_function_is_the_apps_and_has_a_role_a_log_and_the_newest_runtime(
    resources: dict[str, Any],
) -> None:
    lambdas = {name for name, part in resources.items() if part["Type"] == "AWS::Serverless::Function"}
    present = functions.of(app.app)
    assert lambdas == {function.logical_name for function in present}
    for function in present:
        properties = resources[function.logical_name]["Properties"]
        module, _, attribute = properties["Handler"].partition(".")
        assert module == "app"
        assert callable(getattr(app, attribute))
        assert (properties["Runtime"], properties["Architectures"]) == (RUNTIME, ["arm64"])
        assert properties["Tracing"] == "Active"
        assert properties["Role"] == {"Fn::GetAtt": [role_of(function), "Arn"]}
        assert properties["LoggingConfig"] == {"LogGroup": {"Ref": logs_of(function)}}
        assert resources[logs_of(function)]["Properties"]["RetentionInDays"]
    roles = [resources[function.logical_name]["Properties"]["Role"]["Fn::GetAtt"][0] for function in present]
    assert len(set(roles)) == len(roles)


def test_each_queue_of_the_topology_is_there_with_dead_letters_alarms_and_partial_failures(
    resources: dict[str, Any],
) -> None:
    names = {
        part["Properties"]["QueueName"] for part in resources.values() if part["Type"] == "AWS::SQS::Queue"
    }
    assert names == {name for queue in queues.QUEUES for name in (queue.name, queue.dead_letters)}
    for function in functions.of(app.app):
        if function.queue:
            (event,) = resources[function.logical_name]["Properties"]["Events"].values()
            assert event["Type"] == "SQS"
            assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            assert event["Properties"]["ScalingConfig"] == {"MaximumConcurrency": function.at_once}
            assert event["Properties"]["BatchSize"] == function.queue.batch_size
    for queue in queues.QUEUES:
        assert f"{titled(queue.name)}AgeAlarm" in resources
        assert f"{titled(queue.name)}DeadLettersAlarm" in resources


def test_every_alarm_is_told(resources: dict[str, Any]) -> None:
    alarms = [part["Properties"] for part in resources.values() if part["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) > 2 * len(functions.of(app.app))
    assert all(alarm["AlarmActions"] == [{"Ref": TOPIC}] for alarm in alarms)


def test_the_outbox_alarm_rings_also_when_nothing_is_measured(resources: dict[str, Any]) -> None:
    alarm = resources["OutboxAgeAlarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"]) == ("EventBooking", "OutboxAge", [])
    assert alarm["TreatMissingData"] == "breaching"


def test_what_the_gateway_answers_by_itself_is_a_problem_document(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    api = stack.of_type("AWS::Serverless::Api")["RestAPI"]
    responses = api["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    assert set(responses) == RESPONSE_TYPES
    for answer in responses.values():
        problem = json.loads(answer["responseTemplates"]["application/json"])
        headers = answer["responseParameters"]
        assert problem["type"].startswith("https://api.example.com/docs#")
        assert problem["title"]
        assert problem["status"] == int(answer["statusCode"])
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
        assert headers["gatewayresponse.header.X-Request-Id"] == "context.requestId"
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == "404"
    assert responses["THROTTLED"]["responseParameters"]["gatewayresponse.header.Retry-After"] == "'1'"


def test_each_path_hands_methods_that_it_does_not_have_to_the_app(resources: dict[str, Any]) -> None:
    paths = resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    assert set(paths) == set(app.app.routes)
    assert all("x-amazon-apigateway-any-method" in methods for methods in paths.values())


def test_bookings_payments_and_webhooks_have_limits_apart_from_the_crowd_of_readers(
    template: dict[str, Any],
) -> None:
    settings = Stack(template, GIVEN).of_type("AWS::Serverless::Api")["RestAPI"]["MethodSettings"]
    limits = {
        (setting["HttpMethod"], setting["ResourcePath"]): (
            setting["ThrottlingRateLimit"],
            setting["ThrottlingBurstLimit"],
        )
        for setting in settings
    }
    assert all(rate > 0 and burst > 0 for rate, burst in limits.values())
    assert limits.pop(("*", "/*"))
    assert set(limits) == {
        ("POST", "/~1bookings"),
        ("POST", "/~1bookings~1{bookingId}~1payment"),
        ("POST", "/~1webhooks~1stripe"),
    }
    assert all(method in app.app.routes[path[1:].replace("~1", "/")] for method, path in limits)


def test_no_more_bookings_and_webhooks_are_let_in_at_once_than_functions_may_run(made: Any) -> None:
    limits = made("prod")["Mappings"]["Stages"]["prod"]
    at_once = {function.name: function.at_once for function in functions.TABLE}
    assert limits["BookingsAtOnce"] <= at_once[functions.API]
    assert limits["WebhooksAtOnce"] <= at_once["confirm_payments"]


def test_webhooks_are_answered_by_a_function_of_their_own_and_all_else_by_the_apis(
    template: dict[str, Any],
) -> None:
    stack = Stack(template, GIVEN)
    paths = stack.of_type("AWS::Serverless::Api")["RestAPI"]["DefinitionBody"]["paths"]
    called = {
        (method, path): re.findall(r"/functions/(\w+)\.Arn/", integration["uri"])
        for path, methods in paths.items()
        for method, operation in methods.items()
        if (integration := operation["x-amazon-apigateway-integration"])["type"] == "aws_proxy"
    }
    assert called.pop(("post", "/webhooks/stripe")) == ["ConfirmPayments"]
    assert ("x-amazon-apigateway-any-method", "/webhooks/stripe") in called
    assert {function for functions in called.values() for function in functions} == {"APIHandler"}
    let_in = {part["FunctionName"]: part for part in stack.of_type("AWS::Lambda::Permission").values()}
    assert set(let_in) == {"APIHandler.Ref", "ConfirmPayments.Ref"}
    assert let_in["ConfirmPayments.Ref"] == {
        **let_in["APIHandler.Ref"],
        "FunctionName": "ConfirmPayments.Ref",
    }


def test_the_dashboard_and_the_access_log_are_json(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    assert len(json.loads(dashboard["DashboardBody"])["widgets"]) > 10
    line = stack.of_type("AWS::Serverless::Api")["RestAPI"]["AccessLogSetting"]["Format"]
    assert json.loads(line)["requestId"] == "$context.requestId"


def test_a_function_has_no_secret_that_it_has_no_use_for(template: dict[str, Any]) -> None:
    stack = Stack(template, {**GIVEN, "StripeSecret": "arn:stripe"})
    lambdas = stack.of_type("AWS::Serverless::Function")
    for function in functions.of(app.app):
        variables = lambdas[function.logical_name]["Environment"]["Variables"]
        assert ("STRIPE_API_KEY" in variables) == (function.pays or function.listens_to_stripe)
        assert ("STRIPE_WEBHOOK_SECRETS" in variables) == function.listens_to_stripe
        assert ("DOMAIN_EVENTS_TOPIC_ARN" in variables) == function.publishes
        assert ("MAIL_SENDER" in variables) == function.mails
        assert variables["DATABASE_URL"] == (
            "postgresql+pg8000://booking:{{resolve:secretsmanager:DatabaseSecret.Ref:SecretString:password}}"
            "@DatabaseProxy.Endpoint:5432/booking"
        )
        assert "JWT_SECRET_PREVIOUS" not in variables


def test_production_is_kept_from_harm(made: Any) -> None:
    stack = Stack(made("prod"), GIVEN)
    (database,) = stack.of_type("AWS::RDS::DBInstance").values()
    assert database["MultiAZ"] is True
    assert database["DeletionProtection"] == "true"
    assert database["BackupRetentionPeriod"] >= 7
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    assert len(stack.of_type("AWS::EC2::NatGateway")) == 2


def test_an_operator_chooses_the_server_and_the_way_out(made: Any) -> None:
    chosen = {
        **GIVEN,
        "DatabaseKind": "aurora-serverless",
        "StandbyDatabase": "yes",
        "Egress": "nat-instance",
    }
    stack = Stack(made("prod"), chosen)
    assert set(stack.of_type("AWS::RDS::DBInstance")) == {"DatabaseWriter", "DatabaseStandby"}
    assert set(stack.of_type("AWS::RDS::DBCluster")) == {"DatabaseCluster"}
    assert stack.of_type("AWS::EC2::NatGateway") == {}
    assert set(stack.of_type("AWS::EC2::Instance")) == {"NatInstance"}
    for route in ("PrivateRouteA", "PrivateRouteB"):
        assert stack.of_type("AWS::EC2::Route")[route]["InstanceId"] == "NatInstance.Ref"
    assert [
        targets["DBClusterIdentifiers"] for targets in stack.of_type("AWS::RDS::DBProxyTargetGroup").values()
    ] == [["DatabaseCluster.Ref"]]


def test_the_guide_names_each_event_of_stripe_that_is_listened_to() -> None:
    guide = (Path(__file__).parents[2] / "docs/deployment.md").read_text()
    assert [event for event in stripe_events._HANDLERS if f"`{event}`" not in guide] == []  # noqa: SLF001
    assert f"`{API_VERSION}`" in guide

"""The template: valid for cfn-lint, and complete for every function, queue and gateway response."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib.adapters.stripe import API_VERSION
from chalicelib.payments import stripe_events
from chalicelib.platform.http import problems
from chalicelib.platform.messaging import queues
from chalicelib.platform.observability import metrics
from chalicelib.platform.settings import Settings
from infra.aws import function_table
from infra.aws.template.alarms import TOPIC
from infra.aws.template.cfn import logical_name
from infra.aws.template.lambdas import RUNTIME
from infra.postgres_settings import SERVER_SETTINGS
from tests.infra.aws.stack import Stack

CHECKOUT = Path(__file__).parents[3]
GIVEN = {
    "AlarmAddress": "ops@example.com",
    "MailIdentity": "example.com",
    "MailSender": "Event booking <no-reply@example.com>",
    "PublicUrl": "https://api.example.com",
}
MAX_TEMPLATE_BYTES = 10**6
"""CloudFormation's limit for a template in S3."""
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
"""All gateway response types of API Gateway's developer guide."""


def test_cfn_lint_finds_nothing(template: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "template.json"
    file.write_text(json.dumps(template))
    linted = subprocess.run(  # noqa: S603
        [Path(sys.executable).with_name("cfn-lint"), file, "--regions", "eu-central-1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (linted.stdout, linted.stderr, linted.returncode) == ("", "", 0)


def test_the_template_is_within_the_limits_of_cloudformation(template: dict[str, Any]) -> None:
    assert (
        len(json.dumps(template, indent=4)) < MAX_TEMPLATE_BYTES
    )  # the format of `aws cloudformation package`
    assert len(template["Resources"]) < 400  # The limit is 500, and SAM adds a few.


def test_stages_differ_only_in_defaults_and_names(build_template: Any) -> None:
    dev, prod = (
        json.loads(json.dumps(build_template(stage)).replace(f"stage={stage}", ""))
        for stage in ("dev", "prod")
    )
    for template in (dev, prod):
        for parameter in template["Parameters"].values():
            parameter.pop("Default", None)
    assert dev == prod


def test_each_function_has_a_handler_a_role_and_a_log(resources: dict[str, Any]) -> None:
    lambdas = {name for name, part in resources.items() if part["Type"] == "AWS::Serverless::Function"}
    present = function_table.deployed(app.app)
    assert lambdas == {function.logical_name for function in present}
    for function in present:
        properties = resources[function.logical_name]["Properties"]
        module, _, attribute = properties["Handler"].partition(".")
        assert module == "app"
        assert callable(getattr(app, attribute))
        assert (properties["Runtime"], properties["Architectures"]) == (RUNTIME, ["arm64"])
        assert properties["Tracing"] == "Active"
        assert properties["Role"] == {"Fn::GetAtt": [function.role, "Arn"]}
        assert properties["LoggingConfig"] == {"LogGroup": {"Ref": function.log_group}}
        assert resources[function.log_group]["Properties"]["RetentionInDays"]
    roles = [resources[function.logical_name]["Properties"]["Role"]["Fn::GetAtt"][0] for function in present]
    assert len(set(roles)) == len(roles)


def test_each_queue_has_dead_letters_alarms_and_partial_failures(resources: dict[str, Any]) -> None:
    names = {
        part["Properties"]["QueueName"] for part in resources.values() if part["Type"] == "AWS::SQS::Queue"
    }
    assert names == {name for queue in queues.QUEUES for name in (queue.name, queue.dead_letters)}
    for function in function_table.deployed(app.app):
        if function.queue:
            (event,) = resources[function.logical_name]["Properties"]["Events"].values()
            assert event["Type"] == "SQS"
            assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            assert event["Properties"]["ScalingConfig"] == {"MaximumConcurrency": function.concurrency}
            assert event["Properties"]["BatchSize"] == function.queue.batch_size
    for queue in queues.QUEUES:
        assert f"{logical_name(queue.name)}AgeAlarm" in resources
        assert f"{logical_name(queue.name)}DeadLettersAlarm" in resources


def test_every_alarm_notifies_the_topic(resources: dict[str, Any]) -> None:
    alarms = [part["Properties"] for part in resources.values() if part["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) > 2 * len(function_table.deployed(app.app))
    assert all(alarm["AlarmActions"] == [{"Ref": TOPIC}] for alarm in alarms)


def test_the_outbox_alarm_goes_off_without_data(resources: dict[str, Any]) -> None:
    alarm = resources["OutboxAgeAlarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"]) == ("EventBooking", "OutboxAge", [])
    assert alarm["TreatMissingData"] == "breaching"


def test_gateway_responses_are_problem_documents(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    api = stack.of_type("AWS::Serverless::Api")["RestAPI"]
    responses = api["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    assert set(responses) == RESPONSE_TYPES
    for response in responses.values():
        problem = json.loads(response["responseTemplates"]["application/json"])
        headers = response["responseParameters"]
        assert problem["type"] == problems.TYPE_PREFIX + problem["code"]
        assert problem["title"]
        assert problem["status"] == int(response["statusCode"])
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
        assert headers["gatewayresponse.header.X-Request-Id"] == "context.requestId"
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == "404"
    assert responses["THROTTLED"]["responseParameters"]["gatewayresponse.header.Retry-After"] == "'1'"


def test_the_app_receives_all_methods_of_each_path(resources: dict[str, Any]) -> None:
    paths = resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    assert set(paths) == set(app.app.routes)
    assert all("x-amazon-apigateway-any-method" in methods for methods in paths.values())


def test_bookings_payments_and_webhooks_have_their_own_limits(template: dict[str, Any]) -> None:
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


def test_bursts_are_within_the_concurrency_of_the_function(build_template: Any) -> None:
    limits = build_template("prod")["Mappings"]["Stages"]["prod"]
    concurrency = {function.name: function.concurrency for function in function_table.TABLE}
    assert limits["BookingsBurst"] <= concurrency[function_table.API]
    assert limits["WebhooksBurst"] <= concurrency["confirm_payments"]


def test_only_webhooks_are_served_by_their_own_function(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    paths = stack.of_type("AWS::Serverless::Api")["RestAPI"]["DefinitionBody"]["paths"]
    called = {
        (method, path): re.findall(r"/functions/(\w+)\.Alias\.Ref/", integration["uri"])
        for path, methods in paths.items()
        for method, operation in methods.items()
        if (integration := operation["x-amazon-apigateway-integration"])["type"] == "aws_proxy"
    }
    assert called.pop(("post", "/webhooks/stripe")) == ["ConfirmPayments"]
    assert ("x-amazon-apigateway-any-method", "/webhooks/stripe") in called
    assert {function for functions in called.values() for function in functions} == {"APIHandler"}
    permissions = {part["FunctionName"]: part for part in stack.of_type("AWS::Lambda::Permission").values()}
    assert set(permissions) == {"APIHandler.Alias.Ref", "ConfirmPayments.Alias.Ref"}
    assert permissions["ConfirmPayments.Alias.Ref"] == {
        **permissions["APIHandler.Alias.Ref"],
        "FunctionName": "ConfirmPayments.Alias.Ref",
    }


def test_the_dashboard_and_the_access_log_are_valid_json(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    assert len(json.loads(dashboard["DashboardBody"])["widgets"]) > 10
    line = stack.of_type("AWS::Serverless::Api")["RestAPI"]["AccessLogSetting"]["Format"]
    assert json.loads(line)["requestId"] == "$context.requestId"


def test_alarms_and_dashboard_use_metrics_of_the_app(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    used = {alarm["MetricName"] for alarm in alarms if alarm["Namespace"] == metrics.NAMESPACE}
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.dumps(json.loads(dashboard["DashboardBody"]))
    used.update(re.findall(rf'(?:"{metrics.NAMESPACE}", |MetricName=\\)"(\w+)', body))
    source = "".join(path.read_text() for path in (CHECKOUT / "chalicelib").rglob("*.py"))
    assert {"OutboxAge", "Bookings"} < used
    assert [name for name in used if f'"{name}"' not in source] == []


def test_functions_have_only_variables_that_the_app_reads(template: dict[str, Any]) -> None:
    lambdas = Stack(template, {**GIVEN, "StripeSecret": "arn:stripe"}).of_type("AWS::Serverless::Function")
    used = {name for function in lambdas.values() for name in function["Environment"]["Variables"]}
    source = inspect.getsource(Settings)
    assert [name for name in used - {"SECRETS_ROTATION"} if f'"{name}"' not in source] == []


DATABASE = {"DATABASE_URL"}
STRIPE = {"STRIPE_API_KEY"}
LINKS = {"LINK_SECRET"}
SECRETS = {
    "api_handler": DATABASE | STRIPE | LINKS | {"JWT_SECRET", "JWT_SECRET_PREVIOUS"},
    "confirm_payments": DATABASE | {"STRIPE_WEBHOOK_SECRETS"},
    "relay_outbox": DATABASE,
    "start_sales": DATABASE,
    "notify_hosts": DATABASE,
    "expire_holds": DATABASE | STRIPE,
    "purge_expired": DATABASE,
    "notify_followers": DATABASE,
    "notify_interested": DATABASE,
    "notify_attendees": DATABASE,
    "send_email": DATABASE | LINKS,
    "send_account_email": DATABASE | LINKS,
    "handle_mail_reports": DATABASE,
    "refund_payments": DATABASE | STRIPE,
    "reconcile_payments": DATABASE | STRIPE,
    "migrate": {"DATABASE_URL", "APP_DATABASE_URL"},
    "operate": DATABASE | STRIPE,
}
"""The variables with a secret, by function."""


def test_a_function_has_only_the_secrets_that_it_uses(template: dict[str, Any]) -> None:
    stack = Stack(template, {**GIVEN, "StripeSecret": "arn:stripe", "PreviousJwtSecret": "accept"})
    lambdas = stack.of_type("AWS::Serverless::Function")
    found = {}
    for function in function_table.deployed(app.app):
        variables = lambdas[function.logical_name]["Environment"]["Variables"]
        found[function.name] = {name for name, value in variables.items() if "{{resolve:" in str(value)}
        assert ("DOMAIN_EVENTS_TOPIC_ARN" in variables) == function.publishes
        assert ("MAIL_SENDER" in variables) == function.sends_email
    assert found == SECRETS


def test_only_migrate_connects_as_the_owner_of_the_database(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    owner, app_role = (
        f"postgresql+pg8000://{user}:{{{{resolve:secretsmanager:{secret}.Ref:SecretString:password}}}}"
        "@DatabaseProxy.Endpoint:5432/booking"
        for user, secret in (("booking", "DatabaseSecret"), ("booking_app", "AppDatabaseSecret"))
    )
    for name, part in stack.of_type("AWS::Serverless::Function").items():
        variables = part["Environment"]["Variables"]
        assert variables["DATABASE_URL"] == (owner if name == "Migrate" else app_role)
        assert variables.get("APP_DATABASE_URL") == (app_role if name == "Migrate" else None)
        assert "JWT_SECRET_PREVIOUS" not in variables
    (proxy,) = stack.of_type("AWS::RDS::DBProxy").values()
    logins = {"DatabaseSecret.Ref", "AppDatabaseSecret.Ref"}
    assert {login["SecretArn"] for login in proxy["Auth"]} == logins
    [statement] = stack.of_type("AWS::IAM::Role")["DatabaseProxyRole"]["Policies"][0]["PolicyDocument"][
        "Statement"
    ]
    assert set(statement["Resource"]) == logins


@pytest.mark.parametrize("kind", ["instance", "aurora-serverless"])
def test_the_server_has_the_settings_that_the_app_relies_on(template: dict[str, Any], kind: str) -> None:
    stack = Stack(template, {**GIVEN, "DatabaseKind": kind})
    groups = [
        *stack.of_type("AWS::RDS::DBParameterGroup").values(),
        *stack.of_type("AWS::RDS::DBClusterParameterGroup").values(),
    ]
    assert [group["Parameters"] for group in groups] == [{**SERVER_SETTINGS, "rds.force_ssl": "1"}]
    (targets,) = stack.of_type("AWS::RDS::DBProxyTargetGroup").values()
    assert "InitQuery" not in targets["ConnectionPoolConfigurationInfo"]


def test_the_production_database_is_protected(build_template: Any) -> None:
    stack = Stack(build_template("prod"), GIVEN)
    (database,) = stack.of_type("AWS::RDS::DBInstance").values()
    assert database["MultiAZ"] is True
    assert database["DeletionProtection"] == "true"
    assert database["BackupRetentionPeriod"] >= 7
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    assert len(stack.of_type("AWS::EC2::NatGateway")) == 2


def test_parameters_choose_the_database_and_the_egress(build_template: Any) -> None:
    chosen = {
        **GIVEN,
        "DatabaseKind": "aurora-serverless",
        "StandbyDatabase": "yes",
        "Egress": "nat-instance",
    }
    stack = Stack(build_template("prod"), chosen)
    assert set(stack.of_type("AWS::RDS::DBInstance")) == {"DatabaseWriter", "DatabaseStandby"}
    assert set(stack.of_type("AWS::RDS::DBCluster")) == {"DatabaseCluster"}
    assert stack.of_type("AWS::EC2::NatGateway") == {}
    assert set(stack.of_type("AWS::EC2::Instance")) == {"NatInstance"}
    for route in ("PrivateRouteA", "PrivateRouteB"):
        assert stack.of_type("AWS::EC2::Route")[route]["InstanceId"] == "NatInstance.Ref"
    assert [
        targets["DBClusterIdentifiers"] for targets in stack.of_type("AWS::RDS::DBProxyTargetGroup").values()
    ] == [["DatabaseCluster.Ref"]]


def test_the_outputs_name_the_functions_that_are_called_directly(template: dict[str, Any]) -> None:
    for name, function in (("MigrateFunction", "Migrate"), ("OperateFunction", "Operate")):
        assert template["Outputs"][name]["Value"] == {"Ref": function}


def test_the_deployment_guide_lists_the_handled_stripe_events() -> None:
    guide = (CHECKOUT / "docs/deployment.md").read_text()
    assert [event for event in stripe_events._HANDLERS if f"`{event}`" not in guide] == []  # noqa: SLF001
    assert f"`{API_VERSION}`" in guide

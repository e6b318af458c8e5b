"""The template: valid for cfn-lint, and complete for every function, queue and gateway response."""

import ast
import inspect
import json
import re
import ssl
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from chalice.app import ScheduledEventConfig

import app
from chalicelib.adapters.stripe import API_VERSION
from chalicelib.payments import stripe_events
from chalicelib.platform.http import problems
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.bodies import Lane
from chalicelib.platform.messaging.outbox import AGE_METRICS
from chalicelib.platform.observability import metrics
from chalicelib.platform.settings import Settings
from infra.aws import function_table
from infra.aws.package import ARCHIVE, AUTHORITIES, LAMBDA_FOLDER
from infra.aws.template.alarms import RUNBOOK
from infra.aws.template.cfn import logical_name
from infra.aws.template.lambdas import RUNTIME
from infra.aws.template.stages import STAGES
from infra.aws.throttles import SERVERS, THROTTLES
from infra.local import aws
from infra.postgres_settings import SERVER_SETTINGS
from tests.infra.aws.stack import REGION, Stack

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
    deployed = json.dumps(template, separators=(",", ":"))
    assert len(deployed) < MAX_TEMPLATE_BYTES / 2
    assert len(template["Resources"]) < 400  # The limit is 500, and SAM adds a few.


def test_stages_differ_only_in_defaults_and_names(build_template: Any) -> None:
    templates = [
        json.loads(json.dumps(build_template(stage)).replace(f"stage={stage}", "")) for stage in STAGES
    ]
    for template in templates:
        for parameter in template["Parameters"].values():
            parameter.pop("Default", None)
    assert all(template == templates[0] for template in templates)


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
            assert event["Properties"]["BatchSize"] == function.queue.batch_size
    for alarm in ("QueueAgeAlarm", "DeadLettersAlarm"):
        queries = [query for query in resources[alarm]["Properties"]["Metrics"] if "MetricStat" in query]
        assert len(queries) == len(queues.QUEUES)


def alarms_of(stack: Stack) -> dict[str, dict[str, Any]]:
    """The alarms by their names, without that of the stack."""
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    return {alarm["AlarmName"].removeprefix("event-booking-"): alarm for alarm in alarms}


def names_of_metrics(alarm: dict[str, Any]) -> set[tuple[str, str]]:
    """The namespaces and names of the metrics that an alarm uses."""
    queries = alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}])
    used = [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query]
    return {(metric["Namespace"], metric["MetricName"]) for metric in used}


def test_each_alarm_notifies_the_topic_of_its_severity(template: dict[str, Any]) -> None:
    stack = Stack(template, {**GIVEN, "StripeSecret": "arn:stripe"})
    stage = template["Parameters"]["Stage"]["Default"]
    severities = {
        name: {"UrgentAlarms.Ref": "urgent", "NoticeAlarms.Ref": "notice"}[alarm["AlarmActions"][0]]
        for name, alarm in alarms_of(stack).items()
    }
    assert {name for name, severity in severities.items() if severity == "urgent"} == {
        *("api-faults", "stripe-failures", "schedules-stopped", "outbox-age", "queue-age"),
        *("messages-put-back", "database-storage"),
        *(() if stage == "prod" else ("nat-instance",)),
    }
    assert {name for name, severity in severities.items() if severity == "notice"} == {
        *("api-latency", "error-lines", "purge-stopped", "dead-letters", "payments-flagged"),
        *("webhooks-lost", "email-reputation"),
        *("database-processor", "database-connections"),
        *(() if stage == "lean" else ("proxy-pinned",)),
    }
    for alarm in alarms_of(stack).values():
        assert alarm["OKActions"] == alarm["AlarmActions"]
    subscriptions = stack.of_type("AWS::SNS::Subscription").values()
    mailed = [one["TopicArn"] for one in subscriptions if one["Protocol"] == "email"]
    assert sorted(mailed) == ["NoticeAlarms.Ref", "UrgentAlarms.Ref"]


def test_each_alarm_has_a_section_in_the_runbook(template: dict[str, Any]) -> None:
    headings = re.findall("^#+ (.+)$", (CHECKOUT / RUNBOOK).read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    stack = Stack(template, {**GIVEN, "StripeSecret": "arn:stripe", "Egress": "nat-instance"})
    for name, alarm in alarms_of(stack).items():
        assert alarm["AlarmDescription"].endswith(f" See {RUNBOOK}#{name}")
        assert name in anchors


def test_an_alarm_calculates_with_at_most_ten_metrics(template: dict[str, Any]) -> None:
    for alarm in alarms_of(Stack(template, {**GIVEN, "StripeSecret": "arn:stripe"})).values():
        queries = alarm.get("Metrics", [])
        assert len(queries) <= 20
        assert sum("MetricStat" in query for query in queries) <= 10
        assert [query["Id"] for query in queries if query["ReturnData"]] == (["result"] if queries else [])
        known = {query["Id"] for query in queries}
        for query in queries:
            assert re.fullmatch("[a-z][a-zA-Z0-9_]*", query["Id"])
            words = set(re.findall("[a-z][a-zA-Z0-9_]*", query.get("Expression", "")))
            assert words <= known - {query["Id"]}
        assert alarm["EvaluationPeriods"] * alarm.get("Period", 3600) <= 24 * 3600


def test_each_schedule_is_missed_if_it_does_not_run(template: dict[str, Any]) -> None:
    alarms = alarms_of(Stack(template, GIVEN))
    watched: set[str] = set()
    for name in ("schedules-stopped", "purge-stopped"):
        assert (alarms[name]["TreatMissingData"], alarms[name]["Threshold"]) == ("breaching", 1)
        for query in alarms[name]["Metrics"]:
            if query["Id"].startswith("started"):
                [dimension] = query["MetricStat"]["Metric"]["Dimensions"]
                watched.add(dimension["Value"])
    scheduled = {
        f"{logical_name(source.name)}.Ref"
        for source in app.app.event_sources
        if isinstance(source, ScheduledEventConfig)
    }
    assert watched == scheduled


def test_cloudwatch_accepts_alarms_filters_and_dashboard(template: dict[str, Any]) -> None:
    """Their properties are the parameters of CloudWatch's API, of which moto checks some."""
    stack = Stack(template, {**GIVEN, "StripeSecret": "arn:stripe", "Egress": "nat-instance"})
    with aws.running():
        cloudwatch, logs = boto3.client("cloudwatch"), boto3.client("logs")
        alarms = alarms_of(stack)
        for alarm in alarms.values():
            cloudwatch.put_metric_alarm(**alarm)
        (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
        cloudwatch.put_dashboard(**dashboard)
        for group in stack.of_type("AWS::Logs::LogGroup"):
            logs.create_log_group(logGroupName=f"{group}.Ref")
        for name, part in stack.of_type("AWS::Logs::MetricFilter").items():
            made = [
                {key[0].lower() + key[1:]: value for key, value in metric.items()}
                for metric in part["MetricTransformations"]
            ]
            logs.put_metric_filter(
                logGroupName=part["LogGroupName"],
                filterName=name,
                filterPattern=part["FilterPattern"],
                metricTransformations=made,
            )
        assert len(cloudwatch.describe_alarms()["MetricAlarms"]) == len(alarms)


def test_the_outbox_alarm_goes_off_without_data(template: dict[str, Any]) -> None:
    alarm = alarms_of(Stack(template, GIVEN))["outbox-age"]
    assert names_of_metrics(alarm) == {(metrics.NAMESPACE, name) for name in AGE_METRICS.values()}
    assert set(AGE_METRICS) == set(Lane)
    assert alarm["TreatMissingData"] == "breaching"


def test_error_lines_of_every_function_are_counted(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    filters = stack.of_type("AWS::Logs::MetricFilter").values()
    counted = [part["LogGroupName"] for part in filters if part["FilterPattern"] == '{ $.level = "error" }']
    groups = [f"{function.log_group}.Ref" for function in function_table.deployed(app.app)]
    assert sorted(counted) == sorted(groups)
    for query in stack.of_type("AWS::Logs::QueryDefinition").values():
        assert query["LogGroupNames"] == groups


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


def test_each_throttle_is_in_the_template(build_template: Any) -> None:
    for stage in STAGES:
        api = Stack(build_template(stage), GIVEN).of_type("AWS::Serverless::Api")["RestAPI"]
        found = {
            (setting["HttpMethod"], setting["ResourcePath"]): (
                setting["ThrottlingRateLimit"],
                setting["ThrottlingBurstLimit"],
            )
            for setting in api["MethodSettings"]
        }
        assert found == {
            (method, path if path == "/*" else "/" + path.replace("/", "~1")): (
                throttle.per_second(stage),
                throttle.burst(stage),
            )
            for throttle in THROTTLES
            for method, path in throttle.methods
        }


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
    stack = Stack(template, {**GIVEN, "StripeSecret": "arn:stripe"})
    used = {metric for alarm in alarms_of(stack).values() for metric in names_of_metrics(alarm)}
    alarmed = {name for namespace, name in used if namespace == metrics.NAMESPACE}
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.dumps(json.loads(dashboard["DashboardBody"]))
    shown = set(re.findall(rf'(?:"{metrics.NAMESPACE}", |MetricName=\\)"(\w+)', body))
    filters = stack.of_type("AWS::Logs::MetricFilter").values()
    counted = {made["MetricName"] for part in filters for made in part["MetricTransformations"]}
    assert alarmed <= shown
    assert shown == metrics_of_the_app() | counted


def metrics_of_the_app() -> set[str]:
    """The metrics that the source of the app puts."""
    found = set(AGE_METRICS.values())
    for path in (CHECKOUT / "chalicelib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"metrics.put", "metrics.put_all"}:
                names = node.args[0].keys if isinstance(node.args[0], ast.Dict) else [node.args[0]]
                found.update(str(name.value) for name in names if isinstance(name, ast.Constant))
    return found


def test_functions_have_only_variables_that_the_app_reads(template: dict[str, Any]) -> None:
    given = {**GIVEN, "StripeSecret": "arn:stripe", "WalletSecret": "arn:wallet"}
    lambdas = Stack(template, given).of_type("AWS::Serverless::Function")
    used = {name for function in lambdas.values() for name in function["Environment"]["Variables"]}
    source = inspect.getsource(Settings)
    assert [name for name in used - {"SECRETS_ROTATION"} if f'"{name}"' not in source] == []


DATABASE = {"DATABASE_URL"}
STRIPE = {"STRIPE_API_KEY"}
LINKS = {"LINK_SECRET"}
TICKETS = {"TICKET_SECRET", "TICKET_SECRET_PREVIOUS"}
SECRETS = {
    "api_handler": DATABASE | STRIPE | LINKS | TICKETS | {"JWT_SECRET", "JWT_SECRET_PREVIOUS"},
    "confirm_payments": DATABASE | {"STRIPE_WEBHOOK_SECRETS"},
    "relay_outbox": DATABASE,
    "start_sales": DATABASE,
    "notify_hosts": DATABASE,
    "expire_holds": DATABASE | STRIPE,
    "purge_expired": DATABASE,
    "notify_followers": DATABASE,
    "notify_interested": DATABASE,
    "notify_attendees": DATABASE,
    "send_email": DATABASE | LINKS | TICKETS,
    "send_account_email": DATABASE | LINKS,
    "handle_mail_reports": DATABASE,
    "refund_payments": DATABASE | STRIPE,
    "reconcile_payments": DATABASE | STRIPE,
    "migrate": {"DATABASE_URL", "APP_DATABASE_URL"},
    "operate": DATABASE | STRIPE,
}
"""The variables with a secret, by function."""


def test_a_function_has_only_the_secrets_that_it_uses(template: dict[str, Any]) -> None:
    accepted = {"PreviousJwtSecret": "accept", "PreviousTicketSecret": "accept"}
    stack = Stack(template, {**GIVEN, "StripeSecret": "arn:stripe", **accepted})
    lambdas = stack.of_type("AWS::Serverless::Function")
    found = {}
    for function in function_table.deployed(app.app):
        variables = lambdas[function.logical_name]["Environment"]["Variables"]
        found[function.name] = {name for name, value in variables.items() if "{{resolve:" in str(value)}
        assert ("DOMAIN_EVENTS_TOPIC_ARN" in variables) == function.publishes
        assert ("MAIL_SENDER" in variables) == function.sends_email
    assert found == SECRETS


@pytest.mark.parametrize(
    ("stage", "host"),
    [
        ("lean", "Database.Endpoint.Address"),
        ("dev", "DatabaseProxy.Endpoint"),
        ("prod", "DatabaseProxy.Endpoint"),
    ],
)
def test_only_migrate_connects_as_the_owner_of_the_database(
    build_template: Any, stage: str, host: str
) -> None:
    stack = Stack(build_template(stage), GIVEN)
    owner, app_role = (
        f"postgresql+pg8000://{user}:{{{{resolve:secretsmanager:{secret}.Ref:SecretString:password}}}}"
        f"@{host}:5432/booking"
        for user, secret in (("booking", "DatabaseSecret"), ("booking_app", "AppDatabaseSecret"))
    )
    for name, part in stack.of_type("AWS::Serverless::Function").items():
        variables = part["Environment"]["Variables"]
        assert variables["DATABASE_URL"] == (owner if name == "Migrate" else app_role)
        assert variables.get("APP_DATABASE_URL") == (app_role if name == "Migrate" else None)
        assert "JWT_SECRET_PREVIOUS" not in variables


def test_the_proxy_can_log_in_as_both_roles(build_template: Any) -> None:
    stack = Stack(build_template("prod"), GIVEN)
    (proxy,) = stack.of_type("AWS::RDS::DBProxy").values()
    logins = {"DatabaseSecret.Ref", "AppDatabaseSecret.Ref"}
    assert {login["SecretArn"] for login in proxy["Auth"]} == logins
    [statement] = stack.of_type("AWS::IAM::Role")["DatabaseProxyRole"]["Policies"][0]["PolicyDocument"][
        "Statement"
    ]
    assert set(statement["Resource"]) == logins


def test_the_server_has_the_settings_that_the_app_relies_on(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)
    (group,) = stack.of_type("AWS::RDS::DBParameterGroup").values()
    assert group["Parameters"] == {**SERVER_SETTINGS, "rds.force_ssl": "1"}
    for targets in stack.of_type("AWS::RDS::DBProxyTargetGroup").values():
        assert "InitQuery" not in targets["ConnectionPoolConfigurationInfo"]


def test_the_database_is_protected(template: dict[str, Any]) -> None:
    (database,) = Stack(template, GIVEN).of_type("AWS::RDS::DBInstance").values()
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    assert database["BackupRetentionPeriod"] >= 1


def test_the_production_database_survives_a_zone_and_a_mistake(build_template: Any) -> None:
    stack = Stack(build_template("prod"), GIVEN)
    (database,) = stack.of_type("AWS::RDS::DBInstance").values()
    assert database["MultiAZ"] is True
    assert "AvailabilityZone" not in database
    assert database["DeletionProtection"] == "true"
    assert database["BackupRetentionPeriod"] >= 7
    assert len(stack.of_type("AWS::EC2::NatGateway")) == 2
    assert stack.of_type("AWS::EC2::Instance") == {}


def test_the_lean_stage_has_one_zone_and_no_proxy(build_template: Any) -> None:
    stack = Stack(build_template("lean"), GIVEN)
    (database,) = stack.of_type("AWS::RDS::DBInstance").values()
    assert database["DBInstanceClass"] == "db.t4g.micro"
    assert database["MultiAZ"] is False
    assert database["AvailabilityZone"] == "PrivateSubnetA.AvailabilityZone"
    for kind in ("RDS::DBProxy", "RDS::DBProxyTargetGroup", "EC2::NatGateway", "EC2::EIP"):
        assert stack.of_type(f"AWS::{kind}") == {}
    # RDS requires database subnets in two zones.
    subnets = {"PublicSubnetA", "PrivateSubnetA", "DatabaseSubnetA", "DatabaseSubnetB"}
    assert set(stack.of_type("AWS::EC2::Subnet")) == subnets
    for function in stack.of_type("AWS::Serverless::Function").values():
        assert function["VpcConfig"]["SubnetIds"] == ["PrivateSubnetA.Ref"]


def test_functions_of_the_lean_stage_share_the_connections_of_the_server(build_template: Any) -> None:
    stack = Stack(build_template("lean"), GIVEN)
    connections = 0
    for function in stack.of_type("AWS::Serverless::Function").values():
        concurrency = function["ReservedConcurrentExecutions"]
        connections += concurrency * int(function["Environment"]["Variables"]["DATABASE_POOL_SIZE"])
        for event in function.get("Events", {}).values():
            if "ScalingConfig" in event["Properties"]:
                assert event["Properties"]["ScalingConfig"] == {"MaximumConcurrency": concurrency}
    assert 40 < connections <= SERVERS["lean"].connections


@pytest.mark.parametrize("stage", STAGES)
def test_functions_trust_the_authority_of_what_they_connect_to(
    build_template: Any, stage: str, package: Path
) -> None:
    stack = Stack(build_template(stage), GIVEN)
    (database,) = stack.of_type("AWS::RDS::DBInstance").values()
    assert database["CACertificateIdentifier"] == "rds-ca-rsa2048-g1"
    for function in stack.of_type("AWS::Serverless::Function").values():
        file = function["Environment"]["Variables"].get("DATABASE_CA_FILE")
        assert file == (f"{LAMBDA_FOLDER}/{AUTHORITIES}" if stage == "lean" else None)
    with zipfile.ZipFile(package / ARCHIVE) as packed:
        pem = packed.read(AUTHORITIES).decode()
    trusted = ssl.create_default_context(cadata=pem).get_ca_certs()
    assert f"Amazon RDS {REGION} Root CA RSA2048 G1" in str(trusted)


@pytest.mark.parametrize("stage", ["lean", "dev"])
def test_the_nat_instance_installs_nothing_and_reports_that_it_forwards(
    build_template: Any, stage: str
) -> None:
    stack = Stack(build_template(stage), GIVEN)
    (instance,) = stack.of_type("AWS::EC2::Instance").values()
    script = instance["UserData"]["Fn::Base64"]
    assert not re.search(r"\b(dnf|yum|rpm|pip)\b", script)
    assert "NatStarted.Ref" in script
    assert "${" not in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0  # noqa: S607
    (start,) = stack.of_type("AWS::CloudFormation::WaitCondition").values()
    assert start["Handle"] == "NatStarted.Ref"
    group = stack.of_type("AWS::EC2::SecurityGroup")["NatSecurityGroup"]
    assert {rule["ToPort"] for rule in group["SecurityGroupEgress"]} == {443}


def test_the_outputs_name_the_functions_that_are_called_directly(template: dict[str, Any]) -> None:
    for name, function in (("MigrateFunction", "Migrate"), ("OperateFunction", "Operate")):
        assert template["Outputs"][name]["Value"] == {"Ref": function}


def test_the_deployment_guide_lists_the_handled_stripe_events() -> None:
    guide = (CHECKOUT / "docs/deployment.md").read_text()
    assert [event for event in stripe_events._HANDLERS if f"`{event}`" not in guide] == []  # noqa: SLF001
    assert f"`{API_VERSION}`" in guide

"""The template after SAM's transformation, which is what CloudFormation deploys."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

import app
from chalicelib.platform.messaging.queues import QUEUES
from infra.aws import function_table
from infra.aws.template.lambdas import ROLLBACK_ALARMS
from infra.aws.template.stages import SHIFTS
from tests.infra.aws.stack import REGION, Stack
from tests.infra.aws.test_template import GIVEN

WATCHED = (
    *("AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::EC2::Instance"),
    *("AWS::RDS::DBInstance", "AWS::RDS::DBCluster", "AWS::RDS::DBProxy"),
)
"""The types of what the dimensions of alarms name."""

NAMED = {
    "AWS::SQS::Queue": ("sqs", "QueueName"),
    "AWS::SNS::Topic": ("sns", "TopicName"),
    "AWS::SES::EmailIdentity": ("ses", "EmailIdentity"),
}
"""The service in the ARN and the property with the name, by type."""


def transform(template: dict[str, Any], **parameters: str) -> dict[str, Any]:
    uploaded = copy.deepcopy(template)
    for part in uploaded["Resources"].values():
        if "CodeUri" in part["Properties"]:
            part["Properties"]["CodeUri"] = "s3://bucket/deployment.zip"
    return dict(Translator({}, Parser()).translate(uploaded, parameters))


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture
def transformed(template: dict[str, Any]) -> dict[str, Any]:
    return transform(template)


def test_the_api_has_one_stage_with_limits_log_and_traces(transformed: dict[str, Any]) -> None:
    stages = Stack(transformed, GIVEN).of_type("AWS::ApiGateway::Stage")
    assert [stage["StageName"] for stage in stages.values()] == ["api"]
    (stage,) = stages.values()
    assert stage["MethodSettings"]
    assert stage["AccessLogSetting"]["DestinationArn"] == "AccessLogs.Arn"
    assert stage["TracingEnabled"] is True


def test_alarms_are_about_parts_of_the_stack(transformed: dict[str, Any]) -> None:
    stack = Stack(transformed, {**GIVEN, "StripeSecret": "arn:stripe"})
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    assert 15 <= len(alarms) <= 18
    assert len({action for alarm in alarms for action in alarm["AlarmActions"]}) == 2
    (api,) = stack.of_type("AWS::ApiGateway::RestApi").values()
    known = {part for kind in WATCHED for part in stack.of_type(kind)}
    for alarm in alarms:
        queries = alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}])
        for query in queries:
            for dimension in query.get("MetricStat", {"Metric": {"Dimensions": []}})["Metric"]["Dimensions"]:
                name, value = dimension["Name"], dimension["Value"]
                assert value == api["Name"] if name == "ApiName" else value.partition(".")[0] in known


def test_the_error_lines_of_each_function_are_counted(transformed: dict[str, Any]) -> None:
    stack = Stack(transformed, GIVEN)
    filters = stack.of_type("AWS::Logs::MetricFilter").values()
    counted = {part["LogGroupName"] for part in filters if part["FilterPattern"] == '{ $.level = "error" }'}
    functions = stack.of_type("AWS::Lambda::Function").values()
    assert counted == {function["LoggingConfig"]["LogGroup"] for function in functions}


@pytest.mark.parametrize("domain", ["", "api.example.com"])
def test_with_a_domain_the_api_has_no_other_address(transformed: dict[str, Any], domain: str) -> None:
    stack = Stack(transformed, {**GIVEN, "DomainName": domain})
    (api,) = stack.of_type("AWS::ApiGateway::RestApi").values()
    configuration = api["Body"]["x-amazon-apigateway-endpoint-configuration"]
    assert configuration == {"disableExecuteApiEndpoint": domain != ""}


def test_bodies_can_be_binary(transformed: dict[str, Any]) -> None:
    (api,) = Stack(transformed, GIVEN).of_type("AWS::ApiGateway::RestApi").values()
    assert api["Body"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]
    integrations = [
        method["x-amazon-apigateway-integration"]
        for methods in api["Body"]["paths"].values()
        for method in methods.values()
    ]
    assert {one["type"] for one in integrations if "type" in one} == {"aws_proxy", "mock"}
    # Without it the mock integration of a preflight fails with a binary body.
    assert {one["contentHandling"] for one in integrations if "type" in one} == {"CONVERT_TO_TEXT"}


def test_requests_queues_and_schedules_call_the_alias(transformed: dict[str, Any]) -> None:
    stack = Stack(transformed, GIVEN)
    aliases = {f"{name}.Ref": alias for name, alias in stack.of_type("AWS::Lambda::Alias").items()}
    present = function_table.deployed(app.app)
    behind_alias = {f"{one.logical_name}.Ref" for one in present if not one.is_called_directly}
    assert {alias["FunctionName"] for alias in aliases.values()} == behind_alias
    assert {alias["Name"] for alias in aliases.values()} == {function_table.ALIAS}

    mappings = stack.of_type("AWS::Lambda::EventSourceMapping").values()
    rules = stack.of_type("AWS::Events::Rule").values()
    (api,) = stack.of_type("AWS::ApiGateway::RestApi").values()
    uris = re.findall(r"/functions/([^/]+)/invocations", json.dumps(api["Body"]["paths"]))
    called = [
        *(mapping["FunctionName"] for mapping in mappings),
        *(target["Arn"] for rule in rules for target in rule["Targets"]),
        *uris,
    ]
    assert set(called) == set(aliases)
    assert len(mappings) == len(QUEUES)
    permitted = {part["FunctionName"] for part in stack.of_type("AWS::Lambda::Permission").values()}
    assert permitted == set(called) - {mapping["FunctionName"] for mapping in mappings}


def test_a_new_version_gets_few_calls_until_the_alarm_is_quiet(transformed: dict[str, Any]) -> None:
    stack = Stack(transformed, GIVEN)
    groups = stack.of_type("AWS::CodeDeploy::DeploymentGroup")
    present = function_table.deployed(app.app)
    assert len(groups) == len([one for one in present if not one.is_called_directly])
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    for group in groups.values():
        assert SHIFTS["gradual"] in json.dumps(group["DeploymentConfigName"])
        assert {alarm["Name"] for alarm in group["AlarmConfiguration"]["Alarms"]} <= {
            f"{name}.Ref" for name in alarms
        }
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    minutes = int(re.findall(r"Percent(\d+)Minutes", SHIFTS["gradual"])[0])
    watched = [alarms[name] for name in ROLLBACK_ALARMS]
    assert all(alarm["Period"] * alarm["EvaluationPeriods"] < minutes * 60 for alarm in watched)


def test_each_release_has_new_versions_of_all_functions(template: dict[str, Any]) -> None:
    """So that changed parameters and secrets take effect, and a rollback is one step for all functions."""
    first, second = (
        Stack(transform(template, Release=release), GIVEN).of_type("AWS::Lambda::Version")
        for release in ("3f1c", "9b0d")
    )
    assert len(first) == len(second)
    assert set(first).isdisjoint(second)


def test_every_arn_of_a_resource_is_a_reference_to_it(transformed: dict[str, Any]) -> None:
    """CloudFormation then creates the resource first."""
    built = [
        (logical_name, text)
        for logical_name, part in transformed["Resources"].items()
        for text in texts(part)
        for other in transformed["Resources"].values()
        if other["Type"] in NAMED and is_arn_of(text, other)
    ]
    # A queue and its dead-letter queue name each other, so one of them does it by text.
    assert [entry for entry in built if not entry[0].endswith("DeadLetters")] == []
    assert len(built) == len(QUEUES)


def texts(value: Any) -> Iterator[str]:
    """Yield all texts of a resource."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(part)


def is_arn_of(text: str, resource: dict[str, Any]) -> bool:
    service, property_name = NAMED[resource["Type"]]
    name = resource["Properties"].get(property_name)
    if isinstance(name, dict) and "Ref" in name:
        name = f"${{{name['Ref']}}}"
    return (
        f":{service}:" in text and isinstance(name, str) and bool(re.search(rf"[:/]{re.escape(name)}$", text))
    )


def test_texts_are_compressed(transformed: dict[str, Any]) -> None:
    (api,) = Stack(transformed, GIVEN).of_type("AWS::ApiGateway::RestApi").values()
    assert 0 < api["MinimumCompressionSize"] <= 10_000

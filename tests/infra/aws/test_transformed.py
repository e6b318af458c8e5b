"""The template after SAM's transformation, which is what CloudFormation deploys."""

import copy
from typing import Any

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.infra.aws.stack import REGION, Stack
from tests.infra.aws.test_template import GIVEN

WATCHED = (
    *("AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::EC2::Instance"),
    *("AWS::RDS::DBInstance", "AWS::RDS::DBCluster", "AWS::RDS::DBProxy"),
)
"""The types of what the dimensions of alarms name."""


@pytest.fixture
def transformed(template: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    uploaded = copy.deepcopy(template)
    for part in uploaded["Resources"].values():
        if "CodeUri" in part["Properties"]:
            part["Properties"]["CodeUri"] = "s3://bucket/deployment.zip"
    return dict(Translator({}, Parser()).translate(uploaded, {}))


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

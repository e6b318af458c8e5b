"""`make operate` finds the function of a stack, and returns what it returns."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

import app
from infra import operate
from infra.local import aws
from infra.local.lambda_endpoint import lambda_endpoint
from infra.local.server import serving

REQUEST = {"operation": "list-flags", "arguments": {}, "who": "ana", "why": "test"}


def create_stack(name: str, outputs: dict[str, Any]) -> None:
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": outputs}
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


@pytest.fixture(autouse=True)
def _stacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stacks in moto, and Lambda as `make run` serves it."""
    with aws.running(), serving(lambda_endpoint(app.app)) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", endpoint)
        create_stack("booking", {"OperateFunction": {"Value": "operate"}})
        create_stack("other", {})
        yield


@pytest.mark.usefixtures("wiring")
def test_an_operation_runs_in_a_stack() -> None:
    assert operate.on_aws("booking", REQUEST) == {"result": []}
    assert operate.on_aws("booking", {**REQUEST, "operation": "list-users"})["error"] == "no such operation"


def test_another_stack_is_refused() -> None:
    with pytest.raises(operate.NoTarget, match="other"):
        operate.on_aws("other", REQUEST)


def test_a_failed_operation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert operate.on_aws("booking", REQUEST)["errorType"] == "BadSetting"

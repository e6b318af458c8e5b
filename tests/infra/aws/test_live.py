"""`make freeze`, `make thaw` and `make rollback`, on a stack that moto's CloudFormation has made."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from infra.aws.function_table import ALIAS, TABLE
from infra.aws.live import PREVIOUS, Live, NotPossible
from infra.local import aws
from tests.infra.aws.test_transformed import transform

STACK = "event-booking"
KINDS = {
    "AWS::Lambda::Function",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Events::Rule",
    "AWS::SQS::Queue",
}
"""The types of the transformed template that a freeze is about, and the queues."""
SERVING = [function for function in TABLE if not function.is_called_directly]


@pytest.fixture
def stack(build_template: Any) -> Iterator[Live]:
    with aws.running():
        create(transform(build_template("prod")))
        yield Live(STACK)


def create(transformed: dict[str, Any]) -> None:
    """Create the functions and what calls them. moto has no aliases of functions in CloudFormation."""
    role = boto3.client("iam").create_role(RoleName="lambda", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    resources = {name: part for name, part in transformed["Resources"].items() if part["Type"] in KINDS}
    for name, part in resources.items():
        properties = part["Properties"]
        if part["Type"] == "AWS::Lambda::Function":
            part["Properties"] = {
                "Code": {"ZipFile": "code"},
                "Handler": properties["Handler"],
                "Runtime": properties["Runtime"],
                "Role": role,
            }
        elif part["Type"] == "AWS::Lambda::EventSourceMapping":
            properties["FunctionName"] = {"Ref": properties["FunctionName"]["Ref"].removesuffix("Aliaslive")}
            properties.pop("ScalingConfig", None)
        elif part["Type"] == "AWS::SQS::Queue":
            part["Properties"] = {"QueueName": properties["QueueName"]}
        else:
            properties["Targets"] = []
        resources[name] = {"Type": part["Type"], "Properties": part["Properties"]}
    boto3.client("cloudformation").create_stack(
        StackName=STACK, TemplateBody=json.dumps({"Resources": resources})
    )


def resources(kind: str) -> dict[str, str]:
    """Return the physical ids of a stack's resources, by logical name."""
    listed = boto3.client("cloudformation").list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed if one["ResourceType"] == kind
    }


def state() -> dict[str, str]:
    """Return what a freeze changes, as AWS shows it."""
    functions, events = boto3.client("lambda"), boto3.client("events")
    found: dict[str, str] = {}
    for name, rule in resources("AWS::Events::Rule").items():
        found[name] = events.describe_rule(Name=rule)["State"]
    for name, mapping in resources("AWS::Lambda::EventSourceMapping").items():
        found[name] = functions.get_event_source_mapping(UUID=mapping)["State"]
    for name, function in resources("AWS::Lambda::Function").items():
        reserved = functions.get_function_concurrency(FunctionName=function)
        found[name] = str(reserved.get("ReservedConcurrentExecutions"))
    return found


def vary() -> None:
    """Make states that the template does not have: a limit, a poller and a schedule that are off."""
    functions = boto3.client("lambda")
    functions.put_function_concurrency(
        FunctionName=resources("AWS::Lambda::Function")["APIHandler"], ReservedConcurrentExecutions=400
    )
    mapping = resources("AWS::Lambda::EventSourceMapping")["RefundPaymentsRefundPaymentsSqsEventSource"]
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    boto3.client("events").disable_rule(Name=resources("AWS::Events::Rule")["NotifyHostsNotifyHostsEvent"])


def test_a_freeze_stops_everything_and_a_thaw_undoes_it(stack: Live) -> None:
    vary()
    before = state()

    planned = list(stack.freeze(dry_run=True))
    assert state() == before
    assert list(stack.freeze()) == planned
    frozen = state()

    called_directly = {function.logical_name for function in TABLE if function.is_called_directly}
    assert {name: frozen.pop(name) for name in called_directly} == dict.fromkeys(called_directly, "None")
    assert set(frozen.values()) == {"DISABLED", "Disabled", "0"}
    assert [line.partition(":")[0] for line in planned if "Handler" in line] == ["APIHandler"]
    assert len(planned) == len(frozen)

    thawed = list(stack.thaw(dry_run=True))
    assert list(stack.thaw()) == thawed
    assert len(thawed) == len(planned)
    assert state() == before
    assert list(stack.thaw()) == []


def test_an_interrupted_freeze_is_completed_and_undone_exactly(stack: Live) -> None:
    vary()
    before = state()

    interrupted = stack.freeze()
    for _ in range(20):  # the last part is stored, and perhaps not stopped
        next(interrupted)
    list(stack.freeze())
    list(stack.freeze())
    list(stack.thaw())

    assert state() == before


def test_some_functions_are_thawed_first(stack: Live) -> None:
    before = state()
    list(stack.freeze())
    frozen = state()

    list(stack.thaw(["reconcile_payments"]))

    changed = {name for name, value in state().items() if value != frozen[name]}
    assert changed == {"ReconcilePayments", "ReconcilePaymentsReconcilePaymentsEvent"}
    list(stack.thaw())
    assert state() == before


@pytest.mark.usefixtures("stack")
def test_another_stack_is_refused() -> None:
    boto3.client("cloudformation").create_stack(
        StackName="other", TemplateBody=json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    )
    with pytest.raises(NotPossible, match="other"):
        Live("other")


def publish(code: str) -> None:
    """Publish a release of all functions, as a deployment does."""
    functions = boto3.client("lambda")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", code)
    names = resources("AWS::Lambda::Function")
    for function in SERVING:
        name = names[function.logical_name]
        updated = functions.update_function_code(FunctionName=name, ZipFile=packed.getvalue(), Publish=True)
        version = updated["Version"]
        try:
            functions.update_alias(FunctionName=name, Name=ALIAS, FunctionVersion=version)
        except functions.exceptions.ResourceNotFoundException:
            functions.create_alias(FunctionName=name, Name=ALIAS, FunctionVersion=version)


def test_a_rollback_serves_the_release_before_the_last_deployment(stack: Live) -> None:
    publish("first")
    first = stack.versions()
    stack.remember({})  # the first deployment
    with pytest.raises(NotPossible, match="Deploy the earlier version"):
        list(stack.roll_back())

    publish("second")
    stack.remember(first)
    second = stack.versions()
    assert all(second[name] != first[name] for name in first)
    stack.remember(second)  # a deployment without a change
    assert stack.versions(PREVIOUS) == first

    planned = list(stack.roll_back(dry_run=True))
    assert stack.versions() == second
    assert list(stack.roll_back()) == planned
    assert len(planned) == len(SERVING)
    assert stack.versions() == first
    list(stack.roll_back())
    assert stack.versions() == first

"""The words of CloudFormation's language that the template is written in."""

from typing import Any

from infra.functions import Function

Json = dict[str, Any]

NOTHING: Json = {"Ref": "AWS::NoValue"}
"""A property that has this is not there."""


def ref(name: str) -> Json:
    return {"Ref": name}


def att(name: str, attribute: str = "Arn") -> Json:
    return {"Fn::GetAtt": [name, attribute]}


def sub(text: str, **values: Any) -> Json:
    """Have `${Name}` in a text replaced by resources, parameters, or the values given here."""
    return {"Fn::Sub": [text, values] if values else text}


def when(condition: str, then: Any, otherwise: Any = NOTHING) -> Json:
    return {"Fn::If": [condition, then, otherwise]}


def of_stage(key: str) -> Json:
    """Look a value of the stage up, see `stages.py`."""
    return {"Fn::FindInMap": ["Stages", ref("Stage"), key]}


def arn(service: str, resource: str) -> Json:
    """Name a resource of this account and region."""
    return sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def resource(kind: str, properties: Json, **more: Any) -> Json:
    """Declare one: `kind` without `AWS::`, and attributes such as `Condition` or `DeletionPolicy`."""
    return {"Type": f"AWS::{kind}", **more, "Properties": properties}


def titled(name: str) -> str:
    """Make a logical name of a name with hyphens."""
    return "".join(part.title() for part in name.split("-"))


def tag(name: str) -> list[Json]:
    return [{"Key": "Name", "Value": sub(f"${{AWS::StackName}}-{name}")}]


def allow(actions: str | list[str], resources: Any, condition: Json | None = None) -> Json:
    """Write a statement of a role's policy."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


def policy(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def assumed_by(service: str, condition: Json | None = None) -> Json:
    """Let a service of AWS take a role."""
    statement: Json = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": f"{service}.amazonaws.com"},
    }
    return policy({**statement, "Condition": condition} if condition else statement)


def role_of(function: Function) -> str:
    return f"{function.logical_name}Role"


def logs_of(function: Function) -> str:
    return f"{function.logical_name}Logs"

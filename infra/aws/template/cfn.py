"""CloudFormation's intrinsic functions and the resources that several modules share."""

from typing import Any, Literal

Json = dict[str, Any]

NO_VALUE: Json = {"Ref": "AWS::NoValue"}
"""Removes the property that is set to it."""


def ref(name: str) -> Json:
    return {"Ref": name}


def att(name: str, attribute: str = "Arn") -> Json:
    return {"Fn::GetAtt": [name, attribute]}


def sub(text: str, **values: Any) -> Json:
    """Replace each `${Name}` in a text by a resource, a parameter or one of the given values."""
    return {"Fn::Sub": [text, values] if values else text}


def when(condition: str, then: Any, otherwise: Any = NO_VALUE) -> Json:
    return {"Fn::If": [condition, then, otherwise]}


def of_stage(key: str) -> Json:
    """Look up a value that depends on the stage, see `stages.py`."""
    return {"Fn::FindInMap": ["Stages", ref("Stage"), key]}


def arn(service: str, resource: str) -> Json:
    """Return the ARN of a resource in this account and region."""
    return sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def logical_name(name: str) -> str:
    """Turn a name with hyphens or underscores into a logical name."""
    return name.title().replace("-", "").replace("_", "")


def resource(
    kind: str,
    properties: Json,
    *,
    removal_policy: Literal["Delete", "Retain", "Snapshot"] | None = None,
    **attributes: Any,
) -> Json:
    """Declare a resource. `kind` has no `AWS::`; attributes are such as `Condition` or `DependsOn`.

    The removal policy applies when the resource is deleted and when it is replaced.
    """
    if removal_policy:
        attributes |= {"UpdateReplacePolicy": removal_policy, "DeletionPolicy": removal_policy}
    return {"Type": f"AWS::{kind}", **attributes, "Properties": properties}


def log_group(name: str) -> Json:
    return resource(
        "Logs::LogGroup",
        {"LogGroupName": sub(f"/${{AWS::StackName}}/{name}"), "RetentionInDays": of_stage("LogDays")},
        removal_policy="Delete",
    )


def tag(name: str) -> list[Json]:
    return [{"Key": "Name", "Value": sub(f"${{AWS::StackName}}-{name}")}]


def policy(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(actions: str | list[str], resources: Any, **more: Any) -> Json:
    """Return a policy statement; `more` are members such as `Condition`."""
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def tls_only(action: str, resource: Json) -> Json:
    """Return a statement for a resource policy that denies unencrypted calls."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def assumed_by(service: str) -> Json:
    """Return a trust policy for an AWS service."""
    return policy(
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{service}.amazonaws.com"}}
    )

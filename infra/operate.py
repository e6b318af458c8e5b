"""`make operate`: runs an operation of `chalicelib/operations.py`, here or on AWS.

The arguments are environment variables, so that no shell has to quote them. With STACK_NAME, the operation
runs in that stack, otherwise in the `make run` on PORT.
"""

import json
import os
import sys
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws, run_dir

_CONFIG = Config(read_timeout=310, retries={"max_attempts": 0})
"""A call may last as long as the function, and is not repeated."""


class NoTarget(Exception):
    """There is nothing to operate. The message says what to do."""


def main() -> None:
    environment = os.environ
    try:
        request = {
            "operation": environment.get("OP", ""),
            "arguments": json.loads(environment.get("ARGS") or "{}"),
            "who": environment.get("WHO", ""),
            "why": environment.get("WHY", ""),
            "dryRun": environment.get("DRY_RUN") == "yes",
        }
        stack = environment.get("STACK_NAME")
        response = on_aws(stack, request) if stack else here(environment.get("PORT") or "8000", request)
    except (NoTarget, ClientError, BotoCoreError) as error:
        sys.exit(str(error))
    except ValueError as error:
        sys.exit(f'ARGS must be JSON, such as {{"queue": "email"}}: {error}')
    print(json.dumps(response, indent=2))
    if "result" not in response:
        sys.exit(1)


def on_aws(stack: str, request: dict[str, Any]) -> dict[str, Any]:
    """Run an operation in a stack.

    Raises:
        NoTarget
    """
    (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    if "OperateFunction" not in outputs:
        raise NoTarget(f"The stack {stack} has no output OperateFunction.")
    return _invoke(boto3.client("lambda", config=_CONFIG), outputs["OperateFunction"], request)


def here(port: str, request: dict[str, Any]) -> dict[str, Any]:
    """Run an operation in a `make run`.

    Raises:
        NoTarget
    """
    folders = [run_dir.folder_of(int(port), stack) for stack in run_dir.STACKS] if port.isdecimal() else []
    endpoint = next(filter(None, map(run_dir.endpoint_of, folders)), None)
    if endpoint is None:
        raise NoTarget(
            f"There is no run on port {port}. Start one with: PORT={port} make run\n"
            "For a stack on AWS set STACK_NAME, and AWS_PROFILE and AWS_REGION."
        )
    with aws.pointing_at(endpoint):
        return _invoke(boto3.client("lambda", config=_CONFIG), "operate", request)


def _invoke(client: Any, function: str, request: dict[str, Any]) -> dict[str, Any]:
    called = client.invoke(FunctionName=function, Payload=json.dumps(request))
    response: dict[str, Any] = json.loads(called["Payload"].read())
    return response


if __name__ == "__main__":
    main()

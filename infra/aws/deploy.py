"""`make deploy`: uploads the package, migrates the database and deploys the stack with the AWS CLI.

The new code migrates the schema before any other function runs the new code. It refuses to skip a release.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infra.aws.live import Live, NotPossible
from infra.aws.package import ARCHIVE, TEMPLATE
from infra.aws.template.stages import SHIFTS, STAGES

_MIGRATION_TIMEOUT_SECONDS = 900
"""Lambda's limit for one call."""


class DeploymentFailed(Exception):
    """A step failed. Later steps did not run."""


def deploy(
    folder: Path,
    stack: str,
    bucket: str,
    parameters: dict[str, str],
    *,
    migrates: bool = True,
    shift: str = "gradual",
) -> None:
    """Deploy the package in a folder. Migrate before, or after if the stack is new and has no database yet.

    Raises:
        DeploymentFailed
    """
    packaged = folder / "packaged.json"
    files = ("--template-file", str(folder / TEMPLATE), "--output-template-file", str(packaged))
    aws("cloudformation", "package", *files, "--s3-bucket", bucket, "--use-json")
    # CloudFormation takes 1 MB, half of which would be the CLI's indentation.
    packaged.write_text(json.dumps(json.loads(packaged.read_text()), separators=(",", ":")))
    existing = migrate_function(stack)
    before = Live(stack).versions() if existing else {}
    if existing and migrates:
        update = ("--function-name", existing, "--zip-file", f"fileb://{folder / ARCHIVE}")
        aws("lambda", "update-function-code", *update, "--query", "CodeSha256")
        aws("lambda", "wait", "function-updated-v2", "--function-name", existing)
        migrate(existing, folder)
    print(f"Deploying {stack} ...", flush=True)
    # Named each time, because a stack keeps the value of a parameter.
    named = {**parameters, "Shift": SHIFTS[shift], "Release": release(folder, parameters)}
    overrides = [f"{name}={value}" for name, value in named.items()]
    aws(
        *("cloudformation", "deploy", "--template-file", str(packaged), "--stack-name", stack),
        *("--s3-bucket", bucket, "--no-fail-on-empty-changeset"),
        *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        *("--parameter-overrides", *overrides),
    )
    if before:
        Live(stack).remember(before)
    if not existing and migrates:
        created = migrate_function(stack)
        if not created:
            raise DeploymentFailed(f"{stack} has no output MigrateFunction")
        migrate(created, folder)


def release(folder: Path, parameters: dict[str, str]) -> str:
    """Return a hash of what is deployed. SAM publishes new versions of the functions when it changes."""
    files = (folder / ARCHIVE).read_bytes() + (folder / TEMPLATE).read_bytes()
    return hashlib.sha256(files + json.dumps(parameters, sort_keys=True).encode()).hexdigest()


def migrate_function(stack: str) -> str | None:
    """Return the name of the stack's migration function, or None if the stack or the function is missing.

    Raises:
        DeploymentFailed
    """
    output = "Stacks[0].Outputs[?OutputKey=='MigrateFunction'].OutputValue"
    try:
        name = aws(
            *("cloudformation", "describe-stacks", "--stack-name", stack),
            *("--query", output, "--output", "text"),
        )
    except DeploymentFailed as error:
        if "does not exist" in str(error):
            return None
        raise
    return name if name not in {"", "None"} else None


def migrate(function: str, folder: Path) -> None:
    """Call the migration function and wait for its result.

    Raises:
        DeploymentFailed: The function failed. The AWS CLI exits with 0 in this case.
    """
    print(f"Migrating with {function} ...", flush=True)
    result = folder / "migrated.json"
    timeout = str(_MIGRATION_TIMEOUT_SECONDS + 10)
    error = aws(
        *("lambda", "invoke", "--function-name", function, "--cli-read-timeout", timeout),
        *("--query", "FunctionError", "--output", "text", str(result)),
    )
    if error != "None":
        raise DeploymentFailed(f"{function} failed: {result.read_text()}")


def aws(*arguments: str) -> str:
    """Run the AWS CLI and return its output.

    Raises:
        DeploymentFailed
    """
    try:
        ran = subprocess.run(["aws", *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise DeploymentFailed("The command aws was not found. Install the AWS CLI.") from None
    except subprocess.CalledProcessError as error:
        raise DeploymentFailed(f"aws {' '.join(arguments[:2])}: {error.stderr.strip()}") from error
    return ran.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make deploy")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--stack", required=True, help="name of the CloudFormation stack")
    parser.add_argument("--bucket", required=True, help="S3 bucket for the package")
    parser.add_argument("--parameters", type=Path, help="JSON file with parameter names and values")
    parser.add_argument("--migrate", choices=("yes", "no"), default="yes")
    parser.add_argument("--shift", choices=SHIFTS, default="gradual", help="how calls move to new versions")
    given = parser.parse_args()
    parameters = json.loads(given.parameters.read_text()) if given.parameters else {}
    folder, migrates = Path("build") / given.stage, given.migrate == "yes"
    try:
        deploy(folder, given.stack, given.bucket, parameters, migrates=migrates, shift=given.shift)
    except (DeploymentFailed, NotPossible, BotoCoreError, ClientError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""`make deploy`: uploads the package, migrates, and deploys, by the AWS CLI.

The schema is brought up to date by the new code before any other function runs it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from infra.package import ARCHIVE, TEMPLATE
from infra.template.stages import STAGES

LONGEST_MIGRATION = 900
"""Seconds that a Lambda function may take."""


class Failed(Exception):
    """A step did not succeed, and those after it were not taken."""


def deploy(
    folder: Path, stack: str, bucket: str, parameters: dict[str, str], *, migrates: bool = True
) -> None:
    """Deploy what `make package` put into a folder. A new stack is migrated last, when it has a database.

    Raises:
        Failed
    """
    packaged = folder / "packaged.json"
    upload = ("--template-file", str(folder / TEMPLATE), "--output-template-file", str(packaged))
    aws("cloudformation", "package", *upload, "--s3-bucket", bucket, "--use-json")
    known = migrate_function(stack)
    if known and migrates:
        print(f"Migrating by {known} ...", flush=True)
        update = ("--function-name", known, "--zip-file", f"fileb://{folder / ARCHIVE}")
        aws("lambda", "update-function-code", *update, "--query", "CodeSha256")
        aws("lambda", "wait", "function-updated-v2", "--function-name", known)
        migrate(known, folder)
    print(f"Deploying {stack} ...", flush=True)
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    aws(
        *("cloudformation", "deploy", "--template-file", str(packaged), "--stack-name", stack),
        *("--s3-bucket", bucket, "--no-fail-on-empty-changeset"),
        *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        *(["--parameter-overrides", *overrides] if overrides else []),
    )
    if not known and migrates:
        new = migrate_function(stack)
        if not new:
            raise Failed(f"{stack} has no function to migrate with")
        print(f"Migrating by {new} ...", flush=True)
        migrate(new, folder)


def migrate_function(stack: str) -> str | None:
    """Return the name of the function that migrates, where the stack is there and has it.

    Raises:
        Failed
    """
    output = "Stacks[0].Outputs[?OutputKey=='MigrateFunction'].OutputValue"
    try:
        name = aws(
            *("cloudformation", "describe-stacks", "--stack-name", stack),
            *("--query", output, "--output", "text"),
        )
    except Failed as error:
        if "does not exist" in str(error):
            return None
        raise
    return name if name not in {"", "None"} else None


def migrate(function: str, folder: Path) -> None:
    """Call the function that migrates, and wait for it.

    Raises:
        Failed: It did not succeed; the CLI itself counts a call as a success whose function failed.
    """
    answer = folder / "migrated.json"
    failure = aws(
        *("lambda", "invoke", "--function-name", function, "--cli-read-timeout", str(LONGEST_MIGRATION + 10)),
        *("--query", "FunctionError", "--output", "text", str(answer)),
    )
    if failure != "None":
        raise Failed(f"{function} failed: {answer.read_text()}")


def aws(*arguments: str) -> str:
    """Run the AWS CLI.

    Raises:
        Failed
    """
    try:
        ran = subprocess.run(["aws", *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise Failed("There is no aws: install the AWS CLI") from None
    except subprocess.CalledProcessError as error:
        raise Failed(f"aws {' '.join(arguments[:2])}: {error.stderr.strip()}") from error
    return ran.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make deploy")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--bucket", required=True, help="where the package is uploaded to")
    parser.add_argument("--parameters", type=Path, help="a file of JSON: names and values")
    parser.add_argument("--migrate", choices=("yes", "no"), default="yes")
    given = parser.parse_args()
    parameters = json.loads(given.parameters.read_text()) if given.parameters else {}
    try:
        deploy(
            Path("build") / given.stage,
            given.stack,
            given.bucket,
            parameters,
            migrates=given.migrate == "yes",
        )
    except Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

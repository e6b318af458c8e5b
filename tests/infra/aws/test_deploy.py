"""`make deploy`: the order of its steps. No code runs on a schema that it does not know."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from infra.aws.package import ARCHIVE, TEMPLATE
from infra.local import aws

CHECKOUT = Path(__file__).parents[3]

AWS = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
state = json.loads((here / "state.json").read_text())
arguments = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
match arguments[:2]:
    case "cloudformation", "describe-stacks":
        if not state["exists"]:
            sys.exit("An error occurred (ValidationError): Stack with id s does not exist")
        print("the-migrate-function")
    case "cloudformation", "package":
        template = json.dumps({{"Resources": {{}}}}, indent=4)
        pathlib.Path(arguments[arguments.index("--output-template-file") + 1]).write_text(template)
    case "cloudformation", "deploy":
        (here / "state.json").write_text(json.dumps({{**state, "exists": True}}))
    case "lambda", "invoke":
        pathlib.Path(arguments[-1]).write_text("the reason")
        print("Unhandled" if state["migration_fails"] else "None")
"""
"""A fake AWS CLI that records its calls. state.json says whether the stack exists and the migration fails."""


@dataclass(frozen=True)
class Cli:
    folder: Path

    def set_state(self, *, exists: bool, migration_fails: bool = False) -> None:
        state = {"exists": exists, "migration_fails": migration_fails}
        (self.folder / "state.json").write_text(json.dumps(state))

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "infra.aws.deploy",
            "dev",
            "--stack",
            "s",
            "--bucket",
            "b",
            *arguments,
        ]
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(  # noqa: S603
            command,
            cwd=self.folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> Sequence[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def steps(self) -> list[str]:
        return [call[1] for call in self.calls() if call[1] != "describe-stacks"]


@pytest.fixture
def stack() -> Iterator[None]:
    """A stack in moto, which has no function behind an alias."""
    with aws.running():
        template = {"Resources": {"Operate": {"Type": "AWS::SQS::Queue"}}}
        boto3.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(template))
        yield


@pytest.fixture
def cli(tmp_path: Path, stack: None) -> Cli:
    assert stack is None
    (tmp_path / "build/dev").mkdir(parents=True)
    for name in (ARCHIVE, TEMPLATE):
        (tmp_path / "build/dev" / name).write_text(name)
    program = tmp_path / "aws"
    program.write_text(AWS.format(python=sys.executable))
    program.chmod(0o755)
    return Cli(tmp_path)


def test_new_code_migrates_before_the_deployment(cli: Cli) -> None:
    cli.set_state(exists=True)
    assert cli.deploy().returncode == 0
    assert cli.steps() == ["package", "update-function-code", "wait", "invoke", "deploy"]
    update = next(call for call in cli.calls() if call[1] == "update-function-code")
    assert update[-3].endswith("deployment.zip")


def test_a_new_stack_is_migrated_after_the_deployment(cli: Cli) -> None:
    cli.set_state(exists=False)
    assert cli.deploy().returncode == 0
    assert cli.steps() == ["package", "deploy", "invoke"]


def test_a_failed_migration_stops_the_deployment(cli: Cli) -> None:
    cli.set_state(exists=True, migration_fails=True)
    deployment = cli.deploy()
    assert deployment.returncode != 0
    assert "the reason" in deployment.stderr
    assert cli.steps()[-1] == "invoke"


def test_parameters_are_read_from_a_file(cli: Cli) -> None:
    cli.set_state(exists=True)
    file = cli.folder / "dev.json"
    file.write_text(json.dumps({"MailSender": "Event booking <no-reply@example.com>"}))
    assert cli.deploy("--parameters", str(file)).returncode == 0
    assert "MailSender=Event booking <no-reply@example.com>" in cli.calls()[-1]


def test_a_changed_parameter_is_another_release(cli: Cli) -> None:
    cli.set_state(exists=True)
    file = cli.folder / "dev.json"
    releases = []
    for rotation in ("1", "2", "2"):
        file.write_text(json.dumps({"SecretsRotation": rotation}))
        assert cli.deploy("--parameters", str(file)).returncode == 0
        releases.append(cli.calls()[-1][-1])
    assert releases[0].startswith("Release=")
    assert releases[0] != releases[1] == releases[2]


def test_migrate_no_deploys_without_a_migration(cli: Cli) -> None:
    cli.set_state(exists=True, migration_fails=True)
    assert cli.deploy("--migrate", "no").returncode == 0
    assert cli.steps() == ["package", "deploy"]

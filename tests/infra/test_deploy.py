"""Deploying: in an order in which no code meets a schema that it does not know."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

AWS = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
state = json.loads((here / "state.json").read_text())
words = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
match words[:2]:
    case "cloudformation", "describe-stacks":
        if not state["there"]:
            sys.exit("An error occurred (ValidationError): Stack with id s does not exist")
        print("the-migrate-function")
    case "cloudformation", "deploy":
        (here / "state.json").write_text(json.dumps({{**state, "there": True}}))
    case "lambda", "invoke":
        pathlib.Path(words[-1]).write_text("what went wrong")
        print("Unhandled" if state["broken"] else "None")
"""
"""A stand-in for the AWS CLI that notes its calls. The stack may be there, and the migration may fail."""


@dataclass(frozen=True)
class Cli:
    folder: Path

    def be(self, *, there: bool, broken: bool = False) -> None:
        (self.folder / "state.json").write_text(json.dumps({"there": there, "broken": broken}))

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "infra.deploy", "dev", "--stack", "s", "--bucket", "b", *arguments]
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
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "build/dev").mkdir(parents=True)
    program = tmp_path / "aws"
    program.write_text(AWS.format(python=sys.executable))
    program.chmod(0o755)
    return Cli(tmp_path)


def test_a_stack_is_migrated_by_the_new_code_before_it_is_deployed(cli: Cli) -> None:
    cli.be(there=True)
    assert cli.deploy().returncode == 0
    assert cli.steps() == ["package", "update-function-code", "wait", "invoke", "deploy"]
    update = next(call for call in cli.calls() if call[1] == "update-function-code")
    assert update[-3].endswith("deployment.zip")


def test_a_new_stack_is_migrated_when_it_is_there(cli: Cli) -> None:
    cli.be(there=False)
    assert cli.deploy().returncode == 0
    assert cli.steps() == ["package", "deploy", "invoke"]


def test_nothing_is_deployed_after_a_migration_that_failed(cli: Cli) -> None:
    cli.be(there=True, broken=True)
    ran = cli.deploy()
    assert ran.returncode != 0
    assert "what went wrong" in ran.stderr
    assert cli.steps()[-1] == "invoke"


def test_parameters_are_taken_from_a_file_as_they_are(cli: Cli) -> None:
    cli.be(there=True)
    given = cli.folder / "dev.json"
    given.write_text(json.dumps({"MailSender": "Event booking <no-reply@example.com>"}))
    assert cli.deploy("--parameters", str(given)).returncode == 0
    assert cli.calls()[-1][-1] == "MailSender=Event booking <no-reply@example.com>"


def test_an_older_version_is_deployed_without_a_migration(cli: Cli) -> None:
    cli.be(there=True, broken=True)
    assert cli.deploy("--migrate", "no").returncode == 0
    assert cli.steps() == ["package", "deploy"]

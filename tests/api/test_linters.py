"""Redocly and Spectral find nothing to complain about in the OpenAPI document."""

import json
from pathlib import Path

import pytest

from tests.api import npm
from tests.client import Client

REDOCLY = "@redocly/cli@2.77.0"
SPECTRAL = "@stoplight/spectral-cli@6.16.3"

pytestmark = pytest.mark.tools


@pytest.fixture
def document(client: Client, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(client("GET", "/openapi.json").text)
    return path


def test_redocly_finds_no_problem(document: Path) -> None:
    done = npm.run(npm.install(REDOCLY), "redocly", "lint", "--format=json", str(document))

    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert done.returncode == 0


def test_spectral_finds_no_problem(document: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text('extends: ["spectral:oas"]')
    arguments = ["--fail-severity=hint", f"--ruleset={rules}", str(document)]
    done = npm.run(npm.install(SPECTRAL), "spectral", "lint", *arguments)

    assert done.returncode == 0, done.stdout

"""What the tests of the deployment share: the template of each stage, and the package, made once."""

import fcntl
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.package import chalice_step
from infra.package.build import build
from infra.package.target import this_machine
from infra.template.stages import STAGES


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make the template of a stage, once."""

    @cache
    def make(stage: str) -> dict[str, Any]:
        template, _files = chalice_step.run(stage, tmp_path_factory.mktemp(stage))
        return template

    return make


@pytest.fixture(params=STAGES)
def template(made: Any, request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(made(request.param))


@pytest.fixture
def resources(made: Any) -> dict[str, Any]:
    return dict(made("prod")["Resources"])


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package for this machine, which the workers of a test run share."""
    folder = tmp_path_factory.getbasetemp().parent / "package"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            # Not compiled, which would take as long as all else; small folders are, in the tests.
            build("dev", replace(this_machine(), interpreter=None), folder)
            (folder / "whole").touch()
    return folder

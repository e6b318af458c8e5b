"""Fixtures: the template of each stage and a package, each built once."""

import fcntl
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.aws.package import chalice_package
from infra.aws.package.build import build
from infra.aws.package.target import local_target
from infra.aws.template.stages import STAGES


@pytest.fixture(scope="session")
def build_template(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that builds the template of a stage once."""

    @cache
    def build_once(stage: str) -> dict[str, Any]:
        template, _files = chalice_package.run(stage, tmp_path_factory.mktemp(stage))
        return template

    return build_once


@pytest.fixture(params=STAGES)
def template(build_template: Any, request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(build_template(request.param))


@pytest.fixture
def resources(build_template: Any) -> dict[str, Any]:
    return dict(build_template("prod")["Resources"])


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package for this machine, shared by the workers of a test run."""
    base = tmp_path_factory.getbasetemp()
    # A worker's folder is in that of its run. Without workers, the parent also has the folders of other runs.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "package"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            # Uncompiled, as compiling takes as long as the rest. Tests compile small folders.
            build("dev", replace(local_target(), interpreter=None), folder)
            (folder / "complete").touch()
    return folder

"""The dependencies: runtime requirements as wheels of the target, in the versions that the tests ran with."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from infra.package.target import Target

_LEFT_OUT = {"bin", "tests", "__pycache__"}
"""Folders: start scripts, which name an interpreter of this machine, and the libraries' own tests."""
_RECORDS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""Files of a `.dist-info` folder about the installation, not about the library."""


def install(requirements: Path, target: Target, folder: Path) -> None:
    """Put what the requirements need into a folder, without what only the making of it needed."""
    constraints = folder.with_suffix(".constraints")
    constraints.write_text("".join(f"{line}\n" for line in _tested_versions()))
    of_interpreter = ["--python", target.interpreter] if target.interpreter else []
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", *of_interpreter, "install", "--quiet"),
            *("--disable-pip-version-check", "--root-user-action=ignore", "--no-compile"),
            *("--requirement", str(requirements), "--constraint", str(constraints)),
            *("--target", str(folder), "--only-binary=:all:", *_tags(target)),
        ],
        check=True,
    )
    _prune(folder)


def _tested_versions() -> Iterator[str]:
    """Pin all that is installed here, and so also what requirements.txt does not name."""
    for found in distributions():
        yield f"{found.name}=={found.version}"


def _tags(target: Target) -> Iterator[str]:
    if target.platforms:
        yield from ("--implementation", "cp", "--python-version", target.version)
    for platform in target.platforms:
        yield from ("--platform", platform)


def _prune(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.name in _LEFT_OUT:
            shutil.rmtree(path)
        elif path.name in _RECORDS and path.parent.suffix == ".dist-info":
            path.unlink()

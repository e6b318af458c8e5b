"""The dependencies: wheels for the target, by the hashes in the lock file."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.aws.package.target import Target

_PRUNED_FOLDERS = {"bin", "tests", "__pycache__"}
_PRUNED_RECORDS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""Files in `.dist-info` folders that describe the installation instead of the library."""


def install(lock: Path, target: Target, folder: Path) -> None:
    """Install the locked requirements into a folder and remove what Lambda does not need."""
    interpreter = ["--python", target.interpreter] if target.interpreter else []
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", *interpreter, "install", "--quiet"),
            *("--disable-pip-version-check", "--root-user-action=ignore", "--no-compile"),
            *("--requirement", str(lock), "--require-hashes", "--no-deps"),
            *("--target", str(folder), "--only-binary=:all:", *_wheel_tags(target)),
        ],
        check=True,
    )
    _prune(folder)


def _wheel_tags(target: Target) -> Iterator[str]:
    if target.platforms:
        yield from ("--implementation", "cp", "--python-version", target.version)
    for platform in target.platforms:
        yield from ("--platform", platform)


def _prune(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.name in _PRUNED_FOLDERS:
            shutil.rmtree(path)
        elif path.name in _PRUNED_RECORDS and path.parent.suffix == ".dist-info":
            path.unlink()

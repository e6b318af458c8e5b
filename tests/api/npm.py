"""Install npm packages of pinned versions into a folder of the machine's temporary files, once."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NPM = shutil.which("npm")
NODE = shutil.which("node") or "node"


def install(*packages: str) -> Path:
    """Return the folder with the packages. Skip the test if npm or its registry cannot be reached."""
    if NPM is None:
        pytest.skip("needs npm (apt-get install npm)")
    name = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"event-booking-npm-{name}"
    if not (folder / "installed").exists():
        folder.mkdir(exist_ok=True)
        done = subprocess.run(  # noqa: S603 (npm, with packages named in a test)
            [NPM, "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install {', '.join(packages)}: {done.stderr[-500:]}")
        (folder / "installed").touch()
    return folder


def run(folder: Path, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the installed packages."""
    return subprocess.run(  # noqa: S603 (a command of a package named in a test)
        [folder / "node_modules" / ".bin" / command, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def node(folder: Path, script: Path, *arguments: str, text: str) -> str:
    """Run a script that uses the installed packages, with a text as its standard input; return its output."""
    done = subprocess.run(  # noqa: S603 (a script of the tests)
        [NODE, script, *arguments],
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

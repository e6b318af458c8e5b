"""What a package is made for: an interpreter and a platform."""

import subprocess
import sys
from dataclasses import dataclass

from infra.template.functions import RUNTIME

RUNTIME_VERSION = RUNTIME.removeprefix("python")


_NEWEST_GLIBC, _OLDEST_GLIBC = 34, 17
"""Minor versions: that of Amazon Linux 2023, and the first that Python 3.13 has wheels for."""
_ARM64 = tuple(f"manylinux_2_{minor}_aarch64" for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1))


class NoInterpreter(Exception):
    """There is no Python of the runtime's version here; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """Where the package is to run."""

    version: str
    """Of Python, such as 3.13."""
    platforms: tuple[str, ...]
    """Tags of the wheels that will do, the newest first; this machine's own where empty."""
    interpreter: str | None
    """A Python of that version on this machine, which compiles; None leaves the package uncompiled."""


def this_machine() -> Target:
    """Make a package that this very interpreter can import."""
    return Target(version=version_of(sys.executable), platforms=(), interpreter=sys.executable)


def of_lambda(interpreter: str | None) -> Target:
    """Make a package for the deployment: Amazon Linux 2023 on arm64.

    Raises:
        NoInterpreter: The interpreter is not there, or of another version.
    """
    if interpreter is not None and (found := version_of(interpreter)) != RUNTIME_VERSION:
        present = f"Python {found}" if found else "not there"
        raise NoInterpreter(
            f"{interpreter} is {present}, and the package is for Python {RUNTIME_VERSION}. Name one, "
            f"RUNTIME_PYTHON=/path/to/python{RUNTIME_VERSION}, or say BYTECODE=off for a package without "
            "compiled files, which starts more slowly."
        )
    return Target(version=RUNTIME_VERSION, platforms=_ARM64, interpreter=interpreter)


def version_of(interpreter: str) -> str:
    """Return the version of an interpreter, such as 3.13; empty where it does not run."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run([interpreter, "-c", program], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ran.stdout.strip()

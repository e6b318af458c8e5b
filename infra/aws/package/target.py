"""The target of a package: a Python version and a platform."""

import subprocess
import sys
from dataclasses import dataclass

from infra.aws.template.lambdas import RUNTIME

RUNTIME_VERSION = RUNTIME.removeprefix("python")

_MAX_GLIBC, _MIN_GLIBC = 34, 17
"""Minor versions of glibc: Amazon Linux 2023 has 2.34, and the oldest wheels for Python 3.13 need 2.17."""
_ARM64 = tuple(f"manylinux_2_{minor}_aarch64" for minor in range(_MAX_GLIBC, _MIN_GLIBC - 1, -1))


class NoInterpreter(Exception):
    """No Python of the runtime's version was found. The message says what to do."""


@dataclass(frozen=True)
class Target:
    version: str
    """Python version, such as 3.13."""
    platforms: tuple[str, ...]
    """Accepted wheel tags, newest first. Empty for this machine's platform."""
    interpreter: str | None
    """Python of this version on this machine, to compile the package; None to leave it uncompiled."""


def local_target() -> Target:
    """Return a target that the running interpreter can import."""
    return Target(version=_python_version(sys.executable), platforms=(), interpreter=sys.executable)


def lambda_target(interpreter: str | None) -> Target:
    """Return the target on AWS: Amazon Linux 2023 on arm64.

    Raises:
        NoInterpreter: The interpreter does not exist or has another version.
    """
    if interpreter is not None and (version := _python_version(interpreter)) != RUNTIME_VERSION:
        found = f"is Python {version}" if version else "was not found"
        raise NoInterpreter(
            f"The package needs Python {RUNTIME_VERSION}, but {interpreter} {found}. Choose another with "
            f"RUNTIME_PYTHON=/path/to/python{RUNTIME_VERSION}, or use BYTECODE=off for a package without "
            "compiled files, which starts more slowly."
        )
    return Target(version=RUNTIME_VERSION, platforms=_ARM64, interpreter=interpreter)


def _python_version(interpreter: str) -> str:
    """Return an interpreter's version, such as 3.13, or an empty text if it does not run."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run([interpreter, "-c", program], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ran.stdout.strip()

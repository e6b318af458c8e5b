"""A copy of the project. Tests run its `make run`, `make reset` and `make operate`."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from infra.local import postgres_binaries, run_dir
from infra.local.startup import CHECKOUT

TIMEOUT = 180  # seconds, far more than a start needs on a slow machine


class Run:
    """A `make run` in progress, with its output so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""

    def wait_for(self, pattern: str) -> str:
        """Read the output up to a line with the pattern, and return that line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if re.search(pattern, line):
                return line.strip()
        raise AssertionError(f"ended without a line with {pattern!r}:\n{self.output}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        self.output += self.process.communicate(timeout=TIMEOUT)[0]
        return self.process.returncode


class Project:
    """A copy of the code, so that a test does not touch the developer's data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("infra", "chalicelib"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / name, folder / name, ignore=ignored)
        shutil.copy(CHECKOUT / "app.py", folder)
        self.port = free_port()
        self.run_folder = folder / ".local" / f"port-{self.port}"

    @contextmanager
    def run(self, **environment: str) -> Iterator[Run]:
        process = self._start("run", **environment)
        watchdog = threading.Timer(TIMEOUT, process.kill)
        watchdog.start()
        try:
            yield Run(process)
        finally:
            watchdog.cancel()
            process.terminate()
            process.communicate(timeout=TIMEOUT)

    def fail(self, command: str, **environment: str) -> str:
        """Run a command that must fail with a message, and return its output."""
        return self._finish(command, 1, **environment)

    def succeed(self, command: str) -> str:
        """Run a command that must succeed, and return its output."""
        return self._finish(command, 0)

    def operate(self, operation: str, arguments: str, *, code: int = 0) -> str:
        """Run `make operate`, and return its output."""
        environment = {"OP": operation, "ARGS": arguments, "WHO": "ana", "WHY": "SES was down"}
        return self._finish("operate", code, **environment)

    def reset(self) -> str:
        return self.succeed("reset")

    def data(self) -> Path:
        """Return the data folder of PostgreSQL."""
        wanted = self.run_folder / run_dir.DATA
        return wanted if wanted.exists() else postgres_binaries.public_data_folder(wanted, self.folder)

    def _finish(self, command: str, code: int, **environment: str) -> str:
        process = self._start(command, **environment)
        output = process.communicate(timeout=TIMEOUT)[0]
        assert process.returncode == code, output
        assert "Traceback" not in output, output
        return output

    def _start(self, command: str, **environment: str) -> subprocess.Popen[str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.Popen(  # noqa: S603
            [
                sys.executable,
                "-m",
                *(["infra.operate"] if command == "operate" else ["infra.local", command]),
            ],
            cwd=self.folder,
            env={**inherited, "PORT": str(self.port), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request("GET", path)
    try:
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()

"""A copy of the project whose `make run` tests start, stop and ask."""

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

from infra.local import installation, state
from infra.local.installation import CHECKOUT

PATIENCE = 60  # seconds that a test waits for what must come


class Run:
    """A `make run` in progress, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def wait_for(self, pattern: str) -> str:
        """Read what it says up to a line with the pattern; return that line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if re.search(pattern, line):
                return line.strip()
        raise AssertionError(f"ended without saying {pattern!r}:\n{self.said}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.said += self.process.communicate(timeout=PATIENCE)[0]
        return self.process.returncode


class Project:
    """A copy of what runs, so that its state is not the developer's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("infra", "chalicelib", ".chalice"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / name, folder / name, ignore=ignored)
        shutil.copy(CHECKOUT / "app.py", folder)
        self.port = free_port()
        self.state = folder / ".local" / f"port-{self.port}"

    @contextmanager
    def run(self, **environment: str) -> Iterator[Run]:
        process = self._start("run", **environment)
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            yield Run(process)
        finally:
            watchdog.cancel()
            process.terminate()
            process.communicate(timeout=PATIENCE)

    def complaint(self, command: str, **environment: str) -> str:
        """Run a command that has to fail, and return all that it says."""
        process = self._start(command, **environment)
        said = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 1, said
        return said

    def reset(self) -> str:
        return self.say("reset")

    def say(self, command: str) -> str:
        """Run a command that has to succeed, and return all that it says."""
        process = self._start(command)
        said = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0, said
        return said

    def data(self) -> Path:
        wanted = self.state / state.DATA
        return wanted if wanted.exists() else installation.moved_data_folder(wanted, self.folder)

    def _start(self, command: str, **environment: str) -> subprocess.Popen[str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "infra.local", command],
            cwd=self.folder,
            env={**kept, "PORT": str(self.port), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    try:
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def status(port: int, path: str) -> int:
    return get(port, path)[0]

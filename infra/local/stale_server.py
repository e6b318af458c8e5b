"""Finds a PostgreSQL server that a killed run left running on a data folder, and stops it."""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from infra.local.startup import CannotStart, Say

SHUTDOWNS = ((signal.SIGINT, 15), (signal.SIGQUIT, 5))
"""The signals for a fast and for an immediate shutdown, each with its timeout in seconds."""
STATUS_LINE = 7  # of postmaster.pid, counted from 0


@dataclass(frozen=True)
class PidFile:
    """The postmaster.pid that a server writes into its data folder."""

    pid: int
    ready: bool


def read(data: Path) -> PidFile | None:
    """Return the folder's postmaster.pid, or None if the file is missing or unreadable."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    status = "".join(lines[STATUS_LINE:])
    return PidFile(pid, ready=status.strip() == "ready")


def remove(data: Path, say: Say) -> None:
    """Stop a server that still runs on the folder, or delete a pid file that names no server."""
    file = read(data)
    if file and is_server(file.pid, data):
        say(f"Stopping PostgreSQL (process {file.pid}), left over from a killed run")
        _stop(file.pid, data)
    elif file is None or _exists(file.pid):
        # Another process has the number now, and PostgreSQL would take it for a server. If the number is
        # free, PostgreSQL handles the file itself, and uses it to check shared memory.
        (data / "postmaster.pid").unlink(missing_ok=True)


def is_server(pid: int, data: Path) -> bool:
    """Say whether the process is a PostgreSQL server on the folder."""
    return f"/postgres -D {data} " in _command_line(pid)


def _command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(OSError):
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        return ""
    shown = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607 - macOS has it in its path
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stop(pid: int, data: Path) -> None:
    for number, timeout in SHUTDOWNS:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            break
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not is_server(pid, data):
                return
            time.sleep(0.05)
    raise CannotStart(
        f"A PostgreSQL server of an earlier run (process {pid}) uses {data} and does not stop. "
        f"Stop it yourself: kill -INT {pid}"
    )

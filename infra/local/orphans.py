"""Recognises a PostgreSQL server that a killed run left on a data folder, and stops it."""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from infra.local.installation import CannotStart, Say

STOPS = ((signal.SIGINT, 15), (signal.SIGQUIT, 5))  # a fast shutdown, then an immediate one
STATUS_LINE = 7  # of postmaster.pid, counted from 0


@dataclass(frozen=True)
class Written:
    """What a server writes of itself into the postmaster.pid of its data folder."""

    pid: int
    ready: bool


def read(data: Path) -> Written | None:
    """Return what the folder's postmaster.pid says, None if it is not there or makes no sense."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    status = "".join(lines[STATUS_LINE:])
    return Written(pid, ready=status.strip() == "ready")


def clear(data: Path, say: Say) -> None:
    """Stop a server that still runs on the folder, or remove a pid file that names no server."""
    written = read(data)
    if written and serves(written.pid, data):
        say(f"Stopping PostgreSQL (process {written.pid}), left over from a run that was killed")
        _stop(written.pid, data)
    elif written is None or _exists(written.pid):
        # The number has gone to another process, which PostgreSQL would take for a server.
        # Where the number is free it finds that out itself, and checks shared memory by the file.
        (data / "postmaster.pid").unlink(missing_ok=True)


def serves(pid: int, data: Path) -> bool:
    """Say whether the process is a PostgreSQL server on that folder."""
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
    for number, patience in STOPS:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            break
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not serves(pid, data):
                return
            time.sleep(0.05)
    raise CannotStart(
        f"A PostgreSQL server of an earlier run (process {pid}) holds {data} and does not stop. "
        f"Stop it yourself: kill -INT {pid}"
    )

"""Errors of the start-up, with advice for the person who ran the command."""

import shutil
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

Say = Callable[[str], object]
"""Prints progress."""


class CannotStart(Exception):
    """The embedded stack cannot start. The message says what happened and what to do."""


def is_disk_full(output: str) -> bool:
    """Say whether the system (No space left) or PostgreSQL (its hint) reports a full disk."""
    return "No space left" in output or "Check free disk space" in output


def explain(problem: str, output: str, folder: Path) -> str:
    """Return the problem, the last lines of the output and advice."""
    last_lines = "\n".join(f"  {line}" for line in output.strip().splitlines()[-8:])
    if is_disk_full(output):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free // 1_000_000
        advice = (
            f"The disk is full: {existing} has {free} MB free, but 200 MB are needed. "
            "Free some space and try again."
        )
    elif "Permission denied" in output or "Operation not permitted" in output:
        advice = f"This account lacks write access. Check the owner of {folder} and of the folders above it."
    elif "incompatible with server" in output:
        advice = "The data was made by another release of PostgreSQL. Remove it with: make reset"
    else:
        advice = "If the problem persists, start with fresh data: make reset (removes the data)"
    return f"{problem}:\n{last_lines}\n{advice}"

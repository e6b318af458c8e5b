"""The folder of a run in `.local`: one for each port and stack, locked by one run at a time."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from infra.local.startup import CHECKOUT, CannotStart

LOCAL = CHECKOUT / ".local"
STACKS = (EMBEDDED, LOCALSTACK) = ("embedded", "localstack")
LOCK = "lock"
DATA = "postgres"
MAIL = "mail"
STRIPE = "stripe"
ENDPOINT = "lambda-endpoint"
FORMAT = "format"

DATA_FORMAT = "22"
"""Change it when a new first migration replaces all others: older databases cannot be updated then."""


def folder_of(port: int, stack: str = EMBEDDED) -> Path:
    return LOCAL / (f"port-{port}" if stack == EMBEDDED else f"port-{port}-{stack}")


def folders() -> list[Path]:
    return sorted(folder for folder in LOCAL.glob("port-*") if folder.is_dir())


@contextlib.contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """Lock the folder for a block. Raise CannotStart with the refusal if another process has the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with (folder / LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotStart(refusal) from None
            if _is_in_place(lock.fileno(), folder / LOCK):
                yield
                return
        # A reset removed the file after it was opened and before it was locked.
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def announced(folder: Path, endpoint: str) -> Iterator[None]:
    """Let other commands find the Lambda endpoint of this run for a block."""
    path = folder / ENDPOINT
    path.write_text(endpoint)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def endpoint_of(folder: Path) -> str | None:
    """Return the Lambda endpoint of the run in the folder, or None if the folder has no run."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(FileNotFoundError):  # the run is starting or stopping
            return (folder / ENDPOINT).read_text()
    except FileNotFoundError:
        pass
    return None


def check_format(folder: Path, *, has_data: bool) -> None:
    """Raise CannotStart if the data has another format, and record the format of new data."""
    path = folder / FORMAT
    if has_data and not (path.exists() and path.read_text() == DATA_FORMAT):
        raise CannotStart(
            f"The data in {LOCAL.name} was made by an older version of this project. "
            "Remove it with `make reset`."
        )
    path.write_text(DATA_FORMAT)


def secret(folder: Path, name: str) -> str:
    """Return a secret of the folder. It is made at first use, and only its owner can read it."""
    path = folder / name
    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(48))
        new.rename(path)
    return path.read_text()


def _is_in_place(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

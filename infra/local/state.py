"""What `make run` keeps between runs, in a folder for each port and stack that one run at a time may hold."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from infra.local.installation import CHECKOUT, CannotStart

LOCAL = CHECKOUT / ".local"
STACKS = (EMBEDDED, LOCALSTACK) = ("embedded", "localstack")  # what a run may stand on
LOCK = "lock"
DATA = "postgres"
MAIL = "mail"
STRIPE = "stripe"
ENDPOINT = "aws-endpoint"


def folder_of(port: int, stack: str = EMBEDDED) -> Path:
    return LOCAL / (f"port-{port}" if stack == EMBEDDED else f"port-{port}-{stack}")


def folders() -> list[Path]:
    return sorted(folder for folder in LOCAL.glob("port-*") if folder.is_dir())


@contextlib.contextmanager
def holding(folder: Path, refusal: str) -> Iterator[None]:
    """Hold the folder; raise CannotStart with the refusal when another process does."""
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
        # A reset has removed the file between its opening and its locking.
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def announcing(folder: Path, endpoint: str) -> Iterator[None]:
    """Let other commands know where the run that holds the folder has its AWS, while a block runs."""
    path = folder / ENDPOINT
    path.write_text(endpoint)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def announced(folder: Path) -> str | None:
    """Return where the run that holds the folder has its AWS, None when no run holds it."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(FileNotFoundError):  # it is just starting, or ending
            return (folder / ENDPOINT).read_text()
    except FileNotFoundError:
        pass
    return None


def secret(folder: Path, name: str = "jwt-secret") -> str:
    """Return a secret of the folder, made at its first use and readable by its owner alone."""
    path = folder / name
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(48))
        fresh.rename(path)
    return path.read_text()


def _is_in_place(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

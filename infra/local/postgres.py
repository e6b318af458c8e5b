"""Starts and stops a PostgreSQL server of one's own, with the programs that a PyPI wheel brings."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pg8000.native

from infra.local import orphans
from infra.local.installation import CannotStart, Installation, Say, explain, find

__all__ = [
    "CannotStart",
    "Options",
    "Postgres",
    "create_database",
    "drop_database",
    "has_database",
    "start",
    "temporary",
]

HOST = "127.0.0.1"
SUPERUSER = "postgres"

# What a service sets for its role in production; here for everyone who connects.
SETTINGS = {
    "statement_timeout": "10s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "30s",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "128MB",  # the folder may be in memory
}
MEMORY_NEEDED = 2**30  # bytes

READY_WITHIN = 120  # seconds; a long recovery after a crash takes its time
LAUNCHES = 5
# Launch again: the free port was taken, or the last process of a killed server is ending.
PASSING = ("Address already in use", "is still in use", "already exists")
SHUTDOWNS = ((signal.SIGINT, 15), (signal.SIGQUIT, 5), (signal.SIGKILL, 5))  # fast, immediate, none

_connect: Callable[..., Any] = pg8000.native.Connection  # it has no annotations


@dataclass(frozen=True)
class Options:
    """Where the data lies and how the server runs; only a test does without durability."""

    data: Path
    durable: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Postgres:
    """A running server; leaving its context stops it."""

    port: int
    data: Path
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def url(self, database: str = SUPERUSER) -> str:
        return f"postgresql+pg8000://{SUPERUSER}@{HOST}:{self.port}/{database}"

    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """End the server: sessions are cut off, nothing committed is lost. Safe to call again."""
        for number, patience in SHUTDOWNS:
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(options: Options, say: Say = print) -> Postgres:
    """Start a server on the data folder, made first if need be, on a free loopback port.

    Nobody else may use the folder: a server found running there is taken for a left-over and
    stopped. On Linux the server ends with the thread that called this, however that ends; elsewhere
    a starter that was killed leaves it running until the next start. Raises CannotStart.
    """
    try:
        installation = find(say)
        data = installation.data_folder(options.data, say)
        if not (data / "PG_VERSION").is_file():
            _initialise(installation, data)
        _check_owner(installation, data)
        orphans.clear(data, say)
        log = options.data.with_name(f"{options.data.name}.log")
        return _launch(installation, Options(data, options.durable, options.settings), log)
    except OSError as error:
        raise CannotStart(explain("PostgreSQL cannot start", str(error), options.data)) from error


@contextlib.contextmanager
def temporary(settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """Run an empty server without durability, for tests, and remove its data afterwards."""
    with tempfile.TemporaryDirectory(prefix="event-booking-postgres-", dir=_memory()) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that stands in for root has to come through
        options = Options(folder / "data", durable=False, settings=settings or {})
        with start(options, say=lambda _: None) as server:
            try:
                yield server
            finally:
                server.stop()
                shutil.rmtree(server.data)  # it may have had to lie elsewhere


def _memory() -> Path | None:
    """Where files are kept in memory, if there is room: a database is copied 20 times as fast there."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder with a random name is made in it
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_NEEDED:
        return memory
    return None


def create_database(server: Postgres, name: str, template: str | None = None) -> None:
    """Create a database; as a copy of `template`, to which nobody may be connected, in 10 ms."""
    # Copying files beats writing the copy to the WAL where there is something to copy.
    source = f" TEMPLATE {_quoted(template)} STRATEGY file_copy" if template else ""
    _administer(server, f"CREATE DATABASE {_quoted(name)}{source}")


def drop_database(server: Postgres, name: str) -> None:
    """Drop a database if it is there, and cut off whoever is connected to it."""
    _administer(server, f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")


def has_database(server: Postgres, name: str) -> bool:
    rows = _administer(server, "SELECT datname FROM pg_database")
    return [name] in rows


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _administer(server: Postgres, statement: str) -> list[list[object]]:
    """Run a statement that refuses a transaction block."""
    connection = _connect(SUPERUSER, HOST, port=server.port, ssl_context=False)
    with contextlib.closing(connection):
        return list(connection.run(statement) or [])


def _environment() -> dict[str, str]:
    """Return the environment without what would steer PostgreSQL or set its language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


def _initialise(installation: Installation, data: Path) -> None:
    """Make the data folder beside its place and move it, so that a half-made one never counts."""
    if data.exists() and any(data.iterdir()):
        raise CannotStart(f"{data} holds files but no database. Remove it with: make reset")
    for half_made in data.parent.glob(f"{data.name}.new-*"):
        shutil.rmtree(half_made, ignore_errors=True)  # a killed run's initdb may be at it too
    fresh = Path(tempfile.mkdtemp(dir=data.parent, prefix=f"{data.name}.new-"))
    try:
        if installation.account:
            installation.account.take(fresh)
        made = subprocess.run(
            installation.command(
                "initdb",
                f"--pgdata={fresh}",
                f"--username={SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
            ),
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,  # Ctrl-C is the starter's to handle
            check=False,
        )
        if made.returncode:
            output = made.stderr.decode(errors="replace")
            raise CannotStart(explain("PostgreSQL cannot make its data folder", output, data.parent))
        fresh.rename(data)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _check_owner(installation: Installation, data: Path) -> None:
    runs_as = installation.account.uid if installation.account else os.geteuid()
    owner = data.stat().st_uid
    if owner != runs_as:
        raise CannotStart(
            f"{data} belongs to account number {owner}, while PostgreSQL would run as {runs_as}. "
            "Run this as the account that made it, or remove it as that account with: make reset"
        )


def _launch(installation: Installation, options: Options, log: Path) -> Postgres:
    output = ""
    for _ in range(LAUNCHES):
        port = free_port()
        command = installation.command("postgres", "-D", str(options.data), *_flags(options, port))
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the starter's to handle, who stops it in order
            )
        server = Postgres(port, options.data, log, process)
        try:
            if _becomes_ready(server):
                return server
        except BaseException:
            server.stop()
            raise
        output = log.read_text(errors="replace")
        if not any(reason in output for reason in PASSING):
            break
        time.sleep(0.2)
    raise CannotStart(explain(f"PostgreSQL ended at its start; from {log}", output, options.data))


def _flags(options: Options, port: int) -> Iterator[str]:
    settings = {
        **SETTINGS,
        **({} if options.durable else NOT_DURABLE),
        **options.settings,
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
    }
    for name, value in settings.items():
        yield "-c"
        yield f"{name}={value}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _becomes_ready(server: Postgres) -> bool:
    """Wait for the server to write that it is ready; return False when it ends instead."""
    deadline = time.monotonic() + READY_WITHIN
    while server.running():
        # The pid tells this server's file from one that an earlier server left behind.
        if orphans.read(server.data) == orphans.Written(server.process.pid, ready=True):
            return True
        if time.monotonic() > deadline:
            raise CannotStart(f"PostgreSQL was not ready in {READY_WITHIN} s. Look into {server.log}")
        time.sleep(0.01)
    return False

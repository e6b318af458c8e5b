"""Starts and stops a PostgreSQL server, with the programs of a wheel from PyPI."""

import contextlib
import os
import secrets
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

from infra.local import stale_server
from infra.local.postgres_binaries import Installation, find
from infra.local.startup import CannotStart, Say, explain
from infra.postgres_settings import SERVER_SETTINGS

HOST = "127.0.0.1"
SUPERUSER = "postgres"

SETTINGS = {
    **SERVER_SETTINGS,
    "max_connections": "200",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "128MB",  # the data folder may be in memory
}
MIN_FREE_MEMORY_BYTES = 2**30

STARTUP_TIMEOUT = 120  # seconds, enough for a long recovery after a crash
MAX_LAUNCHES = 5
# Another process has got the free port, or the last process of a killed server is still ending.
TRANSIENT_ERRORS = ("Address already in use", "is still in use", "already exists")
SHUTDOWNS = ((signal.SIGINT, 15), (signal.SIGQUIT, 5), (signal.SIGKILL, 5))
"""The signals for a fast shutdown, an immediate shutdown and a kill, each with its timeout in seconds."""

_connect: Callable[..., Any] = pg8000.native.Connection  # pg8000 has no annotations


@dataclass(frozen=True)
class Options:
    """The data folder and the settings of a server. Only tests run without durability."""

    data: Path
    durable: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Postgres:
    """A running server. Leaving its context stops it."""

    port: int
    data: Path
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    password: str = field(repr=False)

    def url(self, database: str = SUPERUSER) -> str:
        return f"postgresql+pg8000://{SUPERUSER}:{self.password}@{HOST}:{self.port}/{database}"

    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Disconnect all clients and stop the server, without losing a commit. Idempotent."""
        for number, timeout in SHUTDOWNS:
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
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
    """Start a server on a free loopback port, and make its data folder if it does not exist.

    A server that already runs on the folder is regarded as left over and stopped. On Linux the server
    ends with the thread that called this. Elsewhere, a killed process leaves the server running until
    the next start. Raises CannotStart.
    """
    try:
        installation = find(say)
        data = installation.data_folder(options.data, say)
        if not (data / "PG_VERSION").is_file():
            _initialise(installation, data, options)
        _check_owner(installation, data)
        stale_server.remove(data, say)
        log = options.data.with_name(f"{options.data.name}.log")
        password = _password_file(options).read_text()
        return _launch(installation, Options(data, options.durable, options.settings), log, password)
    except OSError as error:
        raise CannotStart(explain("PostgreSQL cannot start", str(error), options.data)) from error


@contextlib.contextmanager
def temporary(settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """Run an empty server without durability for a block, and remove its data afterwards."""
    with tempfile.TemporaryDirectory(prefix="event-booking-postgres-", dir=_memory()) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that runs PostgreSQL for root must get through
        options = Options(folder / "data", durable=False, settings=settings or {})
        with start(options, say=lambda _: None) as server:
            try:
                yield server
            finally:
                server.stop()
                shutil.rmtree(server.data)  # the data may be in a public folder


def _memory() -> Path | None:
    """Return a folder in memory, where copies of a database are 20 times as fast, if it has enough space."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder with a random name is made in it
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MIN_FREE_MEMORY_BYTES:
        return memory
    return None


def create_database(server: Postgres, name: str, template: str | None = None) -> None:
    """Create a database, by default an empty one. A `template` must have no connections."""
    # To copy files takes 10 ms, and is faster than to write the copy to the WAL.
    source = f" TEMPLATE {_quoted(template)} STRATEGY file_copy" if template else ""
    administer(server, f"CREATE DATABASE {_quoted(name)}{source}")


def drop_database(server: Postgres, name: str) -> None:
    """Drop a database if it exists, and disconnect its clients."""
    administer(server, f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")


def has_database(server: Postgres, name: str) -> bool:
    rows = administer(server, "SELECT datname FROM pg_database")
    return [name] in rows


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def administer(server: Postgres, statement: str) -> list[list[object]]:
    """Run a statement that cannot run inside a transaction."""
    connection = _connect(SUPERUSER, HOST, port=server.port, password=server.password, ssl_context=False)
    with contextlib.closing(connection):
        return list(connection.run(statement) or [])


def _environment() -> dict[str, str]:
    """Return the environment without variables that configure PostgreSQL or set its language."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**others, "LC_ALL": "C"}


def _password_file(options: Options) -> Path:
    return options.data.with_name(f"{options.data.name}.password")


def _create_password(options: Options) -> str:
    """Create the superuser's password, and keep it beside the data."""
    password = secrets.token_urlsafe(24)
    file = _password_file(options)
    file.unlink(missing_ok=True)
    _write_private(file, password)
    return password


def _write_private(file: Path, text: str) -> None:
    """Write a new file that only this account can read."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def _initialise(installation: Installation, data: Path, options: Options) -> None:
    """Make the data folder under a temporary name and rename it, so that a partial one is never used."""
    if data.exists() and any(data.iterdir()):
        raise CannotStart(f"{data} contains files but no database. Remove it with: make reset")
    for partial in data.parent.glob(f"{data.name}.new-*"):
        shutil.rmtree(partial, ignore_errors=True)  # the initdb of a killed run may delete it too
    new = Path(tempfile.mkdtemp(dir=data.parent, prefix=f"{data.name}.new-"))
    password = new.with_name(f"{new.name}.password")
    try:
        _write_private(password, _create_password(options))
        if installation.account:
            installation.account.own(new)
            installation.account.own(password)
        made = subprocess.run(
            installation.command(
                "initdb",
                f"--pgdata={new}",
                f"--username={SUPERUSER}",
                # Tests connect often, and each SCRAM login costs 10 ms.
                f"--auth={'scram-sha-256' if options.durable else 'trust'}",
                f"--pwfile={password}",
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
            start_new_session=True,  # keeps Ctrl-C from this process
            check=False,
        )
        if made.returncode:
            output = made.stderr.decode(errors="replace")
            raise CannotStart(explain("PostgreSQL cannot create its data folder", output, data.parent))
        new.rename(data)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        password.unlink(missing_ok=True)


def _check_owner(installation: Installation, data: Path) -> None:
    runs_as = installation.account.uid if installation.account else os.geteuid()
    owner = data.stat().st_uid
    if owner != runs_as:
        raise CannotStart(
            f"{data} belongs to account number {owner}, but PostgreSQL would run as {runs_as}. "
            "Run the command as the owner, or remove the data as the owner with: make reset"
        )


def _launch(installation: Installation, options: Options, log: Path, password: str) -> Postgres:
    output = ""
    for _ in range(MAX_LAUNCHES):
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
                start_new_session=True,  # keeps Ctrl-C from the server, which `stop` ends
            )
        server = Postgres(port, options.data, log, process, password)
        try:
            if _becomes_ready(server):
                return server
        except BaseException:
            server.stop()
            raise
        output = log.read_text(errors="replace")
        if not any(reason in output for reason in TRANSIENT_ERRORS):
            break
        time.sleep(0.2)
    raise CannotStart(
        explain(f"PostgreSQL stopped during its start. Last lines of {log}", output, options.data)
    )


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
    """Wait until the server reports that it is ready. Return False if it ends instead."""
    deadline = time.monotonic() + STARTUP_TIMEOUT
    while server.running():
        # The pid distinguishes this server's file from the file of an earlier server.
        if stale_server.read(server.data) == stale_server.PidFile(server.process.pid, ready=True):
            return True
        if time.monotonic() > deadline:
            raise CannotStart(f"PostgreSQL was not ready within {STARTUP_TIMEOUT} s. See {server.log}")
        time.sleep(0.01)
    return False

"""The promises of the PostgreSQL launcher."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from infra.local import orphans
from infra.local.installation import CHECKOUT, explain
from infra.local.postgres import (
    CannotStart,
    Options,
    Postgres,
    create_database,
    drop_database,
    has_database,
    start,
    temporary,
)
from tests.local.conftest import reachable_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="another account stands in for root alone")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a dead one's child")


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data folder on which a server has run; making one for each test would take most of the time."""
    with reachable_folder() as folder:
        launch(folder / "data").stop()
        yield folder / "data"


def launch(data: Path) -> Postgres:
    return start(Options(data, durable=False), say=lambda _: None)


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = create_engine(url, poolclass=NullPool, connect_args={"ssl_context": False})
    with engine.begin() as connection:
        result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_data_survive_a_restart(data: Path) -> None:
    with launch(data) as server:
        create_database(server, "kept")
        ask(server.url("kept"), "CREATE TABLE fact AS SELECT 42 AS answer")
    with launch(data) as server:
        assert ask(server.url("kept"), "SELECT answer FROM fact") == [(42,)]


def test_a_server_is_reached_over_loopback_alone_and_limits_its_sessions(data: Path) -> None:
    names = ("listen_addresses", "unix_socket_directories", "statement_timeout", "lock_timeout")
    with launch(data) as server:
        shown = [ask(server.url(), f"SHOW {name}")[0][0] for name in names]
    assert shown == ["127.0.0.1", "", "10s", "3s"]


def test_a_server_is_durable_unless_told_otherwise(data: Path) -> None:
    with start(Options(data), say=lambda _: None) as server:
        assert ask(server.url(), "SHOW fsync") == [("on",)]
    with launch(data) as server:
        assert ask(server.url(), "SHOW fsync") == [("off",)]


def test_text_is_unicode_and_sorted_the_same_on_every_machine(data: Path) -> None:
    with launch(data) as server:
        [(lowered,)] = ask(server.url(), "SELECT lower('ÅNGSTRÖM')")
        [(provider, locale)] = ask(
            server.url(),
            "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'template1'",
        )
    assert (lowered, provider, locale) == ("ångström", "b", "C.UTF-8")


def test_a_copied_database_has_what_its_template_has() -> None:
    with temporary() as server:
        create_database(server, "template")
        ask(server.url("template"), "CREATE TABLE fact AS SELECT 42 AS answer")
        create_database(server, 'a "copy"', template="template")
        assert has_database(server, 'a "copy"')
        create_database(server, "copy", template="template")
        assert ask(server.url("copy"), "SELECT answer FROM fact") == [(42,)]
        drop_database(server, "copy")
        assert not has_database(server, "copy")


def test_a_temporary_server_leaves_nothing_behind() -> None:
    with temporary({"work_mem": "5MB"}) as server:
        assert ask(server.url(), "SHOW work_mem") == [("5MB",)]
    assert not server.running()
    assert not server.data.exists()
    assert not server.log.exists()


@on_linux
def test_a_server_ends_when_its_starter_is_killed(data: Path) -> None:
    program = f"""
import pathlib, time
from infra.local.postgres import Options, start
start(Options(pathlib.Path({str(data)!r}), durable=False))
time.sleep(600)
"""
    starter = subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT)  # noqa: S603
    try:
        until(lambda: (written := orphans.read(data)) is not None and written.ready)
        written = orphans.read(data)
    finally:
        starter.kill()
        starter.wait()
    assert written is not None
    until(lambda: not orphans.serves(written.pid, data))


def test_a_server_left_over_from_a_killed_run_is_replaced(data: Path) -> None:
    with launch(data) as left_over:
        said: list[str] = []
        with start(Options(data, durable=False), said.append) as server:
            assert ask(server.url(), "SELECT 1") == [(1,)]
        assert not left_over.running()
    assert "left over" in said[0]


def test_a_killed_server_recovers_what_was_committed(data: Path) -> None:
    with start(Options(data), say=lambda _: None) as killed:
        ask(killed.url(), "CREATE TABLE fact AS SELECT 42 AS answer")
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
    with start(Options(data), say=lambda _: None) as server:
        assert ask(server.url(), "SELECT answer FROM fact") == [(42,)]


@pytest.mark.parametrize(
    "content",
    [f"{os.getpid()}\n", "4194000\n", "", "nonsense\n"],
    ids=["of another process", "of no process", "empty", "nonsense"],
)
def test_a_stale_pid_file_does_not_keep_a_server_from_starting(data: Path, content: str) -> None:
    (data / "postmaster.pid").write_text(content)
    (data / "postmaster.pid").chmod(0o644)  # the server's own account has to read it
    with launch(data) as server:
        assert ask(server.url(), "SELECT 1") == [(1,)]


def test_a_half_made_data_folder_never_counts(folder: Path) -> None:
    half_made = folder / "data.new-0"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    with launch(folder / "data") as server:
        assert ask(server.url(), "SELECT 1") == [(1,)]
    assert not half_made.exists()


def test_a_folder_of_something_else_is_left_alone(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "letter").write_text("Dear")
    with pytest.raises(CannotStart, match="no database"):
        launch(folder / "data")
    assert (folder / "data" / "letter").read_text() == "Dear"


def test_a_server_that_ends_at_its_start_says_why(data: Path) -> None:
    with pytest.raises(CannotStart, match="shared_buffers"):
        start(Options(data, settings={"shared_buffers": "some"}), say=lambda _: None)


def test_a_full_disk_is_told_with_how_much_is_free_and_where(folder: Path) -> None:
    told = explain("Nothing works", "[Errno 28] No space left on device", folder / "not" / "there")
    assert f"MB are free at {folder}," in told


@as_root
def test_for_root_data_move_to_where_the_account_without_rights_reaches_them(folder: Path) -> None:
    folder.chmod(0o700)
    said: list[str] = []
    with start(Options(folder / "data", durable=False), said.append) as server:
        try:
            assert ask(server.url(), "SELECT 1") == [(1,)]
            assert str(server.data) in said[0]
        finally:
            server.stop()
            shutil.rmtree(server.data)
            with contextlib.suppress(OSError):  # it may hold other things
                server.data.parent.rmdir()


@as_root
def test_data_of_another_account_are_not_touched(data: Path) -> None:
    owner = data.stat()
    os.chown(data, 12345, 12345)
    try:
        with pytest.raises(CannotStart, match="belongs to account number 12345"):
            launch(data)
    finally:
        os.chown(data, owner.st_uid, owner.st_gid)

"""The embedded PostgreSQL server."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError

from infra.local import stale_server
from infra.local.postgres import (
    Options,
    Postgres,
    create_database,
    drop_database,
    has_database,
    start,
    temporary,
)
from infra.local.startup import CHECKOUT, CannotStart, explain
from tests.infra.local.conftest import becomes_true, reachable_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's prctl")


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data folder in which a server has run. Making one for each test would be slow."""
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


def test_data_survives_a_restart(data: Path) -> None:
    with launch(data) as server:
        create_database(server, "kept")
        ask(server.url("kept"), "CREATE TABLE fact AS SELECT 42 AS answer")
    with launch(data) as server:
        assert ask(server.url("kept"), "SELECT answer FROM fact") == [(42,)]


def test_a_server_listens_on_loopback_and_has_timeouts(data: Path) -> None:
    names = ("listen_addresses", "unix_socket_directories", "statement_timeout", "lock_timeout")
    with launch(data) as server:
        shown = [ask(server.url(), f"SHOW {name}")[0][0] for name in names]
    assert shown == ["127.0.0.1", "", "10s", "3s"]


def test_a_server_is_durable_by_default(data: Path) -> None:
    with start(Options(data), say=lambda _: None) as server:
        assert ask(server.url(), "SHOW fsync") == [("on",)]
    with launch(data) as server:
        assert ask(server.url(), "SHOW fsync") == [("off",)]


def test_the_locale_is_the_same_on_every_machine(data: Path) -> None:
    with launch(data) as server:
        [(lowered,)] = ask(server.url(), "SELECT lower('ÅNGSTRÖM')")
        [(provider, locale)] = ask(
            server.url(),
            "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'template1'",
        )
    assert (lowered, provider, locale) == ("ångström", "b", "C.UTF-8")


def test_a_copied_database_has_the_data_of_its_template() -> None:
    with temporary() as server:
        create_database(server, "template")
        ask(server.url("template"), "CREATE TABLE fact AS SELECT 42 AS answer")
        create_database(server, 'a "copy"', template="template")
        assert has_database(server, 'a "copy"')
        create_database(server, "copy", template="template")
        assert ask(server.url("copy"), "SELECT answer FROM fact") == [(42,)]
        drop_database(server, "copy")
        assert not has_database(server, "copy")


def test_a_temporary_server_leaves_no_files() -> None:
    with temporary({"work_mem": "5MB"}) as server:
        assert ask(server.url(), "SHOW work_mem") == [("5MB",)]
    assert not server.running()
    assert not server.data.exists()
    assert not server.log.exists()


@on_linux
def test_a_server_ends_when_its_parent_is_killed(data: Path) -> None:
    program = f"""
import pathlib, time
from infra.local.postgres import Options, start
start(Options(pathlib.Path({str(data)!r}), durable=False))
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT)  # noqa: S603
    try:
        assert becomes_true(lambda: (file := stale_server.read(data)) is not None and file.ready)
        file = stale_server.read(data)
    finally:
        parent.kill()
        parent.wait()
    assert file is not None
    assert becomes_true(lambda: not stale_server.is_server(file.pid, data))


def test_a_server_left_over_from_a_killed_run_is_replaced(data: Path) -> None:
    with launch(data) as left_over:
        output: list[str] = []
        with start(Options(data, durable=False), output.append) as server:
            assert ask(server.url(), "SELECT 1") == [(1,)]
        assert not left_over.running()
    assert "left over" in output[0]


def test_a_killed_server_recovers_its_commits(data: Path) -> None:
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
def test_a_stale_pid_file_does_not_prevent_a_start(data: Path, content: str) -> None:
    (data / "postmaster.pid").write_text(content)
    (data / "postmaster.pid").chmod(0o644)  # the server's account must read it
    with launch(data) as server:
        assert ask(server.url(), "SELECT 1") == [(1,)]


def test_a_partial_data_folder_is_never_used(folder: Path) -> None:
    partial = folder / "data.new-0"
    partial.mkdir()
    (partial / "PG_VERSION").write_text("18\n")
    with launch(folder / "data") as server:
        assert ask(server.url(), "SELECT 1") == [(1,)]
    assert not partial.exists()


def test_a_folder_with_other_files_is_left_alone(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "letter").write_text("Dear")
    with pytest.raises(CannotStart, match="no database"):
        launch(folder / "data")
    assert (folder / "data" / "letter").read_text() == "Dear"


def test_a_failed_start_is_explained(data: Path) -> None:
    with pytest.raises(CannotStart, match="shared_buffers"):
        start(Options(data, settings={"shared_buffers": "some"}), say=lambda _: None)


def test_a_full_disk_is_explained(folder: Path) -> None:
    message = explain(
        "PostgreSQL cannot start", "[Errno 28] No space left on device", folder / "not" / "there"
    )
    assert f"{folder} has " in message


@as_root
def test_unreachable_data_of_root_moves_to_a_public_folder(folder: Path) -> None:
    folder.chmod(0o700)
    output: list[str] = []
    with start(Options(folder / "data", durable=False), output.append) as server:
        try:
            assert ask(server.url(), "SELECT 1") == [(1,)]
            assert str(server.data) in output[0]
        finally:
            server.stop()
            shutil.rmtree(server.data)
            with contextlib.suppress(OSError):  # the folder may contain other files
                server.data.parent.rmdir()


@as_root
def test_data_of_another_account_is_refused(data: Path) -> None:
    owner = data.stat()
    os.chown(data, 12345, 12345)
    try:
        with pytest.raises(CannotStart, match="belongs to account number 12345"):
            launch(data)
    finally:
        os.chown(data, owner.st_uid, owner.st_gid)


def test_a_durable_server_demands_a_password_that_only_its_owner_can_read() -> None:
    with reachable_folder() as folder, start(Options(folder / "data"), say=lambda _: None) as server:
        assert ask(server.url(), "SELECT 1") == [(1,)]
        without = make_url(server.url()).set(password="a guess").render_as_string(hide_password=False)
        with pytest.raises(DBAPIError, match="28P01"):
            ask(without, "SELECT 1")
        assert (folder / "data.password").stat().st_mode & 0o077 == 0
        assert server.password not in repr(server)

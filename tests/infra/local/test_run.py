"""`make run`, `make operate` and `make reset`, in a copy of the project."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.local import run_dir, stale_server
from infra.local.run import migrate
from infra.local.startup import CannotStart
from tests.client import Client
from tests.infra.local.conftest import becomes_true
from tests.infra.local.project import Project, get
from tests.rows import alter

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's prctl")


@pytest.mark.skipif(not shutil.which("curl"), reason="the printed lines need curl")
def test_the_printed_lines_book_and_data_survives_a_restart(project: Project) -> None:
    responses = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with project.run() as run:
            lines = [run.wait_for("TOKEN="), run.wait_for("curl -i")]
            pasted = subprocess.run(  # noqa: S602
                "\n".join(lines), shell=True, check=True, capture_output=True, text=True
            )
            responses.append(pasted.stdout)
            assert run.stop(number) == 0, run.output
            assert stale_server.read(project.data()) is None
            assert '"route":"/bookings"' in run.output
            assert "_aws" not in run.output, "metrics are for CloudWatch"
            assert '"message":"metric"' not in run.output
    assert responses[0].startswith("HTTP/1.1 201 ")
    assert responses[1].startswith("HTTP/1.1 409 ")
    assert "already-booked" in responses[1]


def test_two_signals_stop_it_and_leave_no_server(project: Project) -> None:
    with project.run() as run:
        run.wait_for("Ctrl-C")
        assert get(project.port, "/health")[0] == 200
        server = stale_server.read(project.data())
        assert server is not None
        run.process.send_signal(signal.SIGINT)
        assert run.stop(signal.SIGINT) == 0, run.output
    assert not stale_server.is_server(server.pid, project.data())


def test_a_signal_during_the_start_stops_it_in_order(project: Project) -> None:
    with project.run() as run:
        run.wait_for("Starting PostgreSQL")
        assert run.stop() == 0, run.output
    assert "Traceback" not in run.output
    assert stale_server.read(project.data()) is None


def test_emails_stay_on_a_page_and_operations_run(project: Project) -> None:
    for _ in range(2):
        with project.run() as run:
            page = urlsplit(run.wait_for("E-mails").split()[-1])
            assert page.port
            port = page.port
            assert becomes_true(lambda: "Living room concert" in get(port, "/")[1])  # noqa: B023
            redriven = json.loads(project.operate("redrive", '{"queue": "email"}'))
            unknown = json.loads(project.operate("drop-tables", "", code=1))
            assert run.stop() == 0, run.output
        assert redriven == {"result": {"moved": 0}}
        assert "redrive" in unknown["operations"]
        assert '"why": "SES was down"' in run.output
        assert "dead letters" not in run.output
    assert project.operate("list-flags", "", code=1).startswith(f"There is no run on port {project.port}.")


def test_a_used_port_of_the_mail_page_is_reported(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "MAIL_PORT=" in project.fail("run", MAIL_PORT=str(other.getsockname()[1]))
    assert stale_server.read(project.data()) is None


@on_linux
def test_a_run_works_after_a_killed_run(project: Project) -> None:
    with project.run() as run:
        run.wait_for("Ctrl-C")
        run.stop(signal.SIGKILL)
    with project.run() as run:
        run.wait_for("Ctrl-C")
        assert get(project.port, "/health")[0] == 200
        assert run.stop() == 0, run.output


def test_a_used_port_is_reported_before_anything_starts(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        output = project.fail("run", PORT=str(port))
    assert output.startswith(f"Port {port} is in use. Choose another: PORT=")
    assert not project.run_folder.with_name(f"port-{port}").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "PORT must be a number"),
        ("MAIL_PORT", "0", "MAIL_PORT must be a number"),
        ("HOST", "256.1.1.1", "HOST=256.1.1.1 is not"),
        ("JWT_SECRET", "short", "JWT_SECRET must have at least"),
    ],
)
def test_a_bad_setting_is_reported(project: Project, name: str, value: str, message: str) -> None:
    assert message in project.fail("run", **{name: value})


def test_a_locked_folder_is_neither_run_nor_reset(project: Project) -> None:
    with run_dir.locked(project.run_folder, "free"):
        run = project.fail("run")
        reset = project.fail("reset")
    assert run.startswith(f"Another run uses the data of port {project.port}.")
    assert reset.startswith("A run uses ")
    assert project.run_folder.exists()


@pytest.mark.parametrize("stamp", [None, "1"])
def test_data_of_an_older_version_is_refused(folder: Path, stamp: str | None) -> None:
    project = Project(folder)
    data = project.run_folder / run_dir.DATA
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18\n")
    if stamp:
        (project.run_folder / run_dir.FORMAT).write_text(stamp)
    assert project.fail("run") == (
        "The data in .local was made by an older version of this project. Remove it with `make reset`.\n"
    )
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]
    project.reset()
    assert not data.exists()


def test_a_secret_is_made_once_and_private(folder: Path) -> None:
    secret = run_dir.secret(folder, "jwt-secret")
    assert len(secret) >= 64
    assert run_dir.secret(folder, "jwt-secret") == secret
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_reset_removes_everything(folder: Path) -> None:
    project = Project(folder)
    with project.run() as run:
        run.wait_for("Updating the database schema")
        run.stop()
    data = project.data()
    assert data.exists()
    assert str(project.run_folder) in project.reset()
    assert not data.exists()
    assert not project.run_folder.exists()


def test_data_of_an_unknown_schema_is_refused(client: Client, database_url: str, owner_url: str) -> None:
    alter(client, "UPDATE alembic_version SET version_num = '0004'")

    with pytest.raises(CannotStart, match="make reset"):
        migrate(owner_url, database_url)

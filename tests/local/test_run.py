"""The promises of `make run` and `make reset`, kept by a copy of the project in a folder of its own."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chalicelib.platform.messaging.queues import QUEUES
from infra.local import orphans, state
from infra.local.installation import CannotStart
from infra.local.run import migrate
from tests.client import Client
from tests.local.conftest import becomes_true
from tests.local.project import Project, get, status
from tests.rows import rows

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a dead one's child")


@pytest.mark.skipif(not shutil.which("curl"), reason="pastes the lines with curl")
def test_what_it_tells_to_paste_books_a_place_and_a_second_run_still_knows(
    project: Project,
) -> None:
    responses = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with project.run() as run:
            lines = [run.wait_for("TOKEN="), run.wait_for("curl -i")]
            pasted = subprocess.run(  # noqa: S602
                "\n".join(lines), shell=True, check=True, capture_output=True, text=True
            )
            responses.append(pasted.stdout)
            assert run.end(number) == 0, run.said
            assert orphans.read(project.data()) is None
            assert '"route":"/bookings"' in run.said
            assert "_aws" not in run.said, "metrics are for CloudWatch"
            assert '"message":"metric"' not in run.said
    assert responses[0].startswith("HTTP/1.1 201 ")
    assert responses[1].startswith("HTTP/1.1 409 ")
    assert "already-booked" in responses[1]


def test_it_serves_until_a_second_impatient_signal_and_leaves_nothing_running(
    project: Project,
) -> None:
    with project.run() as run:
        run.wait_for("Ctrl-C")
        assert status(project.port, "/health") == 200
        written = orphans.read(project.data())
        assert written is not None
        run.process.send_signal(signal.SIGINT)
        assert run.end(signal.SIGINT) == 0, run.said
    assert not orphans.serves(written.pid, project.data())


def test_a_signal_while_it_starts_ends_it_in_order(project: Project) -> None:
    with project.run() as run:
        run.wait_for("Starting PostgreSQL")
        assert run.end() == 0, run.said
    assert "Traceback" not in run.said
    assert orphans.read(project.data()) is None


def test_the_e_mails_are_on_a_page_and_stay_and_dead_letters_are_redriven(project: Project) -> None:
    for _ in range(2):
        with project.run() as run:
            page = urlsplit(run.wait_for("E-mails are not delivered").split()[-1])
            assert page.port
            port = page.port
            assert becomes_true(lambda: "You have a place" in get(port, "/")[1])  # noqa: B023
            said = project.say("redrive")
            assert run.end() == 0, run.said
        assert said.startswith(f"Dead letters of the run on port {project.port}:")
        assert said.count(" 0 moved back") == len(QUEUES)
        assert "dead letters" not in run.said
    assert project.complaint("redrive").startswith(f"Nothing runs on port {project.port}.")


def test_a_port_for_the_mail_page_that_is_in_use_is_told(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = project.complaint("run", MAIL_PORT=str(other.getsockname()[1]))
    assert "MAIL_PORT=" in said
    assert "Traceback" not in said
    assert orphans.read(project.data()) is None


@on_linux
def test_a_killed_run_is_followed_by_one_that_works(project: Project) -> None:
    with project.run() as run:
        run.wait_for("Ctrl-C")
        run.end(signal.SIGKILL)
    with project.run() as run:
        run.wait_for("Ctrl-C")
        assert status(project.port, "/health") == 200
        assert run.end() == 0, run.said


def test_a_port_in_use_is_told_before_anything_starts(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = project.complaint("run", PORT=str(port))
    assert said.startswith(f"Port {port} is in use. Choose another: PORT=")
    assert not project.state.with_name(f"port-{port}").exists()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", "http", "PORT must be a number"),
        ("MAIL_PORT", "0", "MAIL_PORT must be a number"),
        ("HOST", "256.1.1.1", "HOST=256.1.1.1 is not"),
        ("JWT_SECRET", "short", "JWT_SECRET must have at least"),
    ],
)
def test_a_bad_setting_is_told(project: Project, name: str, value: str, told: str) -> None:
    said = project.complaint("run", **{name: value})
    assert told in said
    assert "Traceback" not in said


def test_a_port_that_another_run_holds_is_neither_run_nor_reset(project: Project) -> None:
    with state.holding(project.state, "free"):
        run = project.complaint("run")
        reset = project.complaint("reset")
    assert run.startswith(f"Another run holds the data of port {project.port}.")
    assert reset.startswith("A run holds ")
    assert project.state.exists()


def test_the_secret_is_made_once_for_its_owner_alone(folder: Path) -> None:
    secret = state.secret(folder)
    assert len(secret) >= 64
    assert state.secret(folder) == secret
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_reset_leaves_nothing(folder: Path) -> None:
    project = Project(folder)
    with project.run() as run:
        run.wait_for("Bringing the schema up to date")
        run.end()
    data = project.data()
    assert data.exists()
    assert str(project.state) in project.reset()
    assert not data.exists()
    assert not project.state.exists()


def test_data_of_an_unknown_schema_is_refused(client: Client, database_url: str) -> None:
    rows(client, "UPDATE alembic_version SET version_num = '0004'")

    with pytest.raises(CannotStart, match="make reset"):
        migrate(database_url)

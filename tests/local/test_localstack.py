"""The promises of `make run STACK=localstack`, and of the compose file that goes with it."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from sqlalchemy import make_url

from infra.local import aws, localstack, postgres
from infra.local.installation import CHECKOUT
from infra.local.localstack_host import COMPOSE
from tests.local.conftest import LOCALSTACK_PYTHON, becomes_true
from tests.local.project import Project, free_port, get

SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]


@pytest.mark.skipif(not LOCALSTACK_PYTHON, reason="runs on LocalStack only: make localstack-check")
def test_a_run_on_localstack_tells_people_and_leaves_what_it_used(
    project: Project, endpoint: str, database_url: str
) -> None:
    environment = {"STACK": "localstack", "AWS_ENDPOINT_URL": endpoint, "DATABASE_URL": database_url}
    for _ in range(2):
        with project.run(**environment) as run:
            run.wait_for(re.escape(f"Using the LocalStack at {endpoint}"))
            page = urlsplit(run.wait_for("E-mails are not delivered").split()[-1])
            assert page.port
            port = page.port
            assert becomes_true(lambda: "You have a place" in get(port, "/")[1])  # noqa: B023
            assert project.say("redrive").startswith(f"Dead letters of the run on port {project.port}:")
            assert run.end() == 0, run.said
        assert "Lost" not in run.said
        assert "Stopping PostgreSQL" not in run.said


def test_a_localstack_that_is_not_there_is_told_with_how_to_start_it(
    project: Project, database_url: str
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    environment = {"STACK": "localstack", "AWS_ENDPOINT_URL": endpoint, "DATABASE_URL": database_url}
    said = project.complaint("run", **environment)
    assert f"No LocalStack answers at {endpoint}" in said
    assert localstack.START in said
    assert "Traceback" not in said


@pytest.mark.moto
def test_another_stand_in_for_aws_is_not_taken_for_localstack(project: Project, database_url: str) -> None:
    with aws.running() as endpoint:
        environment = {"STACK": "localstack", "AWS_ENDPOINT_URL": endpoint, "DATABASE_URL": database_url}
        assert f"No LocalStack answers at {endpoint}" in project.complaint("run", **environment)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+pg8000://postgres@127.0.0.1:1/booking", localstack.START),
        ("postgresql+pg8000://postgres@database.example/booking", "must lead to this machine"),
        ("mysql://root@127.0.0.1/booking", "must be a postgresql+pg8000:// URL"),
        ("booking", "must be a postgresql+pg8000:// URL"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(project: Project, url: str, told: str) -> None:
    said = project.complaint("run", STACK="localstack", DATABASE_URL=url)
    assert told in said
    assert "Traceback" not in said


def test_another_stack_is_told(project: Project) -> None:
    assert project.complaint("run", STACK="heroku").startswith("STACK must be embedded or localstack")


def test_the_compose_file_has_what_a_run_looks_for() -> None:
    database, cloud = SERVICES["postgres"], SERVICES["localstack"]
    url = make_url(localstack.DATABASE_URL)
    assert database["ports"] == [f"{url.host}:{url.port}:5432"]
    assert database["environment"]["POSTGRES_DB"] == url.database
    assert database["environment"]["POSTGRES_PASSWORD"] == url.password
    address = urlsplit(localstack.ENDPOINT)
    assert cloud["ports"] == [f"{address.hostname}:{address.port}:4566"]
    assert cloud["environment"]["SERVICES"].split(",") == list(localstack.SERVICES)


def test_the_compose_files_database_is_set_as_the_embedded_one() -> None:
    told = dict(flag.removeprefix("-c").split("=") for flag in SERVICES["postgres"]["command"][1:])
    assert told == {name: postgres.SETTINGS[name] for name in told}
    assert {"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} <= told.keys()


def test_the_compose_file_mounts_what_is_there_and_pins_what_is_tested() -> None:
    for volume in SERVICES["localstack"]["volumes"]:
        assert (CHECKOUT / volume.partition(":")[0]).exists()
    release = SERVICES["localstack"]["image"].partition(":")[2]
    pinned = (CHECKOUT / "requirements-localstack.txt").read_text().splitlines()
    assert f"localstack-core=={release}" in pinned

"""`make run STACK=localstack`, and the compose file for it."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from sqlalchemy import make_url

from infra.local import aws, localstack, postgres
from infra.local.localstack_host import COMPOSE
from infra.local.startup import CHECKOUT
from infra.postgres_settings import SERVER_SETTINGS
from tests.infra.local.conftest import LOCALSTACK_PYTHON, becomes_true
from tests.infra.local.project import Project, free_port, get

SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]


@pytest.mark.skipif(not LOCALSTACK_PYTHON, reason="runs on LocalStack only: make localstack-check")
def test_a_run_on_localstack_sends_emails_and_leaves_it_running(
    project: Project, endpoint: str, owner_url: str
) -> None:
    environment = {"STACK": "localstack", "AWS_ENDPOINT_URL": endpoint, "DATABASE_URL": owner_url}
    for _ in range(2):
        with project.run(**environment) as run:
            run.wait_for(re.escape(f"Using the LocalStack at {endpoint}"))
            page = urlsplit(run.wait_for("E-mails").split()[-1])
            assert page.port
            port = page.port
            assert becomes_true(lambda: "Living room concert" in get(port, "/")[1])  # noqa: B023
            assert '"waiting": 0' in project.operate("dead-letters", '{"queue": "email"}')
            assert run.stop() == 0, run.output
        assert "Lost" not in run.output
        assert "Stopping PostgreSQL" not in run.output


def test_a_missing_localstack_is_reported_with_its_command(project: Project, owner_url: str) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    environment = {"STACK": "localstack", "AWS_ENDPOINT_URL": endpoint, "DATABASE_URL": owner_url}
    output = project.fail("run", **environment)
    assert f"No LocalStack answers at {endpoint}" in output
    assert localstack.START_COMMAND in output


@pytest.mark.moto
def test_another_fake_of_aws_is_refused(project: Project, owner_url: str) -> None:
    with aws.running() as endpoint:
        environment = {"STACK": "localstack", "AWS_ENDPOINT_URL": endpoint, "DATABASE_URL": owner_url}
        assert f"No LocalStack answers at {endpoint}" in project.fail("run", **environment)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+pg8000://postgres@127.0.0.1:1/booking", localstack.START_COMMAND),
        ("postgresql+pg8000://postgres@database.example/booking", "must point to this machine"),
        ("mysql://root@127.0.0.1/booking", "must be a postgresql+pg8000:// URL"),
        ("booking", "must be a postgresql+pg8000:// URL"),
    ],
)
def test_an_unusable_database_is_reported(project: Project, url: str, message: str) -> None:
    assert message in project.fail("run", STACK="localstack", DATABASE_URL=url)


def test_an_unknown_stack_is_reported(project: Project) -> None:
    assert project.fail("run", STACK="heroku").startswith("STACK must be embedded or localstack")


def test_the_compose_file_has_the_addresses_of_a_run() -> None:
    database, cloud = SERVICES["postgres"], SERVICES["localstack"]
    url = make_url(localstack.DATABASE_URL)
    assert database["ports"] == [f"{url.host}:{url.port}:5432"]
    assert database["environment"]["POSTGRES_DB"] == url.database
    assert database["environment"]["POSTGRES_PASSWORD"] == url.password
    address = urlsplit(localstack.ENDPOINT)
    assert cloud["ports"] == [f"{address.hostname}:{address.port}:4566"]
    assert cloud["environment"]["SERVICES"].split(",") == list(localstack.SERVICES)


def test_the_compose_files_database_has_the_embedded_settings() -> None:
    flags = dict(flag.removeprefix("-c").split("=") for flag in SERVICES["postgres"]["command"][1:])
    assert flags == {name: postgres.SETTINGS[name] for name in flags}
    assert SERVER_SETTINGS.keys() <= flags.keys()


def test_the_compose_file_pins_the_tested_release() -> None:
    release = SERVICES["localstack"]["image"].partition(":")[2]
    pinned = (CHECKOUT / "requirements-localstack.txt").read_text().splitlines()
    assert f"localstack-core=={release}" in pinned

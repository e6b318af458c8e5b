"""Health and readiness, and the responses without a database or a setting."""

from dataclasses import replace
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from chalicelib import migrations
from chalicelib.api import health
from chalicelib.platform.observability import logs
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.client import EVENT, Client
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET
from tests.forged_tokens import claims, token
from tests.rows import alter, executed_statements

# Port 9 belongs to the discard service, which does not run here.
NO_DATABASE = Settings(
    database_url="postgresql+pg8000://nobody@127.0.0.1:9/none",
    jwt_secret=SECRET,
    link_secret=LINK_SECRET,
    ticket_secret=TICKET_SECRET,
)
AN_ID = "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"


def test_a_process_is_healthy_without_a_database() -> None:
    with using(Wiring(NO_DATABASE)) as wiring:
        reply = Client(wiring)("GET", "/health")

    assert (reply.status, reply.json) == (200, {"status": "ok"})


def test_a_process_is_ready_with_the_expected_schema(client: Client) -> None:
    assert client("GET", "/health/ready").status == 200


def test_the_expected_schema_is_the_newest_migration() -> None:
    script = ScriptDirectory.from_config(migrations.config(""))

    assert script.get_current_head() == health.newest_migration()


@pytest.mark.parametrize("secret", ["jwt_secret", "link_secret", "ticket_secret"])
def test_an_api_without_its_secrets_is_not_ready(client: Client, secret: str) -> None:
    without: dict[str, Any] = {secret: None}

    with using(Wiring(replace(client.wiring.settings, **without))):
        assert client("GET", "/health/ready").status == 503


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = '0000'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
        "ALTER TABLE bookings DROP COLUMN version",
        "ALTER TABLE payments ALTER attempt TYPE bigint",
        "ALTER TABLE places DROP CONSTRAINT ck_places_taken",
        "DROP INDEX uq_bookings_live",
        "ALTER PROCEDURE book RENAME TO book_2",
        "CREATE OR REPLACE FUNCTION booking_reference(booking_id uuid) RETURNS text RETURN 'x'",
    ],
)
def test_a_process_is_not_ready_with_another_schema(client: Client, change: str) -> None:
    alter(client, change)

    reply = client("GET", "/health/ready")

    assert (reply.status, reply.problem) == (503, "unavailable")
    assert "schema" in reply.json["detail"]
    assert int(reply.headers["retry-after"]) > 0
    assert client("GET", "/health").status == 200


def test_a_process_is_ready_with_the_schema_of_a_later_release(client: Client) -> None:
    alter(
        client,
        "UPDATE alembic_version SET version_num = '9999'",
        "ALTER TABLE bookings ADD COLUMN later text",
        "CREATE PROCEDURE later() LANGUAGE sql AS ''",
    )

    assert client("GET", "/health/ready").status == 200


def test_a_ready_process_compares_the_schema_once_a_minute(client: Client) -> None:
    assert client("GET", "/health/ready").status == 200
    with executed_statements(client) as executed:
        assert client("GET", "/health/ready").status == 200

    assert [statement for statement in executed if "pg_" in statement] == []


def test_a_process_is_not_ready_with_an_empty_database(server: Postgres) -> None:
    postgres.create_database(server, "empty")
    settings = Settings(
        database_url=server.url("empty"),
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
        ticket_secret=TICKET_SECRET,
    )

    with using(Wiring(settings)) as wiring:
        assert Client(wiring)("GET", "/health/ready").status == 503

    postgres.drop_database(server, "empty")


@pytest.mark.parametrize(
    ("method", "path", "body", "role"),
    [
        ("GET", "/health/ready", None, None),
        ("GET", "/events", None, None),
        ("GET", "/users/me", None, "host"),
        ("POST", "/events", EVENT, "host"),
        ("POST", "/bookings", {"eventId": AN_ID}, "attendee"),
        ("POST", "/auth/login", {"email": "ada@example.com", "password": "x"}, None),
    ],
    ids=["ready", "read", "signed in", "write", "book", "log in"],
)
def test_without_a_database_requests_are_asked_to_retry(
    method: str, path: str, body: dict[str, Any] | None, role: str | None
) -> None:
    with using(Wiring(NO_DATABASE)) as wiring:
        reply = Client(wiring)(method, path, body, by=role and token(claims(AN_ID, role)))

    assert (reply.status, reply.problem) == (503, "unavailable")
    assert "database" in reply.json["detail"]
    assert int(reply.headers["retry-after"]) > 0
    assert "nobody" not in reply.text


def test_a_missing_setting_is_answered_503_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    client = Client(Wiring(NO_DATABASE))  # not in use, so that the app reads the environment

    reply = client("GET", "/events")

    client.wiring.close()
    assert (reply.status, reply.problem) == (503, "unavailable")
    assert "configured" in reply.json["detail"]
    assert int(reply.headers["retry-after"]) > 0
    assert "DATABASE_URL" not in reply.text
    assert "DATABASE_URL is not set" in logs.FORMATTER.format(caplog.records[0])
    assert client("GET", "/health").status == 200  # the process runs

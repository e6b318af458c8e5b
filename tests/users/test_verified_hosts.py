"""The setting `verified_hosts_only`: only hosts with a verified e-mail address can publish."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from tests.client import PASSWORD, Account, Client, event_body
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET
from tests.rows import rows
from tests.users.verification_emails import verify


@pytest.fixture
def wiring(database_url: str) -> Iterator[Wiring]:
    """The app's wiring with `verified_hosts_only`."""
    settings = Settings(
        database_url=database_url,
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
        ticket_secret=TICKET_SECRET,
        database_pool_size=4,
        verified_hosts_only=True,
    )
    with using(Wiring(settings)) as wiring:
        yield wiring


def draft(client: Client, host: Account) -> str:
    reply = client("POST", "/events", event_body(status="draft"), by=host)
    assert (reply.status, reply.json["status"]) == (201, "draft")
    return str(reply.json["eventId"])


def events(client: Client) -> list[Any]:
    return rows(client, "SELECT event_id, status, version FROM events")


@pytest.mark.parametrize("status", [None, "published"])
def test_an_unverified_host_cannot_publish_and_learns_why(client: Client, status: str | None) -> None:
    reply = client("POST", "/events", event_body(status=status), by=client.host())

    assert (reply.status, reply.problem) == (403, "email-not-verified")
    assert "POST /auth/verify-email/resend" in reply.json["detail"]
    assert events(client) == []


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_unverified_host_cannot_publish_a_draft(client: Client, method: str) -> None:
    host = client.host()
    path = f"/events/{draft(client, host)}"
    before = events(client)

    reply = client(method, path, event_body(status="published"), by=host)

    assert (reply.status, reply.problem) == (403, "email-not-verified")
    assert events(client) == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_draft_can_be_published_after_verification(client: Client, method: str) -> None:
    host = client.host()
    path = f"/events/{draft(client, host)}"
    assert client(method, path, event_body(title="Better"), by=host).json["status"] == "draft"

    verify(client, host)

    assert client(method, path, event_body(status="published"), by=host).json["status"] == "published"


def test_a_retry_after_verification_publishes(client: Client) -> None:
    host, key, body = client.host(), {"Idempotency-Key": "one"}, event_body()
    assert client("POST", "/events", body, by=host, headers=key).status == 403

    verify(client, host)

    assert client("POST", "/events", body, by=host, headers=key).status == 201


def test_a_pending_address_does_not_block_publishing(client: Client) -> None:
    host = client.host()
    verify(client, host)
    change = {"email": "new@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=host).status == 200

    assert client("POST", "/events", event_body(), by=host).status == 201


def test_an_invalid_event_of_a_verified_host_is_refused(client: Client) -> None:
    host = client.host()
    verify(client, host)

    reply = client("POST", "/events", event_body(timezone="Europe/Atlantis"), by=host)

    assert (reply.status, reply.faulty_fields) == (400, {"timezone"})


def test_by_default_unverified_hosts_can_publish(client: Client) -> None:
    with using(
        Wiring(replace(client.wiring.settings, verified_hosts_only=Settings.verified_hosts_only))
    ) as default:
        client = Client(default)

        assert client.event(client.host())["status"] == "published"

"""Profiles, and the list of users with its filters and orders."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from chalicelib.users import accounts
from tests.client import Client

HOUR = timedelta(hours=1)


def names(client: Client, query: str) -> list[str]:
    reply = client("GET", f"/users?{query}", by=client.attendee("(asking)"))
    assert reply.status == 200, reply.text
    return [user["name"] for user in reply.json if user["name"] != "(asking)"]


def test_only_the_own_profile_shows_email_and_last_change(client: Client) -> None:
    ada, grace = client.attendee("Ada"), client.attendee("Grace")

    own = client("GET", f"/users/{ada.user_id}", by=ada).json
    as_seen = client("GET", f"/users/{ada.user_id}", by=grace).json
    listed = {user["name"]: user for user in client("GET", "/users", by=ada).json}

    assert own["email"] == ada.email
    assert set(own) == {"userId", "name", "email", "emailVerified", "role", "createdAt", "updatedAt"}
    assert set(as_seen) == set(listed["Grace"]) == {"userId", "name", "role", "createdAt"}
    assert listed["Ada"] == own
    assert as_seen.items() <= own.items()


def test_me_is_the_caller(client: Client) -> None:
    ada = client.host("Ada")
    client.attendee("Grace")

    assert client("GET", "/users/me", by=ada).json == client("GET", f"/users/{ada.user_id}", by=ada).json


def test_a_hosts_profile_counts_published_events_until_they_end(client: Client) -> None:
    host = client.host()
    client.event(host)
    client.past_event(host, started_ago=HOUR, lasts=2 * HOUR)  # running
    client.past_event(host, started_ago=2 * HOUR, lasts=HOUR)
    client.event(host, status="draft")
    client("DELETE", f"/events/{client.event(host)['eventId']}", by=host)
    client("POST", f"/events/{client.event(host)['eventId']}/cancel", by=host)
    client.event(client.host())

    assert client("GET", f"/users/{host.user_id}", by=client.attendee()).json["upcomingEventCount"] == 2


def test_an_attendees_profile_counts_no_events(client: Client) -> None:
    assert "upcomingEventCount" not in client("GET", "/users/me", by=client.attendee()).json


def test_an_unknown_id_is_not_found(client: Client) -> None:
    reply = client("GET", f"/users/{uuid4()}", by=client.attendee())

    assert (reply.status, reply.problem) == (404, "no-such-user")


def test_a_deleted_account_is_not_found(client: Client) -> None:
    ada, grace = client.attendee("Ada"), client.attendee("Grace")
    client("DELETE", "/users/me", by=ada)

    reply = client("GET", f"/users/{ada.user_id}", by=grace)

    assert (reply.status, reply.problem) == (404, "no-such-user")
    assert names(client, "") == ["Grace"]


def test_users_are_filtered_by_role(client: Client) -> None:
    client.host("Ada")
    client.attendee("Grace")

    assert names(client, "role=host") == ["Ada"]
    assert names(client, "role=attendee") == ["Grace"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("lovelace", ["Ada Lovelace"]),
        ("LOVE", ["Ada Lovelace"]),
        ("ada%20lo", ["Ada Lovelace"]),
        ("a%20love", []),  # a short word matches as a whole unless it is the last
        ("emilie%20alembert", ["Émilie d'Alembert"]),
        ("d%E2%80%99alem", ["Émilie d'Alembert"]),
        ("grace%20love", []),
        ("velace", []),
        ("%C3%A9milie", ["Émilie d'Alembert"]),
        ("d'Alem", ["Émilie d'Alembert"]),
        ("love%20%7C%20grace", []),  # no operators
        ("%21love", ["Ada Lovelace"]),
        ("%27%29%3B%20--", []),
        ("%5C", []),
        ("%3A%2A", []),
    ],
)
def test_users_are_searched_by_prefixes_of_words(client: Client, words: str, found: list[str]) -> None:
    for name in ("Ada Lovelace", "Grace Hopper", "Émilie d'Alembert"):
        client.attendee(name)

    assert names(client, f"q={words}") == found


def test_filters_are_combined(client: Client) -> None:
    client.host("Ada Lovelace")
    client.attendee("Ada Yonath")

    assert names(client, "q=ada&role=attendee") == ["Ada Yonath"]


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("", ["ada", "Grace", "Émilie"]),
        ("sort=name", ["ada", "Grace", "Émilie"]),
        ("sort=name&order=desc", ["Émilie", "Grace", "ada"]),
        ("sort=createdAt", ["ada", "Grace", "Émilie"]),
        ("sort=createdAt&order=asc", ["Émilie", "Grace", "ada"]),
    ],
)
def test_users_are_sorted_by_name_without_case_or_by_age(
    client: Client, query: str, order: list[str]
) -> None:
    for day, name in enumerate(("Émilie", "Grace", "ada"), start=1):
        with client.wiring.database.transaction() as connection:
            accounts.register(
                connection,
                name=name,
                email=f"{day}@example.com",
                password_hash="",
                role="attendee",
                now=datetime(2026, 1, day, tzinfo=UTC),
            )

    assert names(client, query) == order

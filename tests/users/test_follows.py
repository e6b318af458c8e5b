"""Following a host."""

import pytest

from tests.client import Client


def test_following_is_idempotent(client: Client) -> None:
    host, fan = client.host(), client.attendee()

    for _ in range(2):
        assert client("PUT", f"/users/{host.user_id}/follow", by=fan).status == 204

    assert client("GET", f"/users/{host.user_id}", by=fan).json["followerCount"] == 1
    assert [user["userId"] for user in client("GET", "/users/me/following", by=fan).json] == [host.user_id]


def test_unfollowing_is_idempotent(client: Client) -> None:
    host, fan = client.host(), client.attendee()
    client("PUT", f"/users/{host.user_id}/follow", by=fan)

    for _ in range(2):
        assert client("DELETE", f"/users/{host.user_id}/follow", by=fan).status == 204

    assert client("GET", "/users/me/following", by=fan).json == []


def test_a_host_sees_followers_without_their_addresses(client: Client) -> None:
    host, fan = client.host(), client.attendee("Ada")
    client("PUT", f"/users/{host.user_id}/follow", by=fan)

    followers = client("GET", "/users/me/followers", by=host).json

    assert [(user["userId"], user["name"], "email" in user) for user in followers] == [
        (fan.user_id, "Ada", False)
    ]


def test_lists_of_followers_are_private(client: Client) -> None:
    host, other_host, fan = client.host(), client.host(), client.attendee()

    assert client("GET", f"/users/{host.user_id}/followers", by=other_host).problem == "forbidden"
    assert client("GET", f"/users/{host.user_id}/followers", by=fan).problem == "forbidden"
    assert client("GET", f"/users/{fan.user_id}/following", by=host).problem == "forbidden"


@pytest.mark.parametrize("target", ["attendee", "unknown id"])
def test_only_hosts_can_be_followed(client: Client, target: str) -> None:
    user_id = client.attendee().user_id if target == "attendee" else "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"

    assert client("PUT", f"/users/{user_id}/follow", by=client.attendee()).problem == "no-such-host"


def test_following_ends_when_either_account_is_deleted(client: Client) -> None:
    host, fan, deleted = client.host(), client.attendee(), client.attendee()
    for user in (fan, deleted):
        client("PUT", f"/users/{host.user_id}/follow", by=user)

    client("DELETE", "/users/me", by=deleted)
    assert client("GET", f"/users/{host.user_id}", by=fan).json["followerCount"] == 1

    client("DELETE", "/users/me", by=host)
    assert client("GET", "/users/me/following", by=fan).json == []

"""Following a host."""

import pytest

from tests.client import Client


def test_following_twice_is_the_same_as_once(client: Client) -> None:
    host, fan = client.host(), client.attendee()

    for _ in range(2):
        assert client("PUT", f"/users/{host.user_id}/follow", by=fan).status == 204

    assert client("GET", f"/users/{host.user_id}", by=fan).json["followerCount"] == 1
    assert [user["userId"] for user in client("GET", "/users/me/following", by=fan).json] == [host.user_id]


def test_unfollowing_is_no_error_without_following(client: Client) -> None:
    host, fan = client.host(), client.attendee()
    client("PUT", f"/users/{host.user_id}/follow", by=fan)

    for _ in range(2):
        assert client("DELETE", f"/users/{host.user_id}/follow", by=fan).status == 204

    assert client("GET", "/users/me/following", by=fan).json == []


def test_a_host_sees_who_follows_without_their_addresses(client: Client) -> None:
    host, fan = client.host(), client.attendee("Ada")
    client("PUT", f"/users/{host.user_id}/follow", by=fan)

    followers = client("GET", "/users/me/followers", by=host).json

    assert [(user["userId"], user["name"], "email" in user) for user in followers] == [
        (fan.user_id, "Ada", False)
    ]


def test_followers_are_for_their_host_alone(client: Client) -> None:
    host, other, fan = client.host(), client.host(), client.attendee()

    assert client("GET", f"/users/{host.user_id}/followers", by=other).problem == "forbidden"
    assert client("GET", f"/users/{host.user_id}/followers", by=fan).problem == "forbidden"
    assert client("GET", f"/users/{fan.user_id}/following", by=host).problem == "forbidden"


@pytest.mark.parametrize("whom", ["attendee", "nobody"])
def test_only_hosts_can_be_followed(client: Client, whom: str) -> None:
    user_id = client.attendee().user_id if whom == "attendee" else "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"

    assert client("PUT", f"/users/{user_id}/follow", by=client.attendee()).problem == "no-such-host"


def test_following_ends_with_either_account(client: Client) -> None:
    host, fan, leaver = client.host(), client.attendee(), client.attendee()
    for user in (fan, leaver):
        client("PUT", f"/users/{host.user_id}/follow", by=user)

    client("DELETE", "/users/me", by=leaver)
    assert client("GET", f"/users/{host.user_id}", by=fan).json["followerCount"] == 1

    client("DELETE", "/users/me", by=host)
    assert client("GET", "/users/me/following", by=fan).json == []

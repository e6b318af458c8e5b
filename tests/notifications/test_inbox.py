"""The inbox in the app."""

import pytest

from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice


@pytest.fixture
def reader(client: Client, post_office: PostOffice) -> Account:
    """An attendee with two notifications."""
    attendee = client.attendee()
    for _ in range(2):
        client.book(attendee, client.event(client.host())["eventId"])
    post_office.run()
    return attendee


def test_notifications_are_listed_newest_first(client: Client, reader: Account) -> None:
    first, second = client("GET", "/notifications", by=reader).json

    assert first["createdAt"] >= second["createdAt"]
    assert client("GET", f"/events/{first['eventId']}").json["title"] == first["title"]


def test_a_notification_is_read_once(client: Client, reader: Account) -> None:
    path = f"/notifications/{client('GET', '/notifications', by=reader).json[0]['notificationId']}/read"

    assert client("POST", path, by=reader).status == 204
    read_at = client("GET", "/notifications?unread=false", by=reader).json[0]["readAt"]
    assert client("POST", path, by=reader).status == 204

    assert client("GET", "/notifications?unread=false", by=reader).json[0]["readAt"] == read_at
    assert len(client("GET", "/notifications?unread=true", by=reader).json) == 1


def test_other_inboxes_are_private(client: Client, reader: Account) -> None:
    stranger = client.attendee()
    notification_id = client("GET", "/notifications", by=reader).json[0]["notificationId"]

    assert client("GET", "/notifications", by=stranger).json == []
    reply = client("POST", f"/notifications/{notification_id}/read", by=stranger)
    assert reply.problem == "no-such-notification"

"""Recipients: who may be written to, and the event as a letter tells of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event as events_of
from sqlalchemy import insert

from chalicelib.notifications import mail_context, preferences
from chalicelib.notifications.mail_context import EventView, Recipient
from chalicelib.notifications.models import TOPICS, Topic, suppressed_addresses
from tests.client import Account, Client

NOW = datetime.now(UTC)


def found(client: Client, *users: Account, topic: Topic | None = "newEvent") -> list[str]:
    with client.wiring.database.transaction() as connection:
        ids = [UUID(user.user_id) for user in users]
        return [str(one.user_id) for one in mail_context.find(connection, ids, topic=topic, now=NOW)]


def opt_out(client: Client, user: Account, *topics: Topic) -> None:
    with client.wiring.database.transaction() as connection:
        preferences.opt_out(connection, UUID(user.user_id), topics)


def suppress(client: Client, email: str, since: datetime = NOW) -> None:
    with client.wiring.database.transaction() as connection:
        connection.execute(
            insert(suppressed_addresses).values(email=email.lower(), reason="bounce", since=since)
        )


def view(client: Client, event_id: str) -> EventView | None:
    with client.wiring.database.transaction() as connection:
        return mail_context.event_view(connection, UUID(event_id))


def test_people_are_found_with_name_and_address_in_the_order_of_their_ids(client: Client) -> None:
    users = sorted([client.attendee("Ada"), client.host("Grace")], key=lambda user: user.user_id)
    client.attendee("Not asked for")

    with client.wiring.database.transaction() as connection:
        ids = [uuid4(), *(UUID(user.user_id) for user in reversed(users))]
        people = mail_context.find(connection, ids, topic=None, now=NOW)

    assert people == [
        Recipient(user_id=UUID(user.user_id), name=user.name, email=user.email) for user in users
    ]


def test_who_opted_out_of_a_topic_gets_the_others(client: Client) -> None:
    keen, cool = client.attendees(2)
    opt_out(client, cool, "newEvent")

    assert found(client, keen, cool, topic="newEvent") == [keen.user_id]
    assert set(found(client, keen, cool, topic="saleStarted")) == {keen.user_id, cool.user_id}


def test_what_an_account_needs_is_sent_whatever_its_owner_opted_out_of(client: Client) -> None:
    user = client.attendee()
    opt_out(client, user, *TOPICS)

    assert found(client, user, topic=None) == [user.user_id]


@pytest.mark.parametrize("topic", [*TOPICS, None])
def test_to_a_suppressed_address_nothing_is_sent(client: Client, topic: Topic | None) -> None:
    user = client.account("attendee", email="Jane.Doe@Example.com")
    other = client.attendee()
    suppress(client, user.email)

    assert found(client, user, other, topic=topic) == [other.user_id]


def test_what_is_suppressed_later_counts_from_then(client: Client) -> None:
    user = client.attendee()
    suppress(client, user.email, NOW + timedelta(seconds=1))

    assert found(client, user) == [user.user_id]


def test_a_new_address_can_be_written_to(client: Client) -> None:
    user = client.attendee()
    suppress(client, user.email)

    client("PATCH", "/users/me", {"email": "new@example.com"}, by=user)

    assert found(client, user) == [user.user_id]


@pytest.mark.parametrize("topic", ["newEvent", None])
def test_a_closed_account_is_not_written_to(client: Client, topic: Topic | None) -> None:
    stays, goes = client.attendees(2)
    client("DELETE", "/users/me", by=goes)

    assert found(client, stays, goes, topic=topic) == [stays.user_id]


def test_any_number_of_people_is_one_statement(client: Client) -> None:
    users = client.attendees(50)
    statements: list[object] = []
    events_of.listen(
        client.wiring.database.engine, "before_execute", lambda *arguments: statements.append(arguments[1])
    )

    assert len(found(client, *users)) == 50
    assert found(client) == []
    assert len(statements) == 2


def test_an_event_is_told_of_with_its_host_and_as_it_is_now(client: Client) -> None:
    host = client.host("Grace")
    event = client.event(
        host,
        title="Jazz",
        description="Three bands",
        location="Hof",
        timezone="Europe/Berlin",
        startDateTime="2027-06-05T19:30:00+02:00",
        endDateTime="2027-06-05T22:30:00+02:00",
    )
    client("PATCH", f"/events/{event['eventId']}", {"title": "Blues"}, by=host)

    seen = view(client, event["eventId"])

    assert seen is not None
    assert seen == EventView(
        event_id=UUID(event["eventId"]),
        title="Blues",
        description="Three bands",
        location="Hof",
        starts_at=datetime(2027, 6, 5, 17, 30, tzinfo=UTC),
        ends_at=datetime(2027, 6, 5, 20, 30, tzinfo=UTC),
        timezone="Europe/Berlin",
        host_name="Grace",
        status="published",
        updated_at=seen.updated_at,
        version=2,
    )
    assert seen.updated_at.tzinfo is not None


@pytest.mark.parametrize(("status", "seen_as"), [("draft", "draft"), ("published", "cancelled")])
def test_an_event_that_is_called_off_is_told_of_as_cancelled(
    client: Client, status: str, seen_as: str
) -> None:
    host = client.host()
    event_id = client.event(host, status=status)["eventId"]
    client("POST", f"/events/{event_id}/cancel", by=host)

    seen = view(client, event_id)

    assert seen is not None
    assert seen.status == seen_as


def test_a_deleted_event_is_still_told_of_as_cancelled(client: Client) -> None:
    host = client.host()
    event_id = client.event(host)["eventId"]
    client("DELETE", f"/events/{event_id}", by=host)

    seen = view(client, event_id)

    assert seen is not None
    assert (seen.status, seen.title) == ("cancelled", "Jazz in the yard")


def test_an_event_of_a_host_who_left_has_no_hosts_name(client: Client) -> None:
    host = client.host()
    event_id = client.event(host)["eventId"]
    client("DELETE", "/users/me", by=host)

    seen = view(client, event_id)

    assert seen is not None
    assert (seen.status, seen.host_name) == ("cancelled", None)


def test_an_event_that_never_was_is_not_told_of(client: Client) -> None:
    assert view(client, str(uuid4())) is None

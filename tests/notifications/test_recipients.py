"""Who may get e-mails, and the event as e-mails show it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, insert
from sqlalchemy import event as events_of

from chalicelib.notifications import mail_context, preferences
from chalicelib.notifications.kinds import kind_of
from chalicelib.notifications.mail_context import EventView, Recipient
from chalicelib.notifications.models import TOPICS, Topic, suppressed_addresses
from tests.client import PASSWORD, Account, Client
from tests.users.verification_emails import verify_pending

NOW = datetime(2027, 6, 5, 17, 30, tzinfo=UTC)


def found(client: Client, *users: Account, topic: Topic | None = "newEvent") -> list[str]:
    with client.wiring.database.transaction() as connection:
        ids = [UUID(user.user_id) for user in users]
        return [str(one.user_id) for one in find(connection, ids, topic=topic)]


def find(
    connection: Connection,
    ids: list[UUID],
    *,
    topic: Topic | None,
    kind: str = "event-published",
    event_id: UUID | None = None,
) -> list[Recipient]:
    return mail_context.find(connection, ids, kind=kind_of(kind), topic=topic, event_id=event_id, now=NOW)


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


def test_recipients_are_found_in_the_order_of_their_ids(client: Client) -> None:
    users = sorted([client.attendee("Ada"), client.host("Grace")], key=lambda user: user.user_id)
    client.attendee("Not asked for")

    with client.wiring.database.transaction() as connection:
        ids = [uuid4(), *(UUID(user.user_id) for user in reversed(users))]
        recipients = find(connection, ids, topic=None)

    assert recipients == [
        Recipient(user_id=UUID(user.user_id), name=user.name, email=user.email, verified=True)
        for user in users
    ]


def test_an_opt_out_is_for_one_topic(client: Client) -> None:
    keen, cool = client.attendees(2)
    opt_out(client, cool, "newEvent")

    assert found(client, keen, cool, topic="newEvent") == [keen.user_id]
    assert set(found(client, keen, cool, topic="saleStarted")) == {keen.user_id, cool.user_id}


def test_without_a_topic_opt_outs_do_not_count(client: Client) -> None:
    user = client.attendee()
    opt_out(client, user, *TOPICS)

    assert found(client, user, topic=None) == [user.user_id]


@pytest.mark.parametrize("topic", [*TOPICS, None])
def test_suppressed_addresses_get_nothing(client: Client, topic: Topic | None) -> None:
    user = client.account("attendee", email="Jane.Doe@Example.com")
    other = client.attendee()
    suppress(client, user.email)

    assert found(client, user, other, topic=topic) == [other.user_id]


def test_a_later_suppression_does_not_count_yet(client: Client) -> None:
    user = client.attendee()
    suppress(client, user.email, NOW + timedelta(seconds=1))

    assert found(client, user) == [user.user_id]


def test_a_new_address_is_not_suppressed(client: Client) -> None:
    user = client.attendee()
    suppress(client, user.email)

    change = {"email": "new@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=user).status == 200
    verify_pending(client, user, "new@example.com")

    assert found(client, user) == [user.user_id]


@pytest.mark.parametrize("topic", ["newEvent", None])
def test_deleted_accounts_get_nothing(client: Client, topic: Topic | None) -> None:
    stays, goes = client.attendees(2)
    client("DELETE", "/users/me", by=goes)

    assert found(client, stays, goes, topic=topic) == [stays.user_id]


def test_any_number_of_recipients_is_one_statement(client: Client) -> None:
    users = client.attendees(50)
    statements: list[object] = []
    events_of.listen(
        client.wiring.database.engine, "before_execute", lambda *arguments: statements.append(arguments[1])
    )

    assert len(found(client, *users)) == 50
    assert found(client) == []
    assert len(statements) == 2


def test_an_event_is_shown_as_it_is_now(client: Client) -> None:
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
        sale_starts_at=None,
        sale_ends_at=None,
        status="published",
        updated_at=seen.updated_at,
        version=2,
    )
    assert seen.updated_at.tzinfo is not None


@pytest.mark.parametrize(("status", "seen_as"), [("draft", "draft"), ("published", "cancelled")])
def test_a_cancelled_event_is_shown_as_cancelled(client: Client, status: str, seen_as: str) -> None:
    host = client.host()
    event_id = client.event(host, status=status)["eventId"]
    client("POST", f"/events/{event_id}/cancel", by=host)

    seen = view(client, event_id)

    assert seen is not None
    assert seen.status == seen_as


def test_a_deleted_event_is_shown_as_cancelled(client: Client) -> None:
    host = client.host()
    event_id = client.event(host)["eventId"]
    client("DELETE", f"/events/{event_id}", by=host)

    seen = view(client, event_id)

    assert seen is not None
    assert (seen.status, seen.title) == ("cancelled", "Jazz in the yard")


def test_an_event_of_a_deleted_host_has_no_host_name(client: Client) -> None:
    host = client.host()
    event_id = client.event(host)["eventId"]
    client("DELETE", "/users/me", by=host)

    seen = view(client, event_id)

    assert seen is not None
    assert (seen.status, seen.host_name) == ("cancelled", None)


def test_an_unknown_event_is_none(client: Client) -> None:
    assert view(client, str(uuid4())) is None

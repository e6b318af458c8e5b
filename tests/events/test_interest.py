"""Interest in an event, and the announcement of its sale start."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from chalicelib.events import sale_start
from tests.client import Account, Client, in_days


def announcements(client: Client, event_id: str) -> int:
    with client.wiring.database.transaction() as connection:
        query = text("SELECT count(*) FROM outbox WHERE type = 'sale-started' AND subject = :event")
        return int(connection.execute(query, {"event": event_id}).scalar_one())


def announce(client: Client, after: timedelta = timedelta(0)) -> int:
    return sale_start.announce(client.wiring.database, datetime.now(UTC) + after)


def interests(client: Client, user: Account) -> list[str]:
    return [event["eventId"] for event in client("GET", "/users/me/interests", by=user).json]


def test_showing_and_withdrawing_interest_is_idempotent(client: Client) -> None:
    user, event = client.attendee(), client.event(client.host())
    path = f"/events/{event['eventId']}/interest"

    for _ in range(2):
        assert client("PUT", path, by=user).status == 204
    assert interests(client, user) == [event["eventId"]]

    for _ in range(2):
        assert client("DELETE", path, by=user).status == 204
    assert interests(client, user) == []


def test_interest_in_a_draft_of_another_host_is_refused(client: Client) -> None:
    event = client.event(client.host(), status="draft")

    reply = client("PUT", f"/events/{event['eventId']}/interest", by=client.attendee())

    assert reply.problem == "no-such-event"


def test_a_sale_start_is_announced_once(client: Client) -> None:
    event_id = client.event(client.host(), saleStartsAt=in_days(1))["eventId"]

    assert announce(client) == 0
    assert announce(client, after=timedelta(days=1, seconds=1)) == 1
    assert announce(client, after=timedelta(days=2)) == 0
    assert announcements(client, event_id) == 1


def test_a_moved_sale_start_is_announced_at_its_new_time(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, saleStartsAt=in_days(1))["eventId"]

    client("PATCH", f"/events/{event_id}", {"saleStartsAt": in_days(3)}, by=host)
    assert announce(client, after=timedelta(days=2)) == 0

    client("PATCH", f"/events/{event_id}", {"saleStartsAt": in_days(0.5)}, by=host)
    assert announce(client, after=timedelta(days=1)) == 1


def test_a_postponed_sale_start_is_announced_again(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, saleStartsAt=in_days(1))["eventId"]
    assert announce(client, after=timedelta(days=2)) == 1

    client("PATCH", f"/events/{event_id}", {"saleStartsAt": in_days(3)}, by=host)

    assert announce(client, after=timedelta(days=2)) == 0
    assert announce(client, after=timedelta(days=4)) == 1
    assert announcements(client, event_id) == 2


def test_a_sale_that_starts_with_publication_is_not_announced(client: Client) -> None:
    host = client.host()
    client.event(host, saleStartsAt=in_days(-1))
    draft = client.event(host, saleStartsAt=in_days(-1), status="draft")["eventId"]
    client("PATCH", f"/events/{draft}", {"status": "published"}, by=host)

    assert announce(client) == 0


def test_sale_starts_of_unpublished_events_are_not_announced(client: Client) -> None:
    host = client.host()
    draft = client.event(host, saleStartsAt=in_days(1), status="draft")["eventId"]
    cancelled = client.event(host, saleStartsAt=in_days(1))["eventId"]
    deleted = client.event(host, saleStartsAt=in_days(1))["eventId"]
    client("POST", f"/events/{cancelled}/cancel", by=host)
    client("DELETE", f"/events/{deleted}", by=host)

    assert announce(client, after=timedelta(days=2)) == 0
    assert [announcements(client, event) for event in (draft, cancelled, deleted)] == [0, 0, 0]

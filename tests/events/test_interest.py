"""Interest in an event, and the sales that begin."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from chalicelib.events import sale_start
from tests.client import Account, Client, in_days


def told(client: Client, event_id: str) -> int:
    with client.wiring.database.transaction() as connection:
        query = text("SELECT count(*) FROM outbox WHERE type = 'sale-started' AND subject = :event")
        return int(connection.execute(query, {"event": event_id}).scalar_one())


def start(client: Client, after: timedelta = timedelta(0)) -> int:
    return sale_start.announce(client.wiring.database, datetime.now(UTC) + after)


def interests(client: Client, user: Account) -> list[str]:
    return [event["eventId"] for event in client("GET", "/users/me/interests", by=user).json]


def test_interest_is_shown_once_and_withdrawn(client: Client) -> None:
    user, event = client.attendee(), client.event(client.host())
    path = f"/events/{event['eventId']}/interest"

    for _ in range(2):
        assert client("PUT", path, by=user).status == 204
    assert interests(client, user) == [event["eventId"]]

    for _ in range(2):
        assert client("DELETE", path, by=user).status == 204
    assert interests(client, user) == []


def test_nobody_can_be_interested_in_somebody_elses_draft(client: Client) -> None:
    event = client.event(client.host(), status="draft")

    reply = client("PUT", f"/events/{event['eventId']}/interest", by=client.attendee())

    assert reply.problem == "no-such-event"


def test_a_sale_is_told_of_once_when_it_has_begun(client: Client) -> None:
    event_id = client.event(client.host(), saleStartsAt=in_days(1))["eventId"]

    assert start(client) == 0
    assert start(client, after=timedelta(days=1, seconds=1)) == 1
    assert start(client, after=timedelta(days=2)) == 0
    assert told(client, event_id) == 1


def test_a_sale_that_is_moved_is_told_of_at_its_new_time(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, saleStartsAt=in_days(1))["eventId"]

    client("PATCH", f"/events/{event_id}", {"saleStartsAt": in_days(3)}, by=host)
    assert start(client, after=timedelta(days=2)) == 0

    client("PATCH", f"/events/{event_id}", {"saleStartsAt": in_days(0.5)}, by=host)
    assert start(client, after=timedelta(days=1)) == 1


def test_a_sale_that_was_told_of_and_is_put_off_is_told_of_again(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, saleStartsAt=in_days(1))["eventId"]
    assert start(client, after=timedelta(days=2)) == 1

    client("PATCH", f"/events/{event_id}", {"saleStartsAt": in_days(3)}, by=host)

    assert start(client, after=timedelta(days=2)) == 0
    assert start(client, after=timedelta(days=4)) == 1
    assert told(client, event_id) == 2


def test_a_sale_that_is_on_as_soon_as_it_is_seen_is_not_told_of(client: Client) -> None:
    host = client.host()
    client.event(host, saleStartsAt=in_days(-1))
    draft = client.event(host, saleStartsAt=in_days(-1), status="draft")["eventId"]
    client("PATCH", f"/events/{draft}", {"status": "published"}, by=host)

    assert start(client) == 0


def test_no_sale_begins_for_drafts_or_what_was_called_off(client: Client) -> None:
    host = client.host()
    draft = client.event(host, saleStartsAt=in_days(1), status="draft")["eventId"]
    cancelled = client.event(host, saleStartsAt=in_days(1))["eventId"]
    deleted = client.event(host, saleStartsAt=in_days(1))["eventId"]
    client("POST", f"/events/{cancelled}/cancel", by=host)
    client("DELETE", f"/events/{deleted}", by=host)

    assert start(client, after=timedelta(days=2)) == 0
    assert [told(client, event) for event in (draft, cancelled, deleted)] == [0, 0, 0]

"""Idempotency while the first request with a key is in progress."""

from functools import partial

from chalicelib.platform.http import idempotency
from tests.api.test_idempotency import KEY, age_keys_by_a_day, booking, publishing, registering
from tests.client import Client
from tests.concurrency import run_concurrently
from tests.database_contents import count
from tests.rows import alter, domain_events, rows, taken


def test_a_key_of_a_request_in_progress_is_refused(client: Client) -> None:
    """An open transaction that locks the row of the key stands for the request in progress."""
    database = client.wiring.database
    name = database.engine.url.database
    send = registering(client)
    publish = publishing(client)
    for request in (send, publish):
        request(headers=KEY)
    age_keys_by_a_day(client)
    alter(client, f"ALTER DATABASE \"{name}\" SET lock_timeout = '50ms'")
    database.engine.dispose()  # new connections have the new timeout

    with database.transaction() as connection:
        connection.execute(idempotency.idempotency_keys.update().values(status=201))
        replies = [send(headers=KEY), publish(headers=KEY)]

    for reply in replies:
        assert (reply.status, reply.problem) == (409, "request-in-progress")
        assert int(reply.headers["retry-after"]) > 0
    assert (count(client, "users"), count(client, "events")) == (2, 1)
    assert publish(headers=KEY).status == 201


def test_a_key_of_a_booking_in_progress_is_refused(client: Client) -> None:
    database = client.wiring.database
    name = database.engine.url.database
    book = booking(client)
    book(headers=KEY)
    age_keys_by_a_day(client)
    rows(client, "UPDATE bookings SET status = 'cancelled', quantity = 0")
    alter(client, f"ALTER DATABASE \"{name}\" SET lock_timeout = '50ms'")
    database.engine.dispose()

    with database.transaction() as connection:
        connection.execute(idempotency.idempotency_keys.update().values(status=201))
        reply = book(headers=KEY)

    assert (reply.status, reply.problem) == (409, "request-in-progress")
    assert int(reply.headers["retry-after"]) > 0
    assert count(client, "bookings") == 1


def test_50_concurrent_requests_with_one_key_publish_one_event(client: Client) -> None:
    publish = partial(publishing(client), headers=KEY)

    replies = run_concurrently([publish] * 50)

    assert {reply.status for reply in replies} == {201}
    assert len({reply.text for reply in replies}) == 1
    assert sum("idempotent-replayed" not in reply.headers for reply in replies) == 1
    assert count(client, "events") == 1
    assert len(domain_events(client, replies[0].json["eventId"], "event-published")) == 1


def test_20_concurrent_requests_with_one_key_book_one_place(client: Client) -> None:
    event = client.event(client.host(), capacity=1)
    book = partial(client.book, client.attendee(), event["eventId"], **KEY)

    replies = run_concurrently([book] * 20)

    assert {(reply.status, reply.text) for reply in replies} == {(201, replies[0].text)}
    assert sum("idempotent-replayed" not in reply.headers for reply in replies) == 1
    assert taken(client, event["eventId"]) == 1
    assert len(domain_events(client, event["eventId"], "booking-confirmed")) == 1


def test_20_concurrent_requests_with_one_key_register_once(client: Client) -> None:
    register = partial(registering(client), headers=KEY)

    replies = run_concurrently([register] * 20)

    assert {(reply.status, reply.text) for reply in replies} == {(201, replies[0].text)}
    assert count(client, "users") == 1

"""Concurrent requests over real HTTP: no place is sold twice, and no request fails with a server error."""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain, cycle, islice
from uuid import UUID

import pytest

from tests.bookings.orders import add_code, archive, cancel_ticket, sell, taken_by_pool, ticket_type
from tests.client import Account, Client, Reply
from tests.concurrency import Deed, Line, Web, deadlocks, until
from tests.rows import alter, domain_events, taken, value


def outcomes(replies: Sequence[Reply]) -> Counter[str]:
    """Count the replies by status, or by the problem's name if the request was refused."""
    return Counter(str(reply.status) if reply.status < 400 else reply.problem for reply in replies)


def book(event_id: str, attendee: Account, line: Line) -> Reply:
    return line.book(attendee, event_id)


def test_500_attendees_book_exactly_100_places(client: Client, web: Web) -> None:
    event = client.event(client.host(), capacity=100)

    replies = web.run_concurrently(
        [partial(book, event["eventId"], attendee) for attendee in client.attendees(500)]
    )

    assert outcomes(replies) == {"201": 100, "sold-out": 400}
    assert {reply.status for reply in replies} == {201, 409}
    assert taken(client, event["eventId"]) == 100
    assert len({reply.json["userId"] for reply in replies if reply.status == 201}) == 100
    assert len(domain_events(client, event["eventId"], "booking-confirmed")) == 100


def test_500_attendees_with_orders_of_1_to_4_fill_an_event_of_3_types(client: Client, web: Web) -> None:
    sale = sell(
        client,
        client.host(),
        ticket_type("Seated", capacity=30),
        ticket_type("Balcony", capacity=40),
        ticket_type("Standing"),
    )
    wishes = [wish(number) for number in range(500)]

    def order(quantities: tuple[int, ...], attendee: Account, line: Line) -> Reply:
        return line("POST", "/bookings", sale.order(*quantities), by=attendee)

    replies = web.run_concurrently(
        [
            partial(order, quantities, attendee)
            for quantities, attendee in zip(wishes, client.attendees(500), strict=True)
        ]
    )

    assert outcomes(replies).keys() == {"201", "sold-out"}
    seated, balcony, standing = taken_by_pool(client, sale.event_id).values()
    left = 100 - taken(client, sale.event_id)
    for quantities, reply in zip(wishes, replies, strict=True):
        fits = sum(quantities) <= left and quantities[0] <= 30 - seated and quantities[1] <= 40 - balcony
        assert reply.status == 201 or not fits
    booked = [quantities for quantities, reply in zip(wishes, replies, strict=True) if reply.status == 201]
    assert [sum(of_type) for of_type in zip(*booked, strict=True)] == [seated, balcony, standing]
    assert len(domain_events(client, sale.event_id, "booking-confirmed")) == len(booked)
    assert deadlocks(client) == 0


def wish(number: int) -> tuple[int, int, int]:
    """Return how many tickets of each of three types an attendee wants: 1 to 4, of one type or two."""
    quantities = [0, 0, 0]
    for ticket in range(1 + number % 4):
        quantities[(number // 4 + ticket % (1 + number // 12 % 2)) % 3] += 1
    return quantities[0], quantities[1], quantities[2]


def test_orders_survive_changes_and_cancellations_meanwhile(client: Client, web: Web) -> None:
    hosts = [client.host(), client.host()]
    sales = [
        sell(
            client,
            host,
            ticket_type("Seated", capacity=12),
            ticket_type("Balcony", price=2000, capacity=15),
            ticket_type("Standing"),
            capacity=40,
            max_per_attendee=6,
        )
        for host in hosts
    ]
    codes = [str(add_code(client, sale, "CLUB", "percent", 100, max_uses=10)) for sale in sales]
    transaction = client.wiring.database.transaction

    def attend(number: int, attendee: Account, line: Line) -> list[Reply]:
        replies = []
        for turn in range(6):
            sale = sales[(number + turn) % 2]
            code = {"code": "CLUB"} if (number + turn) % 3 else {}
            replies.append(line("POST", "/bookings", sale.order(*wish(number + turn), **code), by=attendee))
            booking_id = replies[-1].json.get("bookingId")
            if booking_id and turn % 3 == 0:
                replies.append(line.cancel(attendee, booking_id))
            elif booking_id and turn % 3 == 1:
                with transaction() as connection:
                    cancel_ticket(connection, UUID(booking_id), datetime.now(UTC))
        return replies

    def run_event(number: int, line: Line) -> list[Reply]:
        host, sale = hosts[number], sales[number]
        path, capacities = f"/events/{sale.event_id}", (30, 35, 20, 45, 25, 40)
        replies = [line("PATCH", path, {"capacity": capacity}, by=host) for capacity in capacities]
        with transaction() as connection:
            archive(connection, sale.event_id, sale.type_ids[0])
        if number == 1:
            replies.append(line("POST", f"/events/{sale.event_id}/cancel", by=host))
        return replies

    deeds: list[Deed[list[Reply]]] = [
        *(partial(attend, number, attendee) for number, attendee in enumerate(client.attendees(60))),
        *(partial(run_event, number) for number in range(2)),
    ]
    replies = list(chain.from_iterable(web.run_concurrently(deeds)))

    # A booking is unavailable if the host changes the event during each of its five attempts.
    counts = outcomes(replies)
    expected = {"200", "201", "204", "sold-out", "limit-reached", "code-invalid", "invalid-input"}
    assert counts.keys() <= expected | {"event-cancelled", "capacity-below-taken", "unavailable"}
    assert counts["201"]
    pools = [taken_by_pool(client, sale.event_id) for sale in sales]
    assert taken(client, sales[0].event_id) > 0
    assert pools[0][codes[0]] <= 10
    assert set(pools[1].values()) == {0}
    assert taken(client, sales[1].event_id) == 0
    assert deadlocks(client) == 0


def test_50_concurrent_bookings_use_a_code_10_times(client: Client, web: Web) -> None:
    sale = sell(client, client.host(), ticket_type(price=2000), ticket_type())
    code_id = str(add_code(client, sale, "FIRST10", "percent", 50, max_uses=10))

    def order(attendee: Account, line: Line) -> Reply:
        return line("POST", "/bookings", sale.order(1, 1, code="FIRST10"), by=attendee)

    replies = web.run_concurrently([partial(order, attendee) for attendee in client.attendees(50)])

    assert outcomes(replies) == {"201": 10, "code-invalid": 40}
    assert {reply.json["discount"] for reply in replies if reply.status == 201} == {1000}
    assert taken_by_pool(client, sale.event_id)[code_id] == 10


def test_orders_of_one_attendee_stay_within_the_limit(client: Client, web: Web) -> None:
    sale, attendee = sell(client, client.host(), ticket_type(), max_per_attendee=5), client.attendee()

    def order(line: Line) -> Reply:
        return line("POST", "/bookings", sale.order(2), by=attendee)

    replies = web.run_concurrently([order] * 50)

    assert outcomes(replies) == {"201": 2, "limit-reached": 48}
    assert {reply.json["left"] for reply in replies if reply.status == 409} <= {1, 3}
    assert taken(client, sale.event_id) == 4


def test_200_concurrent_bookings_of_one_attendee_book_once(client: Client, web: Web) -> None:
    event, attendee = client.event(client.host()), client.attendee()

    replies = web.run_concurrently([partial(book, event["eventId"], attendee)] * 200)

    assert outcomes(replies) == {"201": 1, "already-booked": 199}
    assert taken(client, event["eventId"]) == 1


@pytest.mark.rate_limits
@pytest.mark.parametrize("keyed", [False, True], ids=["no keys", "keys"])
def test_concurrent_holds_of_one_account_stay_within_its_limit(
    client: Client, web: Web, *, keyed: bool
) -> None:
    host, attendee = client.host(), client.attendee()
    event_ids = [client.event(host, price=2500)["eventId"] for _ in range(12)]

    def hold(event_id: str, line: Line) -> Reply:
        return line.book(attendee, event_id, **({"Idempotency-Key": event_id} if keyed else {}))

    replies = web.run_concurrently([partial(hold, event_id) for event_id in event_ids * 3])

    statuses = outcomes(replies)
    assert statuses.keys() <= {"200", "201", "too-many-holds"}
    assert len({reply.json["bookingId"] for reply in replies if reply.status < 300}) == 3
    assert sum(taken(client, event_id) for event_id in event_ids) == 3


@pytest.mark.parametrize("capacity", [100, 1])
def test_200_requests_with_one_key_get_one_answer(client: Client, web: Web, capacity: int) -> None:
    event, attendee = client.event(client.host(), capacity=capacity), client.attendee()

    def send(line: Line) -> Reply:
        return line.book(attendee, event["eventId"], **{"Idempotency-Key": "a key"})

    replies = web.run_concurrently([send] * 200)

    assert {(reply.status, reply.text) for reply in replies} == {(201, replies[0].text)}
    assert Counter("idempotent-replayed" in reply.headers for reply in replies) == {False: 1, True: 199}
    assert taken(client, event["eventId"]) == 1
    assert len(domain_events(client, event["eventId"], "booking-confirmed")) == 1


def test_capacity_changed_during_a_rush_is_never_exceeded(client: Client, web: Web) -> None:
    host = client.host()
    event = client.event(host, capacity=1)
    alter(client, "ALTER TABLE places DROP CONSTRAINT ck_places_taken")  # test the guards alone

    final = threading.Event()

    def change(line: Line) -> list[Reply]:
        path = f"/events/{event['eventId']}"
        capacities = chain.from_iterable((size, size // 2, size - 1) for size in range(2, 20, 3))
        replies = [line("PATCH", path, {"capacity": size}, by=host) for size in capacities]
        final.set()
        return replies

    def retry(attendee: Account, line: Line) -> list[Reply]:
        replies = [line.book(attendee, event["eventId"])]
        while replies[-1].status != 201 and not final.is_set():
            replies.append(line.book(attendee, event["eventId"]))
        return replies

    deeds: list[Deed[list[Reply]]] = [partial(retry, attendee) for attendee in client.attendees(30)]
    changes, *bookings = web.run_concurrently([change, *deeds])

    assert outcomes(changes).keys() <= {"200", "capacity-below-taken"}
    for reply in changes:
        assert reply.status == 409 or reply.json["numberOfAttendees"] <= reply.json["capacity"]
    booked = outcomes(list(chain.from_iterable(bookings)))
    # A booking is unavailable if the host changes the event during each of its five attempts.
    assert booked.keys() <= {"201", "sold-out", "unavailable"}
    assert taken(client, event["eventId"]) == booked["201"]


@pytest.mark.parametrize(
    ("method", "suffix", "refused"), [("DELETE", "", "no-such-event"), ("POST", "/cancel", "event-cancelled")]
)
def test_event_cancelled_during_a_rush_keeps_no_booking(
    client: Client, web: Web, method: str, suffix: str, refused: str
) -> None:
    host = client.host()
    event = client.event(host, capacity=1000)
    path = f"/events/{event['eventId']}"
    booked: list[Reply] = []

    def book_in_turn(attendees: list[Account], line: Line) -> list[Reply]:
        replies = []
        for attendee in attendees:
            replies.append(line.book(attendee, event["eventId"]))
            booked.extend(replies[-1:] if replies[-1].status == 201 else [])
        return replies

    def cancel(line: Line) -> list[Reply]:
        until(lambda: len(booked) >= 20)
        return [line(method, path + suffix, by=host)]

    attendees = client.attendees(160)
    rush: list[Deed[list[Reply]]] = [partial(book_in_turn, attendees[n::16]) for n in range(16)]
    *bookings, [cancelled] = web.run_concurrently([*rush, cancel])

    assert cancelled.status in {200, 204}
    assert outcomes(list(chain.from_iterable(bookings))).keys() <= {"201", refused}
    assert taken(client, event["eventId"]) == 0
    for domain_event in ("booking-confirmed", "booking-cancelled"):
        assert len(domain_events(client, event["eventId"], domain_event)) == len(booked)


def test_a_rebooked_last_place_is_never_booked_twice(client: Client, web: Web) -> None:
    event = client.event(client.host(), capacity=1)
    alter(client, "ALTER TABLE places DROP CONSTRAINT ck_places_taken")

    def book_and_cancel(attendee: Account, line: Line) -> list[Reply]:
        replies: list[Reply] = []
        while sum(reply.status == 201 for reply in replies) < 4:
            replies.append(line.book(attendee, event["eventId"]))
            if replies[-1].status == 201:
                replies.append(line.cancel(attendee, replies[-1].json["bookingId"]))
        return replies

    replies = web.run_concurrently([partial(book_and_cancel, attendee) for attendee in client.attendees(8)])

    counts = outcomes(list(chain.from_iterable(replies)))
    # A booking is unavailable if another one takes the place during each of its five attempts.
    assert counts.keys() <= {"201", "204", "sold-out", "unavailable"}
    assert counts["201"] == counts["204"] == 32
    assert taken(client, event["eventId"]) == 0


def test_concurrent_cancellations_free_one_place(client: Client, web: Web) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    client.book(client.attendee(), event["eventId"])
    booking_id = client.book(attendee, event["eventId"]).json["bookingId"]

    def cancel(by: Account, line: Line) -> Reply:
        return line.cancel(by, booking_id)

    replies = web.run_concurrently([partial(cancel, account) for account in [host, attendee] * 10])

    assert outcomes(replies) == {"204": 20}
    assert taken(client, event["eventId"]) == 1
    assert len(domain_events(client, event["eventId"], "booking-cancelled")) == 1


def test_mixed_load_causes_no_deadlock_and_no_server_error(client: Client, web: Web) -> None:
    hosts = [client.host() for _ in range(3)]
    events = [client.event(host, capacity=15)["eventId"] for host in hosts for _ in range(2)]
    attendees = client.attendees(24)

    def attend(number: int, line: Line) -> list[Reply]:
        attendee = attendees[number]
        replies: list[Reply] = []
        # Each attendee books the events in another order, so that wrong locking would deadlock.
        for event_id in islice(cycle(events if number % 2 else events[::-1]), number, number + len(events)):
            replies.append(line.book(attendee, event_id))
            if replies[-1].status == 201 and number % 3:
                replies.append(line.cancel(attendee, replies[-1].json["bookingId"]))
                replies.append(line.book(attendee, event_id))
        if number % 4 == 0:
            replies.append(line("DELETE", "/users/me", by=attendee))
        return replies

    def run_events(number: int, line: Line) -> list[Reply]:
        host, own = hosts[number], events[2 * number : 2 * number + 2]
        replies = [
            line(
                "PATCH",
                f"/events/{event_id}",
                {"capacity": capacity, "title": f"Room for {capacity}"},
                by=host,
            )
            for capacity in (20, 12, 18, 10)
            for event_id in own
        ]
        if number == 0:
            replies.append(line("POST", f"/events/{own[0]}/cancel", by=host))
            replies.append(line("DELETE", f"/events/{own[1]}", by=host))
        if number == 1:
            replies.append(line("DELETE", "/users/me", by=host))
        return replies

    deeds: list[Deed[list[Reply]]] = [
        *(partial(attend, number) for number in range(len(attendees))),
        *(partial(run_events, number) for number in range(len(hosts))),
    ]
    replies = web.run_concurrently(deeds)

    statuses = Counter(reply.status for reply in chain.from_iterable(replies))
    assert statuses.keys() <= {200, 201, 204, 404, 409}, statuses
    for event_id in events[:4]:
        assert taken(client, event_id) == 0
    for event_id in events[4:]:
        taken(client, event_id)
    assert (
        value(
            client,
            "SELECT count(*) FROM bookings JOIN users USING (user_id)"
            " WHERE status = 'confirmed' AND deleted_at IS NOT NULL",
        )
        == 0
    )

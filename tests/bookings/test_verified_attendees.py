"""Bookings for verified e-mail addresses only, as an event or the deployment demands."""

from dataclasses import replace

import pytest

from chalicelib.wiring import Wiring, using
from tests.client import Client, event_body
from tests.fakes import FakePayments
from tests.rows import taken
from tests.users.verification_emails import verify

ONLY = {"verifiedAttendeesOnly": True}


def event_for_verified(client: Client, **members: object) -> str:
    return str(client.event(client.host(), **ONLY, **members)["eventId"])


@pytest.mark.parametrize("price", [0, 2500])
def test_an_unverified_attendee_is_refused_and_learns_why(client: Client, price: int) -> None:
    attendee, event_id = client.attendee(), event_for_verified(client, price=price)

    refused = client.book(attendee, event_id, **{"Idempotency-Key": "a key"})

    assert (refused.status, refused.problem) == (403, "email-not-verified")
    assert "POST /auth/verify-email/resend" in refused.json["detail"]
    assert "drafts" not in refused.json["detail"]
    assert taken(client, event_id) == 0
    verify(client, attendee)
    assert client.book(attendee, event_id, **{"Idempotency-Key": "a key"}).status == 201


def test_the_deployment_can_demand_verified_attendees(client: Client) -> None:
    attendee, event_id = client.attendee(), client.event(client.host())["eventId"]
    settings = replace(client.wiring.settings, verified_attendees_only=True)

    with using(Wiring(settings, payments=FakePayments())):
        refused = client.book(attendee, event_id)
        verify(client, attendee)
        booked = client.book(attendee, event_id)

    assert refused.problem == "email-not-verified"
    assert booked.status == 201


def test_an_event_is_open_to_all_by_default(client: Client) -> None:
    event = client.event(client.host())

    assert event["verifiedAttendeesOnly"] is False
    assert client.book(client.attendee(), event["eventId"]).status == 201


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_host_can_change_the_demand(client: Client, method: str) -> None:
    host, attendee = client.host(), client.attendee()
    path = f"/events/{client.event(host)['eventId']}"

    def change(*, only: bool) -> bool:
        reply = client(method, path, event_body(verifiedAttendeesOnly=only), by=host)
        assert reply.status == 200, reply.text
        return bool(reply.json["verifiedAttendeesOnly"])

    assert change(only=True)
    assert client.book(attendee, path.rpartition("/")[2]).problem == "email-not-verified"
    assert not change(only=False)
    assert client.book(attendee, path.rpartition("/")[2]).status == 201


@pytest.mark.parametrize("bad", [None, "true", 1])
def test_the_demand_is_a_boolean(client: Client, bad: object) -> None:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}"

    reply = client("PATCH", path, {"verifiedAttendeesOnly": bad}, by=host)

    assert (reply.status, reply.faulty_fields) == (400, {"verifiedAttendeesOnly"})


def test_the_state_of_the_event_comes_first(client: Client) -> None:
    attendee, first = client.attendee(), client.attendee()
    event_id = event_for_verified(client, capacity=1)
    verify(client, first)
    client.book(first, event_id)

    assert client.book(attendee, event_id).problem == "sold-out"


@pytest.mark.parametrize(
    ("price", "status", "code"), [(0, 409, "already-booked"), (2500, 200, None)], ids=["free", "priced"]
)
def test_an_existing_booking_comes_first(client: Client, price: int, status: int, code: str | None) -> None:
    host, attendee = client.host(), client.attendee()
    event_id = client.event(host, price=price)["eventId"]
    key = {"Idempotency-Key": "a key"}
    first = client.book(attendee, event_id, **key).json
    client("PATCH", f"/events/{event_id}", ONLY, by=host)

    again = client.book(attendee, event_id)

    assert (again.status, again.json.get("code")) == (status, code)
    assert client.book(attendee, event_id, **key).json == first

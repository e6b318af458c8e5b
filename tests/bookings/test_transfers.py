"""Transfer of tickets: offered to an e-mail address, claimed by a link, and from then on the new holder's."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import ANY
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from chalicelib.bookings import claims, transfers
from chalicelib.bookings.booking import LimitReached
from chalicelib.bookings.claims import InvalidTransferToken
from chalicelib.platform.settings import Quota
from chalicelib.wiring import Wiring, using
from tests.bookings.ticket_transfers import EMAIL, Given, give, verified
from tests.client import Client, Reply
from tests.concurrency import deadlocks, run_concurrently, until_waiting
from tests.database_contents import contents, count
from tests.fakes import FakePayments
from tests.rows import domain_events, rows, value
from tests.users.verification_emails import is_verified, verify


@pytest.fixture
def given(client: Client) -> Given:
    return give(client)


def until(reply: Reply) -> timedelta:
    """Return how far the end of an offer is from now."""
    return datetime.fromisoformat(reply.json["expiresAt"]) - datetime.now(UTC)


def test_an_offered_ticket_stays_the_bookers(given: Given) -> None:
    before = given.get().json

    offered = given.offer()

    assert offered.status == 201
    assert offered.json == {"ticketId": given.ticket_id, "email": EMAIL, "createdAt": ANY, "expiresAt": ANY}
    assert timedelta(days=6, hours=23) < until(offered) <= timedelta(days=7)
    now = given.get().json
    assert now.pop("transfer") == {"email": EMAIL, "expiresAt": offered.json["expiresAt"]}
    assert now == before
    assert "transfer" not in given.get(given.host).json


def test_an_offer_ends_when_the_event_starts(given: Given) -> None:
    starts_at = datetime.now(UTC) + timedelta(hours=5)
    rows(given.client, "UPDATE events SET starts_at = :at", at=starts_at)

    assert until(given.offer()) <= timedelta(hours=5)


def test_a_domain_event_has_neither_address_nor_token(given: Given) -> None:
    given.offer()

    [offered] = domain_events(given.client, given.sale.event_id, "ticket-transfer-offered")

    assert offered.body == {
        "ticketId": given.ticket_id,
        "bookingId": given.booking_id,
        "eventId": given.sale.event_id,
        "transferId": ANY,
    }


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda given: given.set_status("held"), "booking-unpaid"),
        (lambda given: given.set_status("cancelled"), "ticket-cancelled"),
        (lambda given: given.set_status("used"), "ticket-used"),
        (Given.transfer, "ticket-transferred"),
        (Given.offer, "transfer-pending"),
        (Given.start, "event-started"),
    ],
    ids=["unpaid", "cancelled", "used", "transferred", "offered", "started"],
)
def test_some_tickets_cannot_be_offered(
    given: Given, break_it: Callable[[Given], object], problem: str
) -> None:
    break_it(given)
    before = contents(given.client)

    refused = given.offer("another@example.com")

    assert (refused.status, refused.problem) == (409, problem)
    assert contents(given.client) == before


@pytest.mark.parametrize(
    "email", ["nobody", "", "a@example.com\r\nBcc: b@example.com", "Grace <grace@example.com>", 7]
)
def test_a_bad_address_is_refused(given: Given, email: Any) -> None:
    refused = given.offer(email)

    assert (refused.status, refused.faulty_fields) == (400, {"email"})
    assert count(given.client, "ticket_transfers") == 0


def test_a_ticket_is_not_offered_to_oneself(given: Given) -> None:
    refused = given.offer(given.booker.email.upper())

    assert (refused.status, refused.faulty_fields) == (400, {"email"})


def test_only_a_booker_with_a_verified_address_offers_a_ticket(given: Given) -> None:
    named = verified(given.client)
    given.change(holderEmail=EMAIL)

    for other in (given.host, named):
        assert (given.offer(by=other).problem, given.withdraw(other).problem) == ("not-your-ticket",) * 2
    for stranger in (given.client.attendee(), given.client.host()):
        assert (given.offer(by=stranger).problem, given.withdraw(stranger).problem) == ("no-such-ticket",) * 2
    rows(
        given.client, "UPDATE users SET email_verified_at = NULL WHERE user_id = :id", id=given.booker.user_id
    )
    refused = given.offer()
    assert (refused.status, refused.problem) == (403, "email-not-verified")


def test_an_offer_can_be_repeated_with_its_key(given: Given) -> None:
    first, again = (given.offer(Idempotency_Key="a key") for _ in range(2))

    assert (first.status, first.text) == (again.status, again.text)
    assert again.headers["idempotent-replayed"] == "true"
    assert count(given.client, "ticket_transfers") == 1


def test_a_withdrawn_offer_cannot_be_claimed(given: Given) -> None:
    assert given.withdraw().problem == "no-such-transfer"
    given.offer()
    token = given.token()

    assert [given.withdraw().status for _ in range(2)] == [204, 204]

    assert given.claim(token).problem == "invalid-transfer-token"
    assert "transfer" not in given.get().json
    assert given.offer("another@example.com").status == 201


def test_an_expired_offer_is_replaced(given: Given) -> None:
    given.offer()
    token = given.token()
    rows(given.client, "UPDATE ticket_transfers SET expires_at = now() - interval '1 second'")

    assert "transfer" not in given.get().json
    assert given.claim(token).problem == "invalid-transfer-token"
    assert given.offer("another@example.com").status == 201
    assert given.claim(token).problem == "invalid-transfer-token"


def test_a_claim_makes_a_new_holder_and_a_new_code(given: Given) -> None:
    old = given.get().json
    given.offer()

    claimed = given.claim(name="Grace")

    assert claimed.status == 200
    assert claimed.json == {
        **old,
        "code": ANY,
        "holderName": "Grace",
        "holderEmail": EMAIL,
        "transferredAt": ANY,
        "updatedAt": ANY,
    }
    assert claimed.json["code"] != old["code"]
    assert claimed.headers["etag"].startswith('"2-')
    assert value(given.client, "SELECT serial FROM tickets WHERE ticket_id = :id", id=given.ticket_id) == 2
    seen = given.get().json
    assert "code" not in seen
    assert "transfer" not in seen
    assert seen["holderEmail"] == EMAIL
    assert given.withdraw().problem == "ticket-transferred"


def test_the_booking_and_its_other_tickets_stay_the_bookers(given: Given) -> None:
    path = f"/bookings/{given.booking_id}"
    before = given.client("GET", path, by=given.booker).json

    given.transfer()

    assert given.client("GET", path, by=given.booker).json == before
    assert "code" in given.another().get().json


def test_a_holder_finds_the_ticket_with_an_account_of_the_address(given: Given) -> None:
    claimed = given.transfer()
    grace = given.client.account("attendee", "Grace", EMAIL.upper())
    assert given.client("GET", "/tickets", by=grace).json == []
    verify(given.client, grace)

    assert given.get(grace).json == claimed
    assert given.client("GET", "/tickets", by=grace).json == [claimed]
    assert given.client("GET", "/tickets", by=given.booker).json == []
    given.end()
    assert given.client("GET", "/tickets", by=grace).json == []
    before = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(given.client("GET", f"/tickets?from={before}", by=grace).json) == 1


def test_a_claim_does_not_verify_an_account_that_somebody_else_may_have(given: Given) -> None:
    squatter = given.client.account("attendee", "Mallory", EMAIL)

    claimed = given.transfer()

    assert "holderName" not in claimed
    assert not is_verified(given.client, squatter)
    assert given.get(squatter).status == 404


def test_a_claim_verifies_the_address_of_the_account_that_claims(given: Given) -> None:
    grace = given.client.account("attendee", "Grace Hopper", EMAIL)
    rows(
        given.client,
        "INSERT INTO suppressed_addresses (email, reason, since) VALUES (:email, 'bounce', now())",
        email=EMAIL,
    )

    claimed = given.transfer(by=grace)

    assert claimed["holderName"] == "Grace Hopper"
    assert is_verified(given.client, grace)
    assert given.get(grace).json == claimed
    assert count(given.client, "suppressed_addresses") == 0


@pytest.mark.parametrize(
    "break_it",
    [
        lambda given: given.set_status("cancelled"),
        lambda given: given.set_status("used"),
        Given.start,
        Given.claim,
        Given.token,
    ],
    ids=["cancelled", "used", "started", "claimed", "newer"],
)
def test_a_token_that_is_no_longer_valid_changes_nothing(
    given: Given, break_it: Callable[[Given], object]
) -> None:
    given.offer()
    token = given.token()
    if break_it is Given.claim:
        given.claim(token)
    else:
        break_it(given)
    before = contents(given.client)

    refused = given.claim(token)

    assert (refused.status, refused.problem) == (400, "invalid-transfer-token")
    assert contents(given.client) == before


@pytest.mark.parametrize("token", ["unknown", "x" * 200])
def test_an_unknown_token_is_refused(given: Given, token: str) -> None:
    assert given.claim(token).problem == "invalid-transfer-token"


@pytest.mark.parametrize("guarded", [True, False], ids=["with the token", "without"])
def test_one_of_two_claims_of_a_ticket_wins(
    given: Given,
    guarded: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """The statement that uses up the token is the guard."""
    given.offer()
    token, database = given.token(), given.client.wiring.database

    def claim(connection: Connection) -> None:
        now = datetime.now(UTC)
        if guarded:
            claims.claim(connection, token, user_id=None, name=None, now=now)
        else:
            found = claims.find_claim(connection, token, now)
            claims.hand_over(connection, found, name=None, now=now)

    def claim_again() -> None:
        with database.transaction() as connection:
            claim(connection)

    with ThreadPoolExecutor(1) as thread:
        with database.transaction() as connection:
            claim(connection)
            second = thread.submit(claim_again)
            until_waiting(given.client, 1, second)
        assert isinstance(second.exception(), InvalidTransferToken) == guarded

    transferred = domain_events(given.client, given.sale.event_id, "ticket-transferred")
    assert len(transferred) == (1 if guarded else 2)


def test_many_claims_of_a_ticket_have_one_winner(given: Given) -> None:
    given.offer()
    token = given.token()

    replies = run_concurrently([partial(given.claim, token) for _ in range(8)])

    assert sorted(reply.status for reply in replies) == [200] + [400] * 7
    assert value(given.client, "SELECT serial FROM tickets WHERE ticket_id = :id", id=given.ticket_id) == 2


def test_concurrent_changes_of_a_ticket_never_deadlock(client: Client) -> None:
    for _ in range(4):
        given, grace = give(client), client.account("attendee", "Grace", f"{uuid4().hex}@example.com")
        given.offer(grace.email)
        token = given.token()
        deeds: list[Callable[[], Reply]] = [
            partial(given.claim, token),
            partial(given.claim, token),
            given.reissue,
            given.withdraw,
            partial(given.change, holderName="Ada"),
            partial(client, "DELETE", given.path, by=given.host),
            partial(client, "DELETE", f"/bookings/{given.booking_id}", by=given.booker),
            partial(client, "DELETE", "/users/me", by=grace),
        ]

        replies = run_concurrently(deeds)

        assert max(reply.status for reply in replies) < 500
        assert [reply.status for reply in replies[:2]].count(200) <= 1
        assert value(client, "SELECT count(*) FROM tickets WHERE status <> 'cancelled'") == 0
    assert deadlocks(client) == 0


def test_a_limit_counts_booked_and_claimed_tickets(client: Client) -> None:
    given = give(client, quantity=3, max_per_attendee=3)
    grace = verified(client)
    assert client("POST", "/bookings", given.sale.order(2), by=grace).status == 201
    given.transfer()
    given.another(1).offer()

    refused = given.another(1).claim()

    assert (refused.status, refused.problem, refused.json["left"]) == (409, "limit-reached", 0)
    assert "code" in given.another(1).get().json


def test_a_refused_claim_leaves_the_offer_open(client: Client) -> None:
    given, grace = give(client, quantity=1, max_per_attendee=1), verified(client)
    booking = client("POST", "/bookings", given.sale.order(1), by=grace).json
    given.offer()
    token = given.token()
    assert given.claim(token).problem == "limit-reached"

    assert client("DELETE", f"/bookings/{booking['bookingId']}", by=grace).status == 204

    assert given.claim(token).status == 200


def test_tickets_given_away_do_not_count(client: Client) -> None:
    given, other = give(client, quantity=1, max_per_attendee=1), give(client, 1)
    other.sale = given.sale
    grace = verified(client)
    booked = client("POST", "/bookings", given.sale.order(1), by=grace).json
    hers = Given(client, given.host, grace, given.sale, booked["bookingId"])
    hers.transfer("heidi@example.com")

    assert given.transfer()["holderEmail"] == EMAIL


@pytest.mark.parametrize("guarded", [True, False], ids=["with the lock", "without"])
def test_two_claims_together_keep_to_the_limit(
    client: Client,
    guarded: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Without the lock, the second claim counts before the first one has committed."""
    first = give(client, 1, max_per_attendee=1)
    booker, sale = verified(client, "another@example.com"), first.sale
    booked = client("POST", "/bookings", sale.order(1), by=booker).json
    second = Given(client, first.host, booker, sale, booked["bookingId"])
    tokens = []
    for given in (first, second):
        given.offer()
        tokens.append(given.token())

    def claim(connection: Connection, token: str) -> None:
        now = datetime.now(UTC)
        if guarded:
            claims.claim(connection, token, user_id=None, name=None, now=now)
        else:
            found = claims.find_claim(connection, token, now)
            claims.require_below_limit(connection, found)
            claims.hand_over(connection, found, name=None, now=now)

    def claim_too() -> None:
        with client.wiring.database.transaction() as connection:
            claim(connection, tokens[1])

    with ThreadPoolExecutor(1) as thread:
        with client.wiring.database.transaction() as connection:
            claim(connection, tokens[0])
            other = thread.submit(claim_too)
            until_waiting(client, 1, other)
        assert isinstance(other.exception(), LimitReached) == guarded

    transferred = value(client, "SELECT count(*) FROM tickets WHERE transferred_at IS NOT NULL")
    assert transferred == (1 if guarded else 2)


def test_a_claim_satisfies_an_event_for_verified_attendees(given: Given) -> None:
    rows(given.client, "UPDATE events SET verified_attendees_only = true")

    assert given.transfer()["holderEmail"] == EMAIL


def test_the_holder_of_a_transferred_ticket_changes_the_name_only(given: Given) -> None:
    given.transfer()
    grace = verified(given.client)

    assert given.change(holderName="Ada").problem == "ticket-transferred"
    assert given.change(given.host, holderName="Ada").problem == "not-your-ticket"
    refused = given.change(grace, holderEmail="heidi@example.com")
    assert (refused.status, refused.faulty_fields) == (400, {"holderEmail"})
    assert given.change(grace, holderName="Amazing Grace").json["holderName"] == "Amazing Grace"
    assert given.get(given.host).json["holderName"] == "Amazing Grace"
    given.start()
    assert given.change(grace, holderName="Grace").problem == "event-started"


@pytest.mark.rate_limits
@pytest.mark.parametrize(
    "setting", ["transfers_per_account", "transfers_per_address", "transfers_per_client"]
)
def test_offers_are_limited(given: Given, setting: str) -> None:
    given.offer()
    given.withdraw()
    quotas: dict[str, Any] = {setting: Quota(2, 86_400)}
    settings = replace(given.client.wiring.settings, **quotas)
    with using(Wiring(settings, payments=FakePayments())):
        statuses = [given.offer("Grace+more@example.com").status]
        given.withdraw()

        refused = given.offer("Grace+even.more@example.com")

    assert statuses == [201]

    assert (refused.status, refused.problem) == (429, "too-many-requests")
    assert value(given.client, "SELECT count(*) FROM ticket_transfers WHERE cancelled_at IS NULL") == 0


def test_a_reissued_ticket_has_a_new_code(given: Given) -> None:
    old = given.get()

    new = given.reissue()

    assert new.status == 200
    assert new.json == {**old.json, "code": ANY, "updatedAt": ANY}
    assert new.json["code"] != old.json["code"]
    assert new.headers["etag"] == given.get().headers["etag"]
    assert given.get().json == new.json


def test_a_repeated_reissue_with_its_key_makes_one_code(given: Given) -> None:
    first, again = (given.reissue(Idempotency_Key="a key") for _ in range(2))

    assert (first.status, first.text) == (again.status, again.text)
    assert given.get().json["code"] == first.json["code"]
    stored = value(given.client, "SELECT response FROM idempotency_keys WHERE status = 200")
    assert first.json["code"] not in stored


def test_the_host_reissues_a_ticket_without_seeing_its_code(given: Given) -> None:
    code = given.get().json["code"]

    assert "code" not in given.reissue(given.host).json

    assert given.get().json["code"] != code


def test_a_transferred_ticket_is_reissued_by_its_holder_or_the_host(given: Given) -> None:
    claimed = given.transfer()
    grace = verified(given.client)

    assert given.reissue().problem == "ticket-transferred"
    for stranger in (given.client.attendee(), given.client.host()):
        assert given.reissue(stranger).problem == "no-such-ticket"
    assert given.reissue(given.host).status == 200
    assert given.reissue(grace).json["code"] not in {claimed["code"], None}


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda given: given.set_status("held"), "booking-unpaid"),
        (lambda given: given.set_status("cancelled"), "ticket-cancelled"),
        (lambda given: given.set_status("used"), "ticket-used"),
        (Given.end, "event-ended"),
        (lambda given: rows(given.client, "UPDATE tickets SET serial = 100"), "too-many-reissues"),
    ],
    ids=["unpaid", "cancelled", "used", "ended", "often"],
)
def test_some_tickets_cannot_be_reissued(
    given: Given, break_it: Callable[[Given], object], problem: str
) -> None:
    break_it(given)
    before = contents(given.client)

    refused = given.reissue()

    assert (refused.status, refused.problem) == (409, problem)
    assert contents(given.client) == before


@pytest.mark.rate_limits
def test_new_codes_of_a_ticket_are_limited(given: Given) -> None:
    statuses = [given.reissue().status for _ in range(6)]

    assert statuses == [200] * 5 + [429]
    assert given.another().reissue().status == 200


def test_a_bookers_deletion_keeps_the_new_holder(given: Given) -> None:
    given.another().change(holderName="Named", holderEmail="named@example.com")
    given.transfer()
    given.start()

    assert given.client("DELETE", "/users/me", by=given.booker).status == 204

    held = rows(given.client, "SELECT holder_email, status FROM tickets ORDER BY ticket_id")
    assert [tuple(row) for row in held] == [(EMAIL, "valid"), (None, "valid")]


def test_a_holders_deletion_erases_them_but_the_code_still_admits(given: Given) -> None:
    claimed = given.transfer()
    grace = verified(given.client)

    assert given.client("DELETE", "/users/me", by=grace).status == 204

    seen = given.get().json
    assert (seen["status"], "holderName" in seen, "holderEmail" in seen) == ("valid", False, False)
    assert seen["transferredAt"] == claimed["transferredAt"]
    assert "code" not in seen
    [ticket] = rows(given.client, "SELECT serial FROM tickets WHERE ticket_id = :id", id=given.ticket_id)
    assert ticket.serial == 2
    assert count(given.client, "ticket_transfers") == 0


def test_an_unverified_account_erases_no_holder(given: Given) -> None:
    given.transfer()
    stranger = given.client.account("attendee", "Mallory", EMAIL)

    assert given.client("DELETE", "/users/me", by=stranger).status == 204

    assert given.get().json["holderEmail"] == EMAIL


def test_old_offers_are_purged(given: Given) -> None:
    given.transfer()
    given.another().offer()
    now, day = datetime.now(UTC), timedelta(days=1)

    def purge(after: timedelta) -> int:
        return transfers.purge(given.client.wiring.database, now + after)

    assert purge(36 * day) == 0
    assert purge(38 * day) == 2
    assert given.get().json["holderEmail"] == EMAIL


@pytest.mark.parametrize("by_host", [False, True], ids=["booker", "host"])
def test_a_used_ticket_is_not_cancelled(
    given: Given,
    by_host: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    given.set_status("used")
    by, before = given.host if by_host else given.booker, contents(given.client)

    for path in (given.path, f"/bookings/{given.booking_id}"):
        refused = given.client("DELETE", path, by=by)
        assert (refused.status, refused.problem) == (409, "ticket-used")
    assert contents(given.client) == before
    assert given.client("DELETE", given.another().path, by=by).status == 204


@pytest.mark.parametrize("path", ["/tickets/{0.ticket_id}", "/bookings/{0.booking_id}"])
def test_a_cancellation_waits_for_a_check_in(given: Given, path: str) -> None:
    with ThreadPoolExecutor(1) as thread:
        with given.client.wiring.database.transaction() as connection:
            connection.exec_driver_sql(
                f"UPDATE tickets SET status = 'used' WHERE ticket_id = '{given.ticket_id}'"  # noqa: S608
            )
            reply = thread.submit(given.client, "DELETE", path.format(given), by=given.booker)
            until_waiting(given.client, 1, reply)
        assert reply.result().problem == "ticket-used"


def test_a_cancelled_event_cancels_used_tickets(given: Given) -> None:
    given.set_status("used")

    assert given.client("POST", f"/events/{given.sale.event_id}/cancel", by=given.host).status == 200

    assert given.get().json["status"] == "cancelled"


def test_a_deleted_account_leaves_its_bookings_with_used_tickets(client: Client) -> None:
    given = give(client)
    other = client("POST", "/bookings", give(client).sale.order(1), by=given.booker).json["bookingId"]
    given.set_status("used")

    assert client("DELETE", "/users/me", by=given.booker).status == 204

    statuses = rows(client, "SELECT booking_id, status, quantity FROM bookings")
    by_id = {str(row.booking_id): (row.status, row.quantity) for row in statuses}
    assert by_id[given.booking_id] == ("confirmed", 2)
    assert by_id[other] == ("cancelled", 0)


def test_a_deletion_waits_for_a_check_in(given: Given) -> None:
    with ThreadPoolExecutor(1) as thread:
        with given.client.wiring.database.transaction() as connection:
            connection.exec_driver_sql(
                f"UPDATE tickets SET status = 'used' WHERE ticket_id = '{given.ticket_id}'"  # noqa: S608
            )
            reply = thread.submit(given.client, "DELETE", "/users/me", by=given.booker)
            until_waiting(given.client, 1, reply)
        assert reply.result().status == 204
    assert value(given.client, "SELECT count(*) FROM tickets WHERE status <> 'cancelled'") == 2

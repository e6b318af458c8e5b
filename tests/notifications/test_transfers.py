"""E-mails about transferred tickets: the link, the new holder, and cancellations, also without an account."""

import email
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default

import pytest

from chalicelib.notifications.deliveries import CLAIM_LEASE
from chalicelib.notifications.kinds import kind_of
from chalicelib.platform.errors import Unreachable
from tests.bookings.ticket_transfers import EMAIL, Given, give, verified
from tests.client import Account, Client
from tests.notifications.examples import HOLDER, both, compose, domain_event, text
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet, subjects
from tests.notifications.test_kills import Killed, Killer
from tests.notifications.test_recipients import suppress
from tests.rows import rows, value

TITLE = "A festival"


@pytest.fixture
def given(client: Client, post_office: PostOffice) -> Given:
    made = give(client)
    quiet(post_office)
    return made


def sent_to(post_office: PostOffice, address: str = EMAIL) -> list[EmailMessage]:
    return [
        email.message_from_bytes(raw, EmailMessage, policy=default)
        for to, raw in post_office.mailer.sent
        if to == address
    ]


def token_in(message: EmailMessage) -> str:
    [token] = re.findall(r"^[\w-]{43}$", text(message), re.MULTILINE)
    return str(token)


def test_an_offer_sends_a_token_that_claims_the_ticket(given: Given, post_office: PostOffice) -> None:
    given.offer()

    post_office.run()

    [message] = sent_to(post_office)
    assert len(post_office.mailer.sent) == 1
    assert given.claim(token_in(message)).json["holderEmail"] == EMAIL


def test_a_stranger_gets_no_words_of_others(given: Given, post_office: PostOffice) -> None:
    given.client("PATCH", f"/events/{given.sale.event_id}", {"location": "evil.example"}, by=given.host)
    quiet(post_office)
    given.offer()

    post_office.run()

    [message] = sent_to(post_office)
    assert message["Subject"] == "Accept your ticket"
    for body in both(message):
        assert not {word for word in (TITLE, given.booker.name, given.host.name, "evil") if word in body}
        assert "Someone wants to give you a ticket" in body
        assert "It works once and expires on" in body


def test_a_verified_account_learns_which_event_it_is(given: Given, post_office: PostOffice) -> None:
    grace = verified(given.client)
    quiet(post_office)
    given.offer()

    post_office.run()

    [message] = sent_to(post_office)
    assert message["Subject"] == f"Accept your ticket: {TITLE}"
    assert "Hello Grace Hopper," in text(message)
    assert inbox(given.client, grace) == []


def test_a_suppressed_address_gets_no_offer(given: Given, post_office: PostOffice) -> None:
    suppress(given.client, EMAIL, since=datetime.now(UTC))
    given.offer()

    post_office.run()

    assert sent_to(post_office) == []


@pytest.mark.parametrize(
    "break_it",
    [Given.withdraw, Given.start, lambda given: given.set_status("cancelled")],
    ids=["withdrawn", "started", "cancelled"],
)
def test_an_offer_that_is_over_sends_nothing(
    given: Given, post_office: PostOffice, break_it: Callable[[Given], object]
) -> None:
    given.offer()
    break_it(given)

    post_office.run()

    assert sent_to(post_office) == []


def test_a_redelivery_makes_no_second_token(given: Given, post_office: PostOffice) -> None:
    given.offer()
    post_office.run()
    sql = "SELECT token_hash FROM ticket_transfers"
    before = value(given.client, sql)

    post_office.redeliver("ticket-transfer-offered")

    assert len(sent_to(post_office)) == 1
    assert value(given.client, sql) == before


def test_a_token_that_could_not_be_sent_is_replaced(given: Given, post_office: PostOffice) -> None:
    given.offer()
    post_office.mailer.reachable = False
    with pytest.raises(Unreachable):
        post_office.run()
    assert value(given.client, "SELECT token_hash FROM ticket_transfers") is None

    post_office.mailer.reachable = True
    post_office.run()

    [message] = sent_to(post_office)
    assert given.claim(token_in(message)).status == 200


def test_both_are_told_of_a_transfer(given: Given, post_office: PostOffice) -> None:
    given.transfer()

    post_office.run()

    assert [message["Subject"] for message in sent_to(post_office)] == [f"Your ticket: {TITLE}"]
    assert subjects(post_office, given.booker) == [f"Your ticket has a new holder: {TITLE}"]
    assert inbox(given.client, given.booker)[0] == "ticket-transferred"


def test_a_redelivery_tells_nobody_twice(given: Given, post_office: PostOffice) -> None:
    given.transfer()
    post_office.run()

    post_office.redeliver("ticket-transferred")

    assert (len(sent_to(post_office)), mails(post_office, given.booker)) == (1, [1])


def named(given: Given) -> Account:
    account = verified(given.client, "heidi@example.com")
    given.change(holderEmail=account.email)
    return account


def test_who_can_carry_a_ticket_learns_that_its_code_is_new(given: Given, post_office: PostOffice) -> None:
    heidi = named(given)
    quiet(post_office)
    given.reissue(given.host)

    post_office.run()

    assert sorted(post_office.mailer.addresses()) == sorted([given.booker.email, heidi.email])
    assert inbox(given.client, heidi)[0] == inbox(given.client, given.booker)[0] == "ticket-reissued"


def test_only_the_new_holder_learns_that_a_transferred_tickets_code_is_new(
    given: Given, post_office: PostOffice
) -> None:
    given.transfer()
    quiet(post_office)
    given.reissue(given.host)

    post_office.run()

    assert post_office.mailer.addresses() == [EMAIL]
    assert sent_to(post_office)[0]["Subject"] == f"Your ticket has a new code: {TITLE}"


def cancel_booking(given: Given) -> None:
    assert given.client("DELETE", f"/bookings/{given.booking_id}", by=given.booker).status == 204


def cancel_ticket(given: Given) -> None:
    assert given.client("DELETE", given.path, by=given.host).status == 204


def cancel_event(given: Given) -> None:
    assert given.client("POST", f"/events/{given.sale.event_id}/cancel", by=given.host).status == 200


def delete_account(given: Given) -> None:
    assert given.client("DELETE", "/users/me", by=given.booker).status == 204


@pytest.mark.parametrize(
    ("cancel", "reason"),
    [
        (cancel_booking, "The person who booked your ticket cancelled it."),
        (cancel_ticket, "The host cancelled your ticket."),
        (cancel_event, "The event was cancelled, and your ticket with it."),
        (delete_account, "Your ticket was cancelled."),
    ],
)
def test_a_holder_learns_that_the_ticket_is_cancelled(
    given: Given, post_office: PostOffice, cancel: Callable[[Given], None], reason: str
) -> None:
    given.transfer()
    quiet(post_office)

    cancel(given)
    post_office.run()

    [message] = sent_to(post_office)
    assert message["Subject"] == f"Your ticket is cancelled: {TITLE}"
    assert reason in text(message)
    assert not list(message.iter_attachments())


def test_a_holder_learns_of_a_change_of_the_event(given: Given, post_office: PostOffice) -> None:
    given.transfer()
    quiet(post_office)
    given.client("PATCH", f"/events/{given.sale.event_id}", {"location": "Hof"}, by=given.host)

    post_office.run()

    [message] = sent_to(post_office)
    assert message["Subject"] == f"Event changed: {TITLE}"
    assert "Hof" in text(message)
    assert not list(message.iter_attachments())
    assert mails(post_office, given.booker) == [1]


def test_a_holder_does_not_hear_of_other_tickets(given: Given, post_office: PostOffice) -> None:
    given.transfer()
    quiet(post_office)

    cancel_ticket(given.another())
    post_office.run()

    assert sent_to(post_office) == []
    assert mails(post_office, given.booker) == [1]


@pytest.mark.parametrize("kind", ["booking-cancelled", "tickets-cancelled", "event-changed"])
def test_a_holder_reads_nothing_about_the_booking(kind: str) -> None:
    for body in both(compose(domain_event(kind), HOLDER, bookings=())):
        assert "Hello" in body
        assert not {
            word for word in ("Booking reference", "Weekend", "your booking", "Your booking") if word in body
        }
        assert "a ticket for this event was transferred to you" in body


@pytest.mark.parametrize("kind", ["ticket-transferred", "ticket-reissued"])
def test_holders_have_a_subject_of_their_own(kind: str) -> None:
    message = compose(domain_event(kind), HOLDER, bookings=())

    assert message["Subject"].startswith(kind_of(kind).holder_subject or "?")
    assert message["To"] == "Grace Hopper <grace@example.com>"


def give_away(client: Client, killer: Killer, number: int) -> tuple[Given, PostOffice, str]:
    """Offer a ticket and claim it by the newest e-mail, with functions that may be killed."""
    address = f"friend{number}@example.com"
    given = give(client)
    quiet(PostOffice(client.wiring))
    office = PostOffice(client.wiring)
    office.publisher.at_step = lambda: killer.step("publish")
    office.queues.at_step = lambda: killer.step("queue")
    office.mailer.at_step = lambda: killer.step("mail")
    given.offer(address)
    run_until_done(client, office)
    assert given.claim(token_in(sent_to(office, address)[-1])).status == 200
    run_until_done(client, office)
    return given, office, address


def run_until_done(client: Client, office: PostOffice) -> None:
    done = False
    while not done:
        try:
            office.run()
            done = True
        except Killed:
            rows(client, "UPDATE leases SET held_until = now() - interval '1 second'")
            office.ahead += CLAIM_LEASE * 2


def test_a_kill_loses_neither_the_offer_nor_the_ticket(client: Client) -> None:
    unharmed = Killer()
    give_away(client, unharmed, 0)
    assert set(unharmed.steps) == {"publish", "queue", "mail"}

    for step, what in enumerate(unharmed.steps, start=1):
        given, office, address = give_away(client, Killer(at=step), step)

        to_holder = [str(message["Subject"]).partition(":")[0] for message in sent_to(office, address)]
        to_booker = mails(office, given.booker)[0]
        assert {"Accept your ticket", "Your ticket"} == set(to_holder), (step, what)
        assert len(to_holder) + to_booker <= 3 + (what == "mail"), (step, what)
        assert to_booker >= 1, (step, what)
        assert inbox(client, given.booker).count("ticket-transferred") == 1, (step, what)
        serial = value(client, "SELECT serial FROM tickets WHERE ticket_id = :id", id=given.ticket_id)
        assert serial == 2, (step, what)

"""Sending e-mails: each person's once, whatever fails or comes twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from chalicelib.notifications import deliveries, delivery
from chalicelib.notifications.deliveries import CLAIM_LEASE
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.queues import EMAIL, FOLLOW_NOTIFICATIONS
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice

PEOPLE = 5


@pytest.fixture
def fans(client: Client) -> list[Account]:
    return client.attendees(PEOPLE)


@pytest.fixture
def chunk(client: Client, post_office: PostOffice, fans: list[Account]) -> dict[str, Any]:
    """The message of the e-mail queue that tells all fans of a new event."""
    host = client.host()
    for fan in fans:
        client("PUT", f"/users/{host.user_id}/follow", by=fan)
    post_office.run()
    post_office.mailer.sent.clear()
    client.event(host)
    post_office.relay()
    post_office.deliver(FOLLOW_NOTIFICATIONS, post_office.published("event-published")[0].as_message())
    return post_office.queues.waiting[EMAIL.name].popleft()


def everybody_once(post_office: PostOffice, fans: list[Account]) -> bool:
    return post_office.mailer.addresses() == sorted(fan.email for fan in fans)


def test_a_chunk_that_is_cut_in_the_middle_sends_only_what_is_missing(
    post_office: PostOffice, chunk: dict[str, Any], fans: list[Account]
) -> None:
    post_office.mailer.cut_after = 2
    with pytest.raises(Unreachable):
        post_office.deliver(EMAIL, chunk)
    post_office.mailer.cut_after = None

    post_office.deliver(EMAIL, chunk)

    assert everybody_once(post_office, fans)


def test_a_delivery_that_was_killed_is_taken_up_after_its_lease(
    client: Client, post_office: PostOffice, chunk: dict[str, Any], fans: list[Account]
) -> None:
    """What a killed function leaves behind is claims that nobody gives up."""
    with client.wiring.database.transaction() as connection:
        connection.execute(
            text("INSERT INTO deliveries SELECT :domain_event, user_id, now() FROM credentials"),
            {"domain_event": chunk["domainEvent"]["id"]},
        )

    with pytest.raises(Unreachable):
        post_office.deliver(EMAIL, chunk)
    assert post_office.mailer.sent == []

    delivery.send(post_office.post, chunk, datetime.now(UTC) + CLAIM_LEASE + timedelta(seconds=1))
    assert everybody_once(post_office, fans)


def test_two_deliveries_at_once_do_not_both_send(
    client: Client, post_office: PostOffice, chunk: dict[str, Any], fans: list[Account]
) -> None:
    """The second comes while the first has sent to some and holds the rest."""
    second_failed = []

    class Interrupting:
        def send(self, address: str, message: bytes) -> None:
            if not post_office.mailer.sent:
                with pytest.raises(Unreachable):
                    post_office.deliver(EMAIL, chunk)
                second_failed.append(address)
            post_office.mailer.send(address, message)

    post = delivery.MailContext(
        database=client.wiring.database, mailer=Interrupting(), settings=client.wiring.settings
    )
    delivery.send(post, chunk, datetime.now(UTC))

    assert second_failed
    assert everybody_once(post_office, fans)


def test_an_address_that_is_refused_does_not_keep_the_others_waiting(
    post_office: PostOffice, chunk: dict[str, Any], fans: list[Account]
) -> None:
    post_office.mailer.refused = {fans[0].email}

    post_office.deliver(EMAIL, chunk)
    post_office.deliver(EMAIL, chunk)

    assert everybody_once(post_office, fans[1:])


def test_who_wants_no_such_mail_gets_none_but_is_told_in_the_app(
    client: Client, post_office: PostOffice, chunk: dict[str, Any], fans: list[Account]
) -> None:
    wishes = client("GET", "/users/me/preferences", by=fans[0]).json
    wishes["email"]["newEvent"] = False
    client("PUT", "/users/me/preferences", wishes, by=fans[0])

    post_office.deliver(EMAIL, chunk)

    assert everybody_once(post_office, fans[1:])
    assert [item["type"] for item in client("GET", "/notifications", by=fans[0]).json] == ["event-published"]


def test_a_password_reset_sends_one_token_however_often_it_is_delivered(
    client: Client, post_office: PostOffice
) -> None:
    user = client.attendee()
    post_office.run()
    post_office.mailer.sent.clear()
    client("POST", "/auth/forgot-password", {"email": user.email})
    post_office.relay()
    message = post_office.published("password-reset-requested")[0].as_message()

    for _ in range(2):
        post_office.deliver(EMAIL, message)

    assert post_office.mailer.addresses() == [user.email]


def test_a_password_reset_that_could_not_be_sent_is_sent_when_it_comes_again(
    client: Client, post_office: PostOffice
) -> None:
    user = client.attendee()
    post_office.run()
    post_office.mailer.sent.clear()
    client("POST", "/auth/forgot-password", {"email": user.email})
    post_office.relay()
    message = post_office.published("password-reset-requested")[0].as_message()

    post_office.mailer.reachable = False
    with pytest.raises(Unreachable):
        post_office.deliver(EMAIL, message)
    post_office.mailer.reachable = True
    post_office.deliver(EMAIL, message)

    assert post_office.mailer.addresses() == [user.email]


def test_what_was_sent_is_forgotten_when_no_message_of_it_can_come_any_more(
    client: Client, post_office: PostOffice, chunk: dict[str, Any]
) -> None:
    post_office.deliver(EMAIL, chunk)
    database, now = client.wiring.database, datetime.now(UTC)

    assert deliveries.purge(database, now) == 0
    assert deliveries.purge(database, now + deliveries.RETENTION) >= PEOPLE

"""Delivery of e-mails: one to each recipient, whatever fails or is delivered twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from sqlalchemy import text

from chalicelib.notifications import deliveries, delivery, emails
from chalicelib.notifications.deliveries import CLAIM_LEASE
from chalicelib.notifications.mailer import EmailRefused
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.messages import EmailBatch
from chalicelib.platform.messaging.queues import (
    ACCOUNT_EMAIL,
    EMAIL,
    FOLLOW_NOTIFICATIONS,
    ON_SALE_NOTIFICATIONS,
)
from tests.client import Account, Client, in_days
from tests.notifications.pipeline import PostOffice, quiet
from tests.rows import rows

FANS = 5


@pytest.fixture
def fans(client: Client) -> list[Account]:
    return client.attendees(FANS)


@pytest.fixture
def batch(client: Client, post_office: PostOffice, fans: list[Account]) -> dict[str, Any]:
    """The message of the e-mail queue that notifies all fans of a new event."""
    host = client.host()
    for fan in fans:
        client("PUT", f"/users/{host.user_id}/follow", by=fan)
    post_office.run()
    post_office.mailer.sent.clear()
    client.event(host)
    post_office.relay()
    post_office.deliver(FOLLOW_NOTIFICATIONS, post_office.published("event-published")[0].as_message())
    return post_office.queues.waiting[EMAIL.name].popleft()


def all_sent_once(post_office: PostOffice, fans: list[Account]) -> bool:
    return post_office.mailer.addresses() == sorted(fan.email for fan in fans)


def test_a_redelivery_sends_only_what_is_missing(
    post_office: PostOffice, batch: dict[str, Any], fans: list[Account]
) -> None:
    post_office.mailer.cut_after = 2
    with pytest.raises(Unreachable):
        post_office.deliver(EMAIL, batch)
    post_office.mailer.cut_after = None

    post_office.deliver(EMAIL, batch)

    assert all_sent_once(post_office, fans)


def test_a_killed_delivery_is_resumed_after_its_lease(
    client: Client, post_office: PostOffice, batch: dict[str, Any], fans: list[Account]
) -> None:
    """A killed function leaves claims behind that are never released."""
    with client.wiring.database.transaction() as connection:
        connection.execute(
            text("INSERT INTO deliveries SELECT :domain_event, user_id, now() FROM credentials"),
            {"domain_event": batch["domainEvent"]["id"]},
        )

    with pytest.raises(Unreachable):
        post_office.deliver(EMAIL, batch)
    assert post_office.mailer.sent == []

    delivery.send(
        post_office.mail_context,
        EmailBatch.from_message(batch),
        datetime.now(UTC) + CLAIM_LEASE + timedelta(seconds=1),
    )
    assert all_sent_once(post_office, fans)


def test_two_concurrent_deliveries_do_not_both_send(
    client: Client, post_office: PostOffice, batch: dict[str, Any], fans: list[Account]
) -> None:
    """The second delivery runs while the first one has claims."""
    second_failed = []

    class Interrupting:
        def send(self, address: str, message: bytes) -> None:
            if not post_office.mailer.sent:
                with pytest.raises(Unreachable):
                    post_office.deliver(EMAIL, batch)
                second_failed.append(address)
            post_office.mailer.send(address, message)

    context = delivery.MailContext(
        database=client.wiring.database, mailer=Interrupting(), settings=client.wiring.settings
    )
    delivery.send(context, EmailBatch.from_message(batch), datetime.now(UTC))

    assert second_failed
    assert all_sent_once(post_office, fans)


def test_a_refused_address_does_not_stop_the_others(
    post_office: PostOffice, batch: dict[str, Any], fans: list[Account]
) -> None:
    post_office.mailer.refused = {fans[0].email}

    post_office.deliver(EMAIL, batch)
    post_office.deliver(EMAIL, batch)

    assert all_sent_once(post_office, fans[1:])


class Picky:
    """A mailer that fails for one address, in a way that is no refusal."""

    def __init__(self, post_office: PostOffice, address: str, error: Exception) -> None:
        self._mailer, self._address, self._error = post_office.mailer, address, error

    def send(self, address: str, message: bytes) -> None:
        if address == self._address:
            raise self._error
        self._mailer.send(address, message)


@pytest.mark.parametrize(
    "error", [Unreachable("down"), EmailRefused("MessageRejected"), RuntimeError("a bug"), RecursionError()]
)
@pytest.mark.parametrize("position", range(FANS))
def test_an_e_mail_that_fails_does_not_stop_the_others(
    client: Client,
    post_office: PostOffice,
    batch: dict[str, Any],
    fans: list[Account],
    position: int,
    error: Exception,
) -> None:
    mailer = Picky(post_office, fans[position].email, error)
    context = delivery.MailContext(
        database=client.wiring.database, mailer=mailer, settings=client.wiring.settings
    )

    for _ in range(3):
        with pytest.raises(type(error)):
            delivery.send(context, EmailBatch.from_message(batch), datetime.now(UTC))
    assert all_sent_once(post_office, [fan for fan in fans if fan is not fans[position]])

    post_office.deliver(EMAIL, batch)
    assert all_sent_once(post_office, fans)


class Failing:
    """A mailer whose first calls fail with the given errors."""

    def __init__(self, post_office: PostOffice, errors: list[Exception]) -> None:
        self._mailer, self._errors = post_office.mailer, errors

    def send(self, address: str, message: bytes) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self._mailer.send(address, message)


def test_outages_with_an_answer_between_them_do_not_stop_the_others(
    post_office: PostOffice, batch: dict[str, Any]
) -> None:
    errors: list[Exception] = [Unreachable("down"), EmailRefused("MessageRejected"), Unreachable("down")]
    context = replace(post_office.mail_context, mailer=Failing(post_office, errors))

    with pytest.raises(Unreachable):
        delivery.send(context, EmailBatch.from_message(batch), datetime.now(UTC))

    assert len(post_office.mailer.sent) == FANS - 3


def test_the_metric_counts_the_e_mails_that_were_accepted(
    post_office: PostOffice,
    batch: dict[str, Any],
    fans: list[Account],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.clear()
    post_office.mailer.refused = {fans[0].email}
    context = replace(post_office.mail_context, mailer=Failing(post_office, [Unreachable("down")]))

    with pytest.raises(Unreachable):
        delivery.send(context, EmailBatch.from_message(batch), datetime.now(UTC))

    members = [getattr(record, "members", {}) for record in caplog.records]
    sent = [each["EmailsSent"] for each in members if "EmailsSent" in each]
    assert sent == [len(post_office.mailer.sent)]


def test_an_e_mail_that_cannot_be_composed_does_not_stop_the_others(
    post_office: PostOffice, batch: dict[str, Any], fans: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = emails.compose

    def fail_for_the_second(*given: Any, **options: Any) -> bytes:
        if given[1].email == fans[1].email:
            raise ValueError("odd")
        return compose(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(emails, "compose", fail_for_the_second)
        with pytest.raises(ValueError, match="odd"):
            post_office.deliver(EMAIL, batch)
    assert all_sent_once(post_office, [fans[0], *fans[2:]])

    post_office.deliver(EMAIL, batch)
    assert all_sent_once(post_office, fans)


def test_an_outage_of_any_length_gives_no_e_mail_up(
    post_office: PostOffice, batch: dict[str, Any], fans: list[Account]
) -> None:
    post_office.mailer.reachable = False
    for _ in range(10):
        with pytest.raises(Unreachable):
            post_office.deliver(EMAIL, batch)
    post_office.mailer.reachable = True

    post_office.deliver(EMAIL, batch)

    assert all_sent_once(post_office, fans)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET status = 'cancelled'",
        "UPDATE events SET starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'",
    ],
    ids=["cancelled", "over"],
)
def test_news_of_an_event_that_is_over_are_not_sent(
    client: Client, post_office: PostOffice, batch: dict[str, Any], change: str
) -> None:
    rows(client, change)

    post_office.deliver(EMAIL, batch)

    assert post_office.mailer.sent == []


def test_an_e_mail_is_dated_when_it_is_sent(post_office: PostOffice, batch: dict[str, Any]) -> None:
    post_office.ahead = timedelta(days=3)

    post_office.deliver(EMAIL, batch)

    message = message_from_bytes(post_office.mailer.sent[0][1], policy=default)
    age = datetime.now(UTC) + post_office.ahead - message["Date"].datetime
    assert age < timedelta(minutes=1)


def test_a_sale_that_is_put_off_meanwhile_is_not_announced(client: Client, post_office: PostOffice) -> None:
    host, fan = client.host(), client.attendee()
    event_id = client.event(host, saleStartsAt=timedelta(minutes=1))["eventId"]
    client("PUT", f"/events/{event_id}/interest", by=fan)
    quiet(post_office)
    assert post_office.start_sales(timedelta(minutes=2)) == 1
    post_office.relay()
    started = post_office.published("sale-started")[0].as_message()
    post_office.deliver(ON_SALE_NOTIFICATIONS, started)
    waiting = post_office.queues.waiting[EMAIL.name].popleft()

    client("PATCH", f"/events/{event_id}", {"saleStartsAt": in_days(2)}, by=host)
    post_office.deliver(EMAIL, waiting)
    post_office.deliver(ON_SALE_NOTIFICATIONS, started)

    assert post_office.mailer.sent == []
    assert not post_office.queues.waiting[EMAIL.name]


def test_an_opt_out_stops_e_mails_but_not_the_inbox(
    client: Client, post_office: PostOffice, batch: dict[str, Any], fans: list[Account]
) -> None:
    preferences = client("GET", "/users/me/preferences", by=fans[0]).json
    preferences["email"]["newEvent"] = False
    client("PUT", "/users/me/preferences", preferences, by=fans[0])

    post_office.deliver(EMAIL, batch)

    assert all_sent_once(post_office, fans[1:])
    assert [item["type"] for item in client("GET", "/notifications", by=fans[0]).json] == ["event-published"]


def test_a_password_reset_sends_one_token(client: Client, post_office: PostOffice) -> None:
    user = client.attendee()
    post_office.run()
    post_office.mailer.sent.clear()
    client("POST", "/auth/forgot-password", {"email": user.email})
    post_office.relay()
    message = post_office.published("password-reset-requested")[0].as_message()

    for _ in range(2):
        post_office.deliver(ACCOUNT_EMAIL, message)

    assert post_office.mailer.addresses() == [user.email]


def test_an_unsent_password_reset_is_sent_on_redelivery(client: Client, post_office: PostOffice) -> None:
    user = client.attendee()
    post_office.run()
    post_office.mailer.sent.clear()
    client("POST", "/auth/forgot-password", {"email": user.email})
    post_office.relay()
    message = post_office.published("password-reset-requested")[0].as_message()

    post_office.mailer.reachable = False
    with pytest.raises(Unreachable):
        post_office.deliver(ACCOUNT_EMAIL, message)
    post_office.mailer.reachable = True
    post_office.deliver(ACCOUNT_EMAIL, message)

    assert post_office.mailer.addresses() == [user.email]


def test_rows_of_sent_e_mails_are_purged_after_retention(
    client: Client, post_office: PostOffice, batch: dict[str, Any]
) -> None:
    post_office.deliver(EMAIL, batch)
    database, now = client.wiring.database, datetime.now(UTC)

    assert deliveries.purge(database, now) == 0
    assert deliveries.purge(database, now + deliveries.RETENTION) >= FANS

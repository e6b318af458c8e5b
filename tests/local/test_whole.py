"""The whole of it in one process: the app on PostgreSQL, its functions on triggers, and the e-mails."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from secrets import token_hex

import boto3
import pytest
from sqlalchemy import select

import app
from chalicelib.notifications.models import suppressed_addresses
from chalicelib.platform.messaging import queues
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import triggers
from infra.local.letter import Letter, take_apart
from infra.local.mail import Mailbox, Sent, keeping
from infra.local.simulator import Simulator
from tests.client import Client
from tests.conftest import SECRET
from tests.local.conftest import Cloud, becomes_true

PUBLIC_URL = "https://booking.example"


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "mail")


@pytest.fixture
def client(
    cloud: Cloud, mailbox: Mailbox, sent: Callable[[], Iterable[Sent]], database_url: str
) -> Iterator[Client]:
    """A client of an app whose triggers run."""
    topics = cloud.made.topics
    settings = Settings(
        database_url=database_url,
        jwt_secret=SECRET,
        database_pool_size=16,
        domain_events_topic_arn=topics[queues.DOMAIN_EVENTS_TOPIC],
        public_url=PUBLIC_URL,
    )
    simulator = Simulator(boto3.client("sns"), topics[queues.MAIL_REPORTS_TOPIC])
    with (
        using(Wiring(settings)) as wiring,
        keeping(mailbox, sent, simulator.react),
        triggers.running(app.app, cloud.sqs, long_poll=0),
    ):
        yield Client(wiring)


def letters(mailbox: Mailbox, recipient: str) -> list[Letter]:
    """Return what somebody was sent, the oldest first."""
    names = [name for name in reversed(mailbox.names()) if name.endswith(f"-{recipient}")]
    return [take_apart(mailbox.read(name) or b"") for name in names]


def subjects(mailbox: Mailbox, recipient: str) -> list[str]:
    return [one.subject for one in letters(mailbox, recipient)]


def test_who_follows_a_host_is_told_of_a_new_event_and_who_books_of_the_place(
    client: Client, mailbox: Mailbox
) -> None:
    host = client.host("The Blue Notes")
    follower, stranger = client.attendee("Ada"), client.attendee("Bob")
    assert client("PUT", f"/users/{host.user_id}/follow", by=follower).status < 300
    event = client.event(host, title="Jazz in the yard")
    assert client.book(stranger, event["eventId"]).status == 201

    def told(recipient: str) -> list[str]:
        return [subject for subject in subjects(mailbox, recipient) if "Jazz in the yard" in subject]

    assert becomes_true(lambda: bool(told(follower.email) and told(stranger.email)))
    assert told(follower.email) == ["New event: Jazz in the yard"]
    assert told(stranger.email) == ["You have a place: Jazz in the yard"]
    letter = letters(mailbox, stranger.email)[-1]
    assert [attachment.type for attachment in letter.attachments] == ["text/calendar"]


def test_an_address_that_bounces_is_not_written_to_again(client: Client, mailbox: Mailbox) -> None:
    bouncing = client.account("attendee", "Nobody", f"bounce+{token_hex(4)}@simulator.amazonses.com")

    def suppressed() -> bool:
        with client.wiring.database.transaction() as connection:
            return connection.scalars(select(suppressed_addresses.c.email)).all() == [bouncing.email]

    assert becomes_true(suppressed)
    reached = client.attendee("Somebody")
    event = client.event(client.host())
    for attendee in (bouncing, reached):
        assert client.book(attendee, event["eventId"]).status == 201
    title = f"You have a place: {event['title']}"
    assert becomes_true(lambda: title in subjects(mailbox, reached.email))
    assert title not in subjects(mailbox, bouncing.email)

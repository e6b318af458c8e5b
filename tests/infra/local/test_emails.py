"""The app in one process, with PostgreSQL, triggers and e-mails."""

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
from infra.local.email_parser import Email, parse
from infra.local.mailbox import Mailbox, SentEmail, saving
from infra.local.ses_simulator import Simulator
from tests.client import Client
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET
from tests.infra.local.conftest import Cloud, becomes_true

PUBLIC_URL = "https://booking.example"


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "mail")


@pytest.fixture
def client(
    cloud: Cloud, mailbox: Mailbox, sent_emails: Callable[[], Iterable[SentEmail]], database_url: str
) -> Iterator[Client]:
    """A client of an app with running triggers."""
    topics = cloud.resources.topics
    settings = Settings(
        database_url=database_url,
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
        ticket_secret=TICKET_SECRET,
        database_pool_size=16,
        domain_events_topic_arn=topics[queues.DOMAIN_EVENTS_TOPIC],
        public_url=PUBLIC_URL,
    )
    simulator = Simulator(boto3.client("sns"), topics[queues.MAIL_REPORTS_TOPIC])
    with (
        using(Wiring(settings)) as wiring,
        saving(mailbox, sent_emails, simulator.react),
        triggers.running(app.app, cloud.sqs, long_poll=0),
    ):
        yield Client(wiring, verified=True)


def emails(mailbox: Mailbox, recipient: str) -> list[Email]:
    """Return the e-mails to a recipient, the oldest first."""
    names = [name for name in reversed(mailbox.names()) if name.endswith(f"-{recipient}")]
    return [parse(mailbox.read(name) or b"") for name in names]


def subjects(mailbox: Mailbox, recipient: str) -> list[str]:
    return [email.subject for email in emails(mailbox, recipient)]


def test_followers_and_attendees_get_emails(client: Client, mailbox: Mailbox) -> None:
    host = client.host("The Blue Notes")
    follower, stranger = client.attendee("Ada"), client.attendee("Bob")
    assert client("PUT", f"/users/{host.user_id}/follow", by=follower).status < 300
    event = client.event(host, title="Jazz in the yard")
    assert client.book(stranger, event["eventId"]).status == 201

    def about_the_event(recipient: str) -> list[str]:
        return [subject for subject in subjects(mailbox, recipient) if "Jazz in the yard" in subject]

    assert becomes_true(lambda: bool(about_the_event(follower.email) and about_the_event(stranger.email)))
    assert about_the_event(follower.email) == ["New event: Jazz in the yard"]
    assert about_the_event(stranger.email) == ["Your booking is confirmed: Jazz in the yard"]
    email = emails(mailbox, stranger.email)[-1]
    types = [attachment.type for attachment in email.attachments]
    assert types == ["image/png", "application/pdf", "text/calendar"]
    assert 'src="data:image/png;base64,' in email.html
    assert "cid:" not in email.html


def test_a_bounced_address_gets_no_more_emails(client: Client, mailbox: Mailbox) -> None:
    client.verified = False
    bouncing = client.account("attendee", "Bouncing", f"bounce+{token_hex(4)}@simulator.amazonses.com")

    def suppressed() -> bool:
        with client.wiring.database.transaction() as connection:
            return connection.scalars(select(suppressed_addresses.c.email)).all() == [bouncing.email]

    assert becomes_true(suppressed)
    client.verified = True
    client.verify([bouncing])
    reached = client.attendee("Reached")
    event = client.event(client.host())
    for attendee in (bouncing, reached):
        assert client.book(attendee, event["eventId"]).status == 201

    def about_the_event(recipient: str) -> list[str]:
        return [subject for subject in subjects(mailbox, recipient) if event["title"] in subject]

    assert becomes_true(lambda: bool(about_the_event(reached.email)))
    assert about_the_event(bouncing.email) == []

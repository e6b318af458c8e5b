"""A restore: another server continues from a backup, and money and places are right afterwards."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import make_url

from chalicelib.migrations import role
from chalicelib.platform.messaging import outbox
from chalicelib.wiring import Wiring, using
from infra.local import postgres, postgres_binaries
from infra.local.postgres import Postgres
from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.fakes import FakePublisher
from tests.payments.purchases import (
    Hold,
    buy,
    deliver_webhooks,
    differences,
    expire,
    hold,
    pay,
    reconcile,
    status,
    sweep,
)
from tests.payments.test_operations import operate
from tests.rows import app_url, rows, taken, value

DATABASE = "restored"


@pytest.fixture
def other_server() -> Iterator[Postgres]:
    with postgres.temporary() as server:
        yield server


def run(program: str, *arguments: str) -> None:
    programs = postgres_binaries.find(lambda _: None).programs
    subprocess.run([programs / program, *arguments], check=True)  # noqa: S603


def as_libpq(url: str) -> str:
    """Servers of tests trust every login, so the password is left out."""
    parts = make_url(url)
    return f"postgresql://{parts.username}@{parts.host}:{parts.port}/{parts.database}"


def back_up(owner_url: str, file: Path) -> None:
    run("pg_dump", "--format=custom", f"--file={file}", as_libpq(owner_url))


def restore(file: Path, server: Postgres) -> str:
    """Restore a backup to a server. Return the URL of the app's role."""
    postgres.create_database(server, DATABASE)
    owner, app = server.url(DATABASE), app_url(server, DATABASE)
    run(
        "pg_restore",
        "--no-owner",
        "--no-privileges",
        "--exit-on-error",
        f"--dbname={as_libpq(owner)}",
        str(file),
    )
    role.set_up(owner, app)
    return app


def published(wiring: Wiring) -> list[UUID]:
    """Run the relay, and return the ids of what it publishes."""
    publisher = FakePublisher()
    left = iter(range(20))
    outbox.relay(wiring.database, publisher, go_on=lambda: next(left, None) is not None, pause=0)
    return [domain_event.domain_event_id for domain_event in publisher.published]


@pytest.mark.slow
def test_a_restored_service_agrees_with_stripe_again(
    client: Client, stripe: StripeFake, owner_url: str, other_server: Postgres, tmp_path: Path
) -> None:
    bought, paid_later, abandoned = buy(client, stripe), hold(client), hold(client)
    sweep(client)
    back_up(owner_url, tmp_path / "backup")
    waiting = {row.domain_event_id for row in rows(client, "SELECT domain_event_id FROM outbox")}

    pay(stripe, paid_later)
    stripe.refund(bought.intent_id)
    deliver_webhooks(stripe)
    lost = buy(client, stripe, event_id=bought.event_id, host=bought.host)
    published(client.wiring)

    settings = replace(client.wiring.settings, database_url=restore(tmp_path / "backup", other_server))
    with using(Wiring(settings, publisher=FakePublisher(), payments=client.wiring.payments)) as restored:
        after = replace(client, wiring=restored)
        assert status(after, paid_later) == ("pending", "requires_payment")
        sweep(after)
        reconcile(after)
        expire(after)

        assert status(after, paid_later) == ("confirmed", "paid")
        assert status(after, bought) == ("cancelled", "refunded")
        assert status(after, abandoned) == ("expired", "failed")
        for held in (bought, paid_later, abandoned):
            assert differences(after, held) == []
            assert taken(after, held.event_id) == int(held is paid_later)
        assert waiting < set(published(restored))
        assert not value(after, "SELECT count(*) FROM outbox")
        assert [one["paymentIntentId"] for one in operate("list-foreign-payments")] == [lost.intent_id]
        assert buys_again(after, stripe, lost)


def buys_again(client: Client, stripe: StripeFake, lost: Hold) -> bool:
    """Whether the attendee of a lost booking can book the event again."""
    again = buy(client, stripe, event_id=lost.event_id, host=lost.host, attendee=client.attendee())
    return again.booking_id != lost.booking_id

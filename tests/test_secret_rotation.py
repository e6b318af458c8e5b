"""Secrets are replaced while the service runs. `test_tokens.py` replaces the secret of tokens."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import make_url, text

from chalicelib.migrations import role, upgrade
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.postgres import Options
from infra.local.run import APP_ROLE
from infra.stripe_fake.webhooks import sign
from tests.client import Client
from tests.conftest import LINK_SECRET, SECRET
from tests.infra.local.conftest import reachable_folder
from tests.payments.purchases import post_webhook

OLD, NEW = "whsec_old", "whsec_new"


@pytest.mark.parametrize(
    ("known", "signed"),
    [((OLD,), (OLD, NEW)), ((NEW, OLD), (OLD, NEW)), ((NEW, OLD), (NEW,)), ((NEW,), (NEW,))],
)
def test_a_new_webhook_secret_loses_no_event(
    client: Client, known: tuple[str, ...], signed: tuple[str, ...]
) -> None:
    """Stripe signs with both secrets for a day. The app gets to know the new one within it."""
    event = {"id": "evt_1", "type": "customer.created", "data": {"object": {}}}
    body = json.dumps(event).encode()
    secrets = tuple(secret.encode() for secret in known)

    with using(Wiring(replace(client.wiring.settings, stripe_webhook_secrets=secrets))) as wiring:
        reply = post_webhook(replace(client, wiring=wiring), body, sign(body, signed, int(time.time())))

    assert (reply.status, reply.json) == (200, {"outcome": "ignored"})


def with_password(owner_url: str, password: str) -> Settings:
    url = make_url(owner_url).set(username=APP_ROLE, password=password)
    return Settings(
        database_url=url.render_as_string(hide_password=False),
        database_pool_size=2,
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
    )


def connects(settings: Settings) -> bool:
    """Whether a new process can connect. It asks for a retry if not."""
    database = Database(settings)
    try:
        with database.transaction() as connection:
            return connection.scalar(text("SELECT true")) is True
    except Unavailable:
        return False
    finally:
        database.close()


@pytest.mark.slow
def test_a_new_database_password_fails_no_request_of_a_running_process() -> None:
    with reachable_folder() as folder, postgres.start(Options(folder / "data"), lambda _: None) as server:
        owner = server.url()
        old, new = with_password(owner, "old"), with_password(owner, "new")
        upgrade(owner)
        role.set_up(owner, old.database_url)
        assert (connects(old), connects(new)) == (True, False)

        stop = threading.Event()
        with using(Wiring(old)) as wiring, ThreadPoolExecutor(2) as executor:
            client = Client(wiring)

            def read() -> list[int]:
                statuses = []
                while not stop.is_set():
                    statuses.append(client("GET", "/events").status)
                return statuses

            reading = [executor.submit(read) for _ in range(2)]
            time.sleep(0.5)
            role.set_up(owner, new.database_url)  # as `migrate` does
            time.sleep(0.5)
            stop.set()
            statuses = [status for future in reading for status in future.result()]
        assert set(statuses) == {200}
        assert (connects(old), connects(new)) == (False, True)

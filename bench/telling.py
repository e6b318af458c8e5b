"""Measures how fast people are told that a sale starts, from its moment to the last e-mail."""

import argparse
import contextlib
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes
from typing import Any
from uuid import UUID

from sqlalchemy import text

from chalicelib.events import publishing as events
from chalicelib.events.rules import Details
from chalicelib.migrations import upgrade
from chalicelib.notifications.mailer import Mailer
from chalicelib.platform import ids
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.ports import QueueSender
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import aws, postgres
from infra.local.installation import Say
from infra.local.provision import make_topology
from infra.local.run import Stopped, Wish
from infra.local.triggers import Triggers

PEOPLE = 10_000
QUICK = 500
SENDERS = 2
"""Threads that send e-mails. One waits for SES while another composes; a third would wait for Python's lock,
which Lambda's processes do not share."""
LIMIT = 60.0
"""Seconds within which all are to be told."""
AHEAD = timedelta(seconds=2)
"""How long before its sale starts the event is there."""
LOOK_EVERY = 0.1
"""Seconds between looks at the inboxes, and so the error of what is measured of them."""
GIVE_UP = 60.0
"""Seconds without any progress after which the rest counts as missed."""
GRACE = 10.0
"""Seconds for the queues to run dry, in which somebody could still be told twice."""
DATABASE = "booking"
POOL_SIZE = 24

INTERRUPTED = 130  # what shells make of Ctrl-C


class NotingMailer:
    """A mailer that notes when the last e-mail was handed over."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self.last = 0.0
        self.sent = 0

    def send(self, address: str, message: bytes) -> None:
        self._mailer.send(address, message)
        self.last = time.time()
        self.sent += 1


class CountingQueues:
    """Queues that count what the functions put into each."""

    def __init__(self, queues: QueueSender) -> None:
        self._queues = queues
        self.sent: Counter[str] = Counter()

    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        self._queues.send(queue, messages)
        self.sent[queue] += len(messages)


@dataclass(frozen=True, kw_only=True)
class Result:
    people: int
    inbox_rows: int
    emails: int
    chunk_messages: int
    """Of the e-mail queue."""
    continuation_messages: int
    """Of the queue of the domain event, for the next page of people."""
    seconds_to_last_inbox_row: float
    seconds_to_last_email: float
    emails_per_second: float
    told_twice: int
    missed: int
    machine: str
    cores: int
    python: str
    postgresql: str

    @property
    def right(self) -> bool:
        return self.told_twice == self.missed == 0

    @property
    def seconds(self) -> float:
        return max(self.seconds_to_last_inbox_row, self.seconds_to_last_email)


class Run:
    """One run, on parts that are up and empty."""

    def __init__(self, wiring: Wiring, mailer: NotingMailer, queues: CountingQueues, wish: Wish) -> None:
        self._database = wiring.database
        self._mailer = mailer
        self._queues = queues
        self._wish = wish
        self._last_row = 0.0

    def measure(self, triggers: Triggers, people: int) -> Result:
        triggers.start()
        try:
            starts_at = put_on_sale(self._database, people)
            self._wait(people)
        finally:
            triggers.stop(GRACE)
        rows, mails = inbox(self._database), mail()
        told = [rows, mails]
        wanted = addresses(self._database)
        to_row = max(0.0, self._last_row - starts_at)
        to_mail = max(0.0, self._mailer.last - starts_at)
        return Result(
            people=people,
            inbox_rows=rows.total(),
            emails=mails.total(),
            chunk_messages=self._queues.sent[queues.EMAIL.name],
            continuation_messages=self._queues.sent[queues.ON_SALE_NOTIFICATIONS.name],
            seconds_to_last_inbox_row=round(to_row, 2),
            seconds_to_last_email=round(to_mail, 2),
            emails_per_second=round(mails.total() / to_mail, 1) if to_mail else 0.0,
            told_twice=len({one for count in told for one, times in count.items() if times > 1}),
            missed=len({one for count in told for one in wanted - count.keys()}),
            machine=f"{platform.platform(terse=True)} {platform.machine()}",
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            python=platform.python_version(),
            postgresql=_value(self._database, "SHOW server_version"),
        )

    def _wait(self, people: int) -> None:
        """Return when all are told, or no more of them are being told."""
        before, since = (0, 0), time.monotonic()
        while time.monotonic() - since < GIVE_UP:
            self._wish.check()
            rows = before[0] if before[0] >= people else _value(self._database, _COUNT_ROWS)
            now = (rows, self._mailer.sent)
            if now[0] > before[0]:
                self._last_row = time.time()
            if min(now) >= people:
                return
            if now != before:
                before, since = now, time.monotonic()
            time.sleep(LOOK_EVERY)


_COUNT_ROWS = "SELECT count(*) FROM notifications"
_ADDRESSES = "SELECT email FROM users WHERE role = 'attendee'"
_INBOX = "SELECT email, count(*) FROM notifications JOIN users USING (user_id) GROUP BY email"

_PEOPLE = """
INSERT INTO users (user_id, role, name, email, created_at, updated_at)
SELECT uuidv7(), 'attendee', 'Person ' || i, 'person-' || i || '@example.com', :now, :now
FROM generate_series(1, :people) AS i
"""
_HOST = """
INSERT INTO users (user_id, role, name, email, created_at, updated_at)
VALUES (:host_id, 'host', 'The Blue Notes', 'host@example.com', :now, :now)
"""
_CREDENTIALS = "INSERT INTO credentials SELECT user_id, 'none that matches', 1 FROM users"
_INTERESTS = """
INSERT INTO interests (event_id, user_id, shown_at)
SELECT :event_id, user_id, :now FROM users WHERE role = 'attendee'
"""


def populate(database: Database, people: int) -> None:
    """Make a host, and people who have accounts but no inboxes yet."""
    now = datetime.now(UTC)
    with database.transaction() as connection:
        connection.execute(text(_PEOPLE), {"people": people, "now": now})
        connection.execute(text(_HOST), {"host_id": ids.new(now), "now": now})
        connection.execute(text(_CREDENTIALS))
        # What autovacuum would have found out about accounts that are older than a minute.
        connection.execute(text("ANALYZE users, credentials"))


def put_on_sale(database: Database, people: int) -> float:
    """Make the event that all are interested in, and return when its sale starts."""
    now = datetime.now(UTC)
    details = Details(
        title="Jazz in the yard",
        description="Four musicians, one yard, and the swifts above.",
        location="Kulturhof, Berlin",
        starts_at=now + timedelta(days=30),
        ends_at=now + timedelta(days=30, hours=3),
        timezone="Europe/Berlin",
        capacity=people,
        price=0,
        currency="eur",
        sale_starts_at=now + timedelta(days=1),
        sale_ends_at=None,
        refund_until=None,
        status="published",
    )
    host_id: UUID = _value(database, "SELECT user_id FROM users WHERE role = 'host'")
    with database.transaction() as connection:
        event_id = events.create(connection, host_id, details, now, may_publish=True, charges=True)
        connection.execute(text(_INTERESTS), {"event_id": event_id, "now": now})
        # Only now, as many interests take longer to write than the sale is ahead.
        starts_at = datetime.now(UTC) + AHEAD
        connection.execute(
            text("UPDATE events SET sale_starts_at = :starts_at WHERE event_id = :event_id"),
            {"starts_at": starts_at, "event_id": event_id},
        )
    return starts_at.timestamp()


def addresses(database: Database) -> set[str]:
    with database.transaction() as connection:
        return set(connection.scalars(text(_ADDRESSES)))


def inbox(database: Database) -> Counter[str]:
    """Count the rows in everyone's inbox, by address."""
    with database.transaction() as connection:
        return Counter({row.email: row.count for row in connection.execute(text(_INBOX))})


def mail() -> Counter[str]:
    """Count the e-mails that SES's stand-in holds, by address: all that were handed over."""
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415 - slow to import
    from moto.ses.models import ses_backends  # noqa: PLC0415

    # moto adds the addresses in the headers behind those that SES was given.
    sent = ses_backends[DEFAULT_ACCOUNT_ID][aws.REGION].sent_messages
    return Counter(str(message.destinations[0]) for message in sent)


def _value(database: Database, query: str) -> Any:
    with database.transaction() as connection:
        return connection.execute(text(query)).scalar_one()


@contextlib.contextmanager
def _database() -> Iterator[str]:
    """Run an empty database, as durable as one in production, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="event-booking-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that stands in for root has to come through
        with postgres.start(postgres.Options(folder / "data", durable=True), _say) as server:
            postgres.create_database(server, DATABASE)
            yield server.url(DATABASE)


def run(people: int, senders: int, wish: Wish, say: Say) -> Result:
    say("Starting PostgreSQL, SNS, SQS and SES")
    with _database() as url, aws.running():
        wish.check()
        # Imported where AWS has its stand-in: boto3 is slow to import, and reads where AWS is.
        import boto3  # noqa: PLC0415

        from app import app  # noqa: PLC0415
        from chalicelib.adapters.ses import SesMailer  # noqa: PLC0415
        from chalicelib.adapters.sqs import SqsQueues  # noqa: PLC0415

        logging.getLogger("event-booking").setLevel(logging.WARNING)  # metrics are for CloudWatch
        upgrade(url)
        wish.check()
        sns, sqs, ses = boto3.client("sns"), boto3.client("sqs"), boto3.client("ses")
        made = make_topology(sns, sqs, ses)
        settings = Settings(
            database_url=url,
            jwt_secret=token_bytes(32),
            database_pool_size=POOL_SIZE,
            domain_events_topic_arn=made.topics[queues.DOMAIN_EVENTS_TOPIC],
            public_url="https://booking.example.com",
        )
        mailer = NotingMailer(SesMailer(settings.mail_sender))
        counting = CountingQueues(SqsQueues())
        with using(Wiring(settings, queues=counting, mailer=mailer)) as wiring:
            _ = wiring.publisher  # made before threads could make it at once
            say(f"Making {people} people")
            populate(wiring.database, people)
            wish.check()
            say("Waiting until all of them are told")
            triggers = Triggers(app, sqs, at_once={queues.EMAIL.function: senders})
            return Run(wiring, mailer, counting, wish).measure(triggers, people)


def table(result: Result) -> str:
    values = {name.replace("_", " "): str(value) for name, value in asdict(result).items()}
    wide = max(map(len, values))
    return "\n".join(f"{name:{wide}}  {value}" for name, value in values.items())


def _say(said: str) -> None:
    print(said, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.telling", description=__doc__)
    parser.add_argument("--people", type=_some, help=f"how many are interested (default {PEOPLE})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK} people, however long they take: does it work?"
    )
    parser.add_argument(
        "--senders", type=_some, default=SENDERS, help=f"threads that send e-mails (default {SENDERS})"
    )
    arguments = parser.parse_args()
    people = arguments.people or (QUICK if arguments.quick else PEOPLE)
    try:
        result = run(people, arguments.senders, Wish(), _say)
    except Stopped:
        _say("Stopped.")
        return INTERRUPTED
    print(table(result))
    print(json.dumps(asdict(result)))
    if not result.right:
        _say(f"{result.missed} were missed, {result.told_twice} were told twice.")
        return 1
    if result.seconds > LIMIT and not arguments.quick:
        _say(f"It took {result.seconds:.1f} s; {LIMIT:.0f} s are allowed.")
        return 1
    return 0


def _some(given: str) -> int:
    number = int(given)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())

"""Measures notifications, from the start of a sale to the last inbox row and the last e-mail."""

import time
from collections import Counter

from bench import database
from bench.figures import Figure
from bench.scale import Scale
from chalicelib.notifications.mailer import Mailer
from chalicelib.platform.messaging import queues
from chalicelib.wiring import Wiring, using
from infra.local import aws
from infra.local.provision import make_topology
from infra.local.triggers import Triggers

SENDERS = 2
"""Threads that send e-mails. A third one would wait for Python's lock, unlike the processes of Lambda."""
POOL_SIZE = 24
STALL_TIMEOUT = 60.0
"""Seconds without an e-mail after which the rest counts as missed."""
DRAIN_TIMEOUT = 10.0
"""Seconds for the queues to drain, in which someone could be notified twice."""

_INTERESTS = """
INSERT INTO interests (event_id, user_id, shown_at)
SELECT event_id, user_id, now() FROM users, events WHERE role = 'attendee'
"""
_START_SALE = """
UPDATE events SET sale_starts_at = clock_timestamp() + interval '1 s'
RETURNING extract(epoch FROM sale_starts_at)::float
"""
_INBOXES = "SELECT count(DISTINCT user_id), extract(epoch FROM max(created_at))::float FROM notifications"


class RecordingMailer:
    """Send e-mails, and record their addresses."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self.addresses: list[str] = []

    def send(self, address: str, message: bytes) -> None:
        self._mailer.send(address, message)
        self.addresses.append(address)


def measure(scale: Scale) -> list[Figure]:
    """Run all functions, with stand-ins for SNS, SQS and SES, until everyone has the e-mail."""
    people = scale.rows // 100
    with database.server() as server, aws.running():
        # Imported here because boto3 reads the address of AWS from the environment.
        import boto3  # noqa: PLC0415

        from app import app  # noqa: PLC0415
        from chalicelib.adapters.ses import SesMailer  # noqa: PLC0415

        url = database.populate(server, "delivery", people, events=1)
        database.fill(url, _INTERESTS)
        sqs = boto3.client("sqs")
        topics = make_topology(boto3.client("sns"), sqs, boto3.client("ses")).topics
        settings = database.settings(
            url, database_pool_size=POOL_SIZE, domain_events_topic_arn=topics[queues.DOMAIN_EVENTS_TOPIC]
        )
        mailer = RecordingMailer(SesMailer(settings.mail_sender))
        with using(Wiring(settings, mailer=mailer)) as wiring:
            _ = wiring.publisher, wiring.queues  # created here, before several threads need them
            triggers = Triggers(app, sqs, concurrency={queues.EMAIL.function: SENDERS})
            triggers.start()
            try:
                started_at = database.value(url, _START_SALE)
                last_email_at = _wait(mailer.addresses, people)
            finally:
                triggers.stop(DRAIN_TIMEOUT)
        [[inboxes, last_row_at]] = database.run(url, _INBOXES)
    emails = Counter(mailer.addresses)
    seconds = last_email_at - started_at
    twice = sum(times > 1 for times in emails.values())
    return [
        Figure(f"sale start to the last of {people} inbox rows", "s", [last_row_at - started_at], most=60),
        Figure(f"sale start to the last of {people} e-mails", "s", [seconds], most=60),
        Figure("e-mails per second", "", [len(mailer.addresses) / seconds]),
        Figure("people with an inbox row", "", [inboxes], least=people),
        Figure("people with an e-mail", "", [len(emails)], least=people),
        Figure("people with a second e-mail", "", [twice], most=0),
    ]


def _wait(addresses: list[str], people: int) -> float:
    """Wait until everyone has an e-mail, or no more e-mails are sent; return the time of the last one."""
    sent, last_at = 0, time.time()
    while sent < people and time.time() - last_at < STALL_TIMEOUT:
        if len(addresses) > sent:
            sent, last_at = len(addresses), time.time()
        time.sleep(0.01)
    return last_at

"""The table of notifications is complete, and everything else derives from it."""

import re
from pathlib import Path
from typing import get_args

import pytest

from chalicelib import domain_events
from chalicelib.domain_events import ALL, UserRegistered
from chalicelib.notifications import copy, emails, kinds
from chalicelib.notifications.kinds import KINDS, Kind, TokenPage, kind_of
from chalicelib.notifications.models import TOPICS
from chalicelib.notifications.subscriptions import types_of
from chalicelib.notifications.unsubscribe import TOPIC_WORDS
from chalicelib.platform.messaging.bodies import Lane, members
from chalicelib.platform.messaging.queues import (
    ACCOUNT_EMAIL,
    DOMAIN_EVENTS_TOPIC,
    MAIL_REPORTS,
    QUEUES,
    REFUNDS,
)
from tests.notifications.examples import BODIES, compose, domain_event

TEMPLATES = {path.name for path in (Path(emails.__file__).parent / "templates").iterdir()}
SHARED = {"base.txt", "base.html"}
ids = [kind.type for kind in KINDS]


def fields(kind: Kind) -> set[str]:
    return {member.field for member in members(kind.event)}


def test_each_domain_event_has_one_kind() -> None:
    """A registered address is not verified: it gets the e-mail with the token only."""
    notified = sorted(event.type for event in domain_events.ALL if event is not UserRegistered)

    assert sorted(ids) == notified == sorted(BODIES)


def test_each_kind_has_two_templates_and_each_template_a_kind() -> None:
    own = {name for name in TEMPLATES - SHARED if not name.startswith("_")}

    assert own == {f"{kind.type}.{ending}" for kind in KINDS for ending in ("txt", "html")}


def test_each_shared_template_is_used() -> None:
    folder = Path(emails.__file__).parent / "templates"
    sources = "".join((folder / name).read_text(encoding="utf-8") for name in TEMPLATES)

    for name in TEMPLATES:
        if name in SHARED or name.startswith("_"):
            assert f'"{name}"' in sources


def test_each_topic_has_a_kind_and_words() -> None:
    assert {kind.topic for kind in KINDS} - {None} == set(TOPICS) == set(TOPIC_WORDS)


def test_queues_receive_the_domain_events_of_their_kinds() -> None:
    for kind in KINDS:
        assert kind.type in types_of(kind.queue)
    for queue in QUEUES:
        expected = [kind.type for kind in KINDS if kind.queue is queue]
        assert types_of(queue) == (("payment-refund-due",) if queue is REFUNDS else tuple(expected))
    assert types_of(MAIL_REPORTS) == ()


def test_each_queue_of_the_topic_receives_something() -> None:
    """A subscription without a filter would receive all domain events."""
    for queue in QUEUES:
        assert bool(types_of(queue)) == (queue.topic == DOMAIN_EVENTS_TOPIC)


@pytest.mark.parametrize("kind", KINDS, ids=ids)
def test_a_kind_has_what_its_e_mail_needs(kind: Kind) -> None:
    assert (kind.recipients is None) == (kind.queue is ACCOUNT_EMAIL)
    assert kind.is_about_event == ("event_id" in fields(kind))
    assert not kind.reasons or "reason" in fields(kind)
    assert not kind.subject_by_reason or "reason" in fields(kind)
    assert not kind.calendar or "event_id" in fields(kind)
    assert not kind.page or "event_id" in fields(kind)
    assert kind.while_booking is None or "booking_id" in fields(kind)
    assert kind.purpose is None or fields(kind) & {"email", "transfer_id"}
    assert kind.holder_subject is None or fields(kind) & {"ticket_id", "tickets", "event_id"}
    assert not kind.holder_reasons or "reason" in fields(kind)
    assert kind.can_unsubscribe <= (kind.topic is not None)
    assert (kind.while_event_is is None) or (kind.recipients is not None)
    assert kind.footer.endswith(".")
    assert compose(domain_event(kind.type))["Subject"]


def test_each_purpose_of_a_token_has_one_kind() -> None:
    assert sorted(kind.purpose for kind in KINDS if kind.purpose) == sorted(get_args(TokenPage))


def test_only_uninvited_e_mails_can_be_unsubscribed_from() -> None:
    assert [kind.type for kind in KINDS if kind.can_unsubscribe] == [
        "event-published",
        "sale-started",
        "daily-digest-due",
    ]


def test_reasons_that_fall_back_are_never_none() -> None:
    assert copy.sentence(copy.PAYMENT_FAILURES, "new_code") == copy.PAYMENT_FAILURES[copy.OTHER]
    assert copy.sentence(copy.DISPUTE_REASONS, "new_code") is None
    assert copy.sentence({}, None) is None


def test_every_sentence_is_one() -> None:
    for kind in KINDS:
        for sentence in (*kind.reasons.values(), *kind.holder_reasons.values()):
            assert re.fullmatch(r"[A-Z].+\.", sentence)


def test_a_type_without_a_kind_is_refused() -> None:
    assert kind_of("event-published") is kinds.KINDS[0]
    with pytest.raises(ValueError, match="no notification for weather-changed"):
        kind_of("weather-changed")


def test_what_anyone_can_cause_has_its_own_lane_and_queue() -> None:
    for kind in KINDS:
        assert (kind.event.lane is Lane.ACCOUNT_EMAILS) == (kind.queue is ACCOUNT_EMAIL), kind.type


def test_money_and_bookings_come_first() -> None:
    assert {event.type for event in ALL if event.lane is Lane.BOOKINGS} == {
        event.type for event in ALL if event.type.startswith(("booking-", "payment-", "ticket-", "tickets-"))
    }

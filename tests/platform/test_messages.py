"""Queue messages: what is encoded is decoded, and anything else is refused."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from chalicelib.platform.messaging.messages import EmailBatch, FanOutPage, domain_event_of
from chalicelib.platform.messaging.ports import DomainEvent

ADA, BOB = UUID(int=1), UUID(int=2)
EVENT = DomainEvent(
    domain_event_id=UUID(int=3),
    type="event-published",
    version=1,
    subject=UUID(int=4),
    time=datetime(2027, 5, 1, 8, 0, tzinfo=UTC),
    request_id="publish-1",
    body={"title": "Jazz"},
)
BARE = EVENT.as_message()
SHAPES = [
    EVENT,
    FanOutPage(domain_event=EVENT, after=None),
    FanOutPage(domain_event=EVENT, after=ADA),
    EmailBatch(domain_event=EVENT, recipients=(ADA, BOB)),
]


@pytest.mark.parametrize("message", SHAPES)
def test_a_message_survives_the_round_trip(message: Any) -> None:
    decoded = type(message).from_message(json.loads(json.dumps(message.as_message())))

    assert decoded == message
    assert domain_event_of(decoded) == EVENT


def test_a_bare_domain_event_is_the_first_page() -> None:
    assert FanOutPage.from_message(BARE).after is None


def test_the_e_mail_of_a_bare_domain_event_goes_to_its_subject() -> None:
    assert EmailBatch.from_message(BARE).recipients == (EVENT.subject,)


def test_unknown_members_of_a_domain_event_are_ignored() -> None:
    assert DomainEvent.from_message({**BARE, "traceId": "x"}) == EVENT


@pytest.mark.parametrize("shape", [DomainEvent, FanOutPage, EmailBatch])
@pytest.mark.parametrize(
    "malformed",
    [
        *({name: value for name, value in BARE.items() if name != missing} for missing in BARE),
        *({**BARE, name: 7.5} for name in BARE),
        *({**BARE, name: []} for name in BARE),
        *({**BARE, name: None} for name in BARE if name != "requestId"),
        *({**BARE, name: "x"} for name in ("id", "version", "subject", "time", "body")),
    ],
)
def test_malformed_domain_events_are_refused(shape: Any, malformed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        shape.from_message(malformed)


@pytest.mark.parametrize(
    "malformed",
    [
        {},
        {"domainEvent": BARE},
        {"domainEvent": BARE, "after": None},
        {"domainEvent": BARE, "after": "x"},
        {"domainEvent": BARE, "recipients": []},
        {"domainEvent": BARE, "after": str(ADA), "recipients": []},
        {"domainEvent": "x", "after": str(ADA)},
        {"domainEvent": {}, "after": str(ADA)},
    ],
)
def test_malformed_pages_are_refused(malformed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        FanOutPage.from_message(malformed)


@pytest.mark.parametrize(
    "malformed",
    [
        {},
        {"domainEvent": BARE},
        {"domainEvent": BARE, "recipients": None},
        {"domainEvent": BARE, "recipients": str(ADA)},
        {"domainEvent": BARE, "recipients": [7]},
        {"domainEvent": BARE, "recipients": ["x"]},
        {"domainEvent": BARE, "after": str(ADA)},
        {"domainEvent": [], "recipients": []},
    ],
)
def test_malformed_batches_are_refused(malformed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        EmailBatch.from_message(malformed)

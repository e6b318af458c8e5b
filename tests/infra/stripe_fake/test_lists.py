"""Lists of events and refunds: paging and filters, as Stripe's package asks for them."""

import time

import pytest
import stripe

from infra.stripe_fake.fake import StripeFake


@pytest.fixture
def intents(fake: StripeFake) -> list[str]:
    """The ids of three PaymentIntents; each is an event."""
    return [fake.create(1250)["id"] for _ in range(3)]


def test_events_are_listed_the_newest_first(client: stripe.StripeClient, intents: list[str]) -> None:
    listed = client.v1.events.list()

    assert [event.data.object["id"] for event in listed.data] == intents[::-1]
    assert (listed.url, listed.has_more) == ("/v1/events", False)
    assert client.v1.events.retrieve(listed.data[0].id) == listed.data[0]


def test_pages_are_walked_in_both_directions(client: stripe.StripeClient, intents: list[str]) -> None:
    first = client.v1.events.list({"limit": 2})
    assert (len(first.data), first.has_more) == (2, True)

    assert [event.data.object["id"] for event in first.auto_paging_iter()] == intents[::-1]
    last = client.v1.events.list({"starting_after": first.data[1].id})
    assert [event.data.object["id"] for event in last.data] == [intents[0]]
    newer = client.v1.events.list({"ending_before": last.data[0].id, "limit": 1})
    assert ([event.data.object["id"] for event in newer.data], newer.has_more) == ([intents[1]], True)


def test_events_are_filtered_by_type(
    client: stripe.StripeClient, fake: StripeFake, intents: list[str]
) -> None:
    fake.confirm(intents[0])

    paid = client.v1.events.list({"type": "payment_intent.succeeded"})
    both = client.v1.events.list({"types": ["payment_intent.succeeded", "payment_intent.created"]})

    assert [event.type for event in paid.data] == ["payment_intent.succeeded"]
    assert [event.type for event in both.data] == [
        "payment_intent.succeeded",
        *["payment_intent.created"] * 3,
    ]
    with pytest.raises(stripe.InvalidRequestError, match="up to 20 types"):
        client.v1.events.list({"types": ["payment_intent.created"] * 21})


@pytest.mark.parametrize(("since", "until", "found"), [(-60, 60, 3), (60, 120, 0), (-120, -60, 0)])
def test_events_are_filtered_by_creation(
    client: stripe.StripeClient, intents: list[str], since: int, until: int, found: int
) -> None:
    now = int(time.time())

    listed = client.v1.events.list({"created": {"gte": now + since, "lt": now + until}})

    assert len(listed.data) == found <= len(intents)


def test_refunds_of_a_payment_are_listed_in_pages(client: stripe.StripeClient, fake: StripeFake) -> None:
    intent = fake.create(1250)["id"]
    fake.confirm(intent)
    made = [fake.refund(intent, 100)["id"] for _ in range(3)]

    listed = client.v1.refunds.list({"payment_intent": intent, "limit": 2})

    assert [refund.id for refund in listed.auto_paging_iter()] == made[::-1]


def test_an_unknown_start_of_a_page_is_an_error(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        client.v1.events.list({"starting_after": "evt_nowhere"})

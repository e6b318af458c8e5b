"""Prices, currencies and the time until which payments are refunded."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.wiring import Wiring, using
from infra.stripe_fake.currencies import MIN_CHARGE
from tests.client import Account, Client, Reply, event_body, in_days


@pytest.fixture
def host(client: Client) -> Account:
    return client.host()


def publish(client: Client, host: Account, **members: Any) -> Reply:
    return client("POST", "/events", event_body(**members), by=host)


def refused(reply: Reply, field: str) -> str:
    """Return the message about the only invalid field."""
    assert reply.status == 400, reply.text
    [error] = reply.json["errors"]
    assert error["field"] == field
    return str(error["message"])


@pytest.mark.parametrize(("currency", "minimum"), MIN_CHARGE.items())
def test_the_lowest_price_is_stripes_minimum_charge(
    client: Client, host: Account, currency: str, minimum: int
) -> None:
    message = refused(publish(client, host, price=minimum - 1, currency=currency), "price")
    assert f"{minimum} minor units of {currency}" in message

    made = publish(client, host, price=minimum, currency=currency)

    assert (made.status, made.json["price"], made.json["currency"]) == (201, minimum, currency)


@pytest.mark.parametrize("currency", ["ars", "kes", "isk", "xof"])
def test_currencies_without_a_known_minimum_accept_any_price(
    client: Client, host: Account, currency: str
) -> None:
    assert publish(client, host, price=1, currency=currency).status == 201


@pytest.mark.parametrize("currency", ["kwd", "jod", "omr", "tnd"])
def test_prices_with_three_decimals_end_in_zero(client: Client, host: Account, currency: str) -> None:
    for price in (2501, 2509):
        assert "must end in 0" in refused(publish(client, host, price=price, currency=currency), "price")

    assert publish(client, host, price=2510, currency=currency).status == 201


@pytest.mark.parametrize("currency", ["bhd", "rub", "irr", "mga", "ghs"])
def test_currencies_without_payments_allow_free_events_only(
    client: Client, host: Account, currency: str
) -> None:
    assert f"payments in {currency}" in refused(publish(client, host, price=2500, currency=currency), "price")

    assert publish(client, host, currency=currency).status == 201


@pytest.mark.parametrize("currency", ["isk", "ugx"])
def test_the_maximum_is_lower_where_stripe_counts_hundredths(
    client: Client, host: Account, currency: str
) -> None:
    assert "at most 999999" in refused(publish(client, host, price=1_000_000, currency=currency), "price")

    assert publish(client, host, price=999_999, currency=currency).status == 201


MAXIMA = [
    ("eur", 99_999_999),
    ("jpy", 99_999_999),
    ("inr", 999_999_999),
    ("cop", 9_999_999_999),
    ("idr", 999_999_999_999),
]


@pytest.mark.parametrize(("currency", "maximum"), MAXIMA)
def test_the_highest_price_depends_on_the_currency(
    client: Client, host: Account, currency: str, maximum: int
) -> None:
    made = publish(client, host, price=maximum, currency=currency)
    assert (made.status, made.json["price"]) == (201, maximum)

    refused(publish(client, host, price=maximum + 1, currency=currency), "price")


def test_a_booking_of_the_highest_price_can_be_held(client: Client, host: Account) -> None:
    event = publish(client, host, price=999_999_999_999, currency="idr").json

    held = client.book(client.attendee(), event["eventId"])

    assert (held.status, held.json["amount"]) == (201, event["price"])


@pytest.mark.parametrize(
    ("currency", "price"), [("krw", 50), ("php", 100), ("zar", 100), ("clp", 10), ("vnd", 1000)]
)
def test_a_price_below_stripes_minimum_is_refused(
    client: Client, host: Account, currency: str, price: int
) -> None:
    assert "minimum charge" in refused(publish(client, host, price=price, currency=currency), "price")


@pytest.mark.parametrize("price", [-1, 10**12, 2**63, 25.5, "2500", None, True])
def test_a_price_is_a_whole_number_of_twelve_digits(client: Client, host: Account, price: Any) -> None:
    body = {**event_body(), "price": price}

    assert "whole number" in refused(client("POST", "/events", body, by=host), "price")


@pytest.mark.parametrize("currency", ["xxx", "xau", "bit", "dem", "bgn", "ang"])
def test_a_currency_is_a_current_iso_4217_code(client: Client, host: Account, currency: str) -> None:
    assert "ISO 4217" in refused(publish(client, host, price=2500, currency=currency), "currency")


def test_changes_follow_the_same_rules(client: Client, host: Account) -> None:
    path = f"/events/{client.event(host, price=2500)['eventId']}"

    for change in ({"price": 49}, {"currency": "huf"}, {"currency": "bhd"}, {"price": 1, "currency": "gbp"}):
        refused(client("PATCH", path, change, by=host), "price")
        refused(client("PUT", path, event_body(**{"price": 2500, **change}), by=host), "price")
    for change in ({"price": 50}, {"price": 0}, {"currency": "bhd"}):
        assert client("PATCH", path, change, by=host).status == 200


@pytest.fixture
def without_stripe(wiring: Wiring) -> Iterator[Client]:
    with using(Wiring(replace(wiring.settings, stripe_api_key=None))) as without:
        yield Client(without)


def test_without_payments_set_up_events_are_free(without_stripe: Client) -> None:
    host = without_stripe.host()
    message = refused(publish(without_stripe, host, price=2500), "price")
    assert message == "must be 0: payments are not set up"

    path = f"/events/{without_stripe.event(host)['eventId']}"

    assert refused(without_stripe("PATCH", path, {"price": 2500}, by=host), "price") == message


def test_a_priced_place_is_held_after_payments_were_turned_off(
    client: Client,
) -> None:
    event = client.event(client.host(), price=2500)
    with using(Wiring(replace(client.wiring.settings, stripe_api_key=None))) as without:
        restarted = Client(without)
        attendee = restarted.attendee()
        held = restarted.book(attendee, event["eventId"])
        payment = restarted("POST", f"/bookings/{held.json['bookingId']}/payment", by=attendee)

    assert (held.status, held.json["payment"]) == (201, None)
    assert (payment.status, payment.problem) == (503, "unavailable")


def test_money_is_refunded_until_the_start_by_default(client: Client, host: Account) -> None:
    event = client.event(host, price=2500)

    assert event["refundUntil"] == event["startDateTime"]


def test_free_events_do_not_show_refund_until(client: Client, host: Account) -> None:
    event = client.event(host, refundUntil=in_days(10))

    assert "refundUntil" not in event


def test_refund_until_cannot_be_after_the_start(client: Client, host: Account) -> None:
    after = {"refundUntil": in_days(30.01)}
    path = f"/events/{client.event(host, price=2500)['eventId']}"

    assert "must not be after" in refused(publish(client, host, price=2500, **after), "refundUntil")
    refused(client("PATCH", path, after, by=host), "refundUntil")
    refused(client("PUT", path, event_body(price=2500, **after), by=host), "refundUntil")


def test_the_start_cannot_be_moved_before_refund_until(client: Client, host: Account) -> None:
    path = f"/events/{client.event(host, price=2500, refundUntil=in_days(20))['eventId']}"

    refused(
        client("PATCH", path, {"startDateTime": in_days(19), "endDateTime": in_days(20)}, by=host),
        "refundUntil",
    )


def test_refund_until_can_be_set_changed_and_removed(client: Client, host: Account) -> None:
    event = client.event(host, price=2500)
    path = f"/events/{event['eventId']}"
    until = "2030-01-01T00:00:00Z"
    dates = {"startDateTime": "2030-02-01T20:00:00Z", "endDateTime": "2030-02-01T22:00:00Z"}

    def shown(reply: Reply) -> Any:
        assert reply.status == 200, reply.text
        assert client("GET", path, by=host).json == reply.json
        return reply.json["refundUntil"]

    put = event_body(price=2500, **dates)
    assert shown(client("PATCH", path, {**dates, "refundUntil": until}, by=host)).startswith("2030-01-01")
    assert shown(client("PATCH", path, {"title": "Blues"}, by=host)).startswith("2030-01-01")
    assert shown(client("PATCH", path, {"refundUntil": None}, by=host)).startswith("2030-02-01T20")
    assert shown(client("PUT", path, {**put, "refundUntil": until}, by=host)).startswith("2030-01-01")
    assert shown(client("PUT", path, put, by=host)).startswith("2030-02-01T20")


@pytest.mark.parametrize("until", ["tomorrow", "2030-01-01", "2030-01-01T00:00:00", 0, ""])
def test_refund_until_is_a_time_with_an_offset(client: Client, host: Account, until: Any) -> None:
    refused(publish(client, host, price=2500, refundUntil=until), "refundUntil")

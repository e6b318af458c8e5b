"""Prices: what can be charged, and until when it goes back."""

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
    """What is said of the one field that is refused."""
    assert reply.status == 400, reply.text
    [error] = reply.json["errors"]
    assert error["field"] == field
    return str(error["message"])


@pytest.mark.parametrize(("currency", "least"), MIN_CHARGE.items())
def test_the_least_that_can_be_charged_is_the_least_price(
    client: Client, host: Account, currency: str, least: int
) -> None:
    message = refused(publish(client, host, price=least - 1, currency=currency), "price")
    assert f"{least} minor units of {currency}" in message

    made = publish(client, host, price=least, currency=currency)

    assert (made.status, made.json["price"], made.json["currency"]) == (201, least, currency)


@pytest.mark.parametrize("currency", ["ars", "kes", "isk", "xof"])
def test_of_a_currency_whose_least_is_not_known_anything_is_accepted(
    client: Client, host: Account, currency: str
) -> None:
    assert publish(client, host, price=1, currency=currency).status == 201


@pytest.mark.parametrize("currency", ["kwd", "jod", "omr", "tnd"])
def test_the_third_decimal_is_nought(client: Client, host: Account, currency: str) -> None:
    for price in (2501, 2509):
        assert "must end in 0" in refused(publish(client, host, price=price, currency=currency), "price")

    assert publish(client, host, price=2510, currency=currency).status == 201


@pytest.mark.parametrize("currency", ["bhd", "rub", "irr", "mga", "ghs"])
def test_what_cannot_be_charged_is_free_or_refused(client: Client, host: Account, currency: str) -> None:
    assert f"payments in {currency}" in refused(publish(client, host, price=2500, currency=currency), "price")

    assert publish(client, host, currency=currency).status == 201


@pytest.mark.parametrize("currency", ["isk", "ugx"])
def test_what_is_counted_in_hundredths_has_two_digits_less(
    client: Client, host: Account, currency: str
) -> None:
    assert "at most 999999" in refused(publish(client, host, price=1_000_000, currency=currency), "price")

    assert publish(client, host, price=999_999, currency=currency).status == 201


@pytest.mark.parametrize("price", [-1, 100_000_000, 2**63, 25.5, "2500", None, True])
def test_a_price_is_a_whole_number_of_eight_digits(client: Client, host: Account, price: Any) -> None:
    body = {**event_body(), "price": price}

    assert "whole number" in refused(client("POST", "/events", body, by=host), "price")


@pytest.mark.parametrize("currency", ["xxx", "xau", "bit", "dem"])
def test_what_is_no_money_in_circulation_is_no_currency(client: Client, host: Account, currency: str) -> None:
    assert "ISO 4217" in refused(publish(client, host, price=2500, currency=currency), "currency")


def test_a_change_is_held_to_the_same_rules(client: Client, host: Account) -> None:
    path = f"/events/{client.event(host, price=2500)['eventId']}"

    for change in ({"price": 49}, {"currency": "huf"}, {"currency": "bhd"}, {"price": 1, "currency": "gbp"}):
        refused(client("PATCH", path, change, by=host), "price")
        refused(client("PUT", path, event_body(**{"price": 2500, **change}), by=host), "price")
    for change in ({"price": 50}, {"price": 0}, {"currency": "bhd"}):
        assert client("PATCH", path, change, by=host).status == 200


@pytest.fixture
def without_stripe(wiring: Wiring) -> Iterator[Client]:
    with using(Wiring(replace(wiring.settings, stripe_api_key=None))) as poor:
        yield Client(poor)


def test_where_payments_are_not_set_up_events_are_free(without_stripe: Client) -> None:
    host = without_stripe.host()
    message = refused(publish(without_stripe, host, price=2500), "price")
    assert message == "must be 0: payments are not set up"

    path = f"/events/{without_stripe.event(host)['eventId']}"

    assert refused(without_stripe("PATCH", path, {"price": 2500}, by=host), "price") == message


def test_a_place_that_costs_something_is_held_even_where_payments_are_not_set_up_any_more(
    client: Client,
) -> None:
    event = client.event(client.host(), price=2500)
    with using(Wiring(replace(client.wiring.settings, stripe_api_key=None))) as poor:
        changed = Client(poor)
        attendee = changed.attendee()
        held = changed.book(attendee, event["eventId"])
        asked = changed("POST", f"/bookings/{held.json['bookingId']}/payment", by=attendee)

    assert (held.status, held.json["payment"]) == (201, None)
    assert (asked.status, asked.problem) == (503, "unavailable")


def test_money_goes_back_until_the_start_where_nothing_else_is_said(client: Client, host: Account) -> None:
    event = client.event(host, price=2500)

    assert event["refundUntil"] == event["startDateTime"]


def test_of_what_is_free_nothing_is_said_of_money_going_back(client: Client, host: Account) -> None:
    event = client.event(host, refundUntil=in_days(10))

    assert "refundUntil" not in event


def test_money_cannot_go_back_after_the_start(client: Client, host: Account) -> None:
    after = {"refundUntil": in_days(30.01)}
    path = f"/events/{client.event(host, price=2500)['eventId']}"

    assert "must not be after" in refused(publish(client, host, price=2500, **after), "refundUntil")
    refused(client("PATCH", path, after, by=host), "refundUntil")
    refused(client("PUT", path, event_body(price=2500, **after), by=host), "refundUntil")


def test_a_start_that_moves_before_the_time_of_refunds_is_refused(client: Client, host: Account) -> None:
    path = f"/events/{client.event(host, price=2500, refundUntil=in_days(20))['eventId']}"

    refused(
        client("PATCH", path, {"startDateTime": in_days(19), "endDateTime": in_days(20)}, by=host),
        "refundUntil",
    )


def test_the_time_of_refunds_is_set_moved_and_taken_away(client: Client, host: Account) -> None:
    event = client.event(host, price=2500)
    path = f"/events/{event['eventId']}"
    until = "2030-01-01T00:00:00Z"
    dates = {"startDateTime": "2030-02-01T20:00:00Z", "endDateTime": "2030-02-01T22:00:00Z"}

    def shown(reply: Reply) -> Any:
        assert reply.status == 200, reply.text
        assert client("GET", path).json == reply.json
        return reply.json["refundUntil"]

    put = event_body(price=2500, **dates)
    assert shown(client("PATCH", path, {**dates, "refundUntil": until}, by=host)).startswith("2030-01-01")
    assert shown(client("PATCH", path, {"title": "Blues"}, by=host)).startswith("2030-01-01")
    assert shown(client("PATCH", path, {"refundUntil": None}, by=host)).startswith("2030-02-01T20")
    assert shown(client("PUT", path, {**put, "refundUntil": until}, by=host)).startswith("2030-01-01")
    assert shown(client("PUT", path, put, by=host)).startswith("2030-02-01T20")


@pytest.mark.parametrize("until", ["tomorrow", "2030-01-01", "2030-01-01T00:00:00", 0, ""])
def test_the_time_of_refunds_is_a_time_with_an_offset(client: Client, host: Account, until: Any) -> None:
    refused(publish(client, host, price=2500, refundUntil=until), "refundUntil")

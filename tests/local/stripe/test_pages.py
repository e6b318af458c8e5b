"""The promises of the pages: a person pays, and does what Stripe's dashboard is for, without scripts."""

import json
import re
from dataclasses import dataclass
from html import unescape
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from infra.local.stripe.stand_in import StandIn
from infra.local.stripe.switches import Fault
from tests.local.stripe.conftest import Recorder

SCRIPT = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Page:
    status: int
    headers: dict[str, str]
    text: str
    path: str


def fetch(stand_in: StandIn, path: str, form: dict[str, str] | str | None = None, **headers: str) -> Page:
    """Get a page or post a form, and follow where it leads, as a browser does."""
    connection = HTTPConnection(urlsplit(stand_in.url).netloc, timeout=30)
    body = urlencode(form) if isinstance(form, dict) else form
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if form is None else "POST", path, body, named)
        response = connection.getresponse()
        page = Page(response.status, dict(response.headers), response.read().decode(), path)
    finally:
        connection.close()
    return fetch(stand_in, page.headers["Location"]) if page.status == 303 else page


def pay(stand_in: StandIn, intent: dict[str, Any], **choice: str) -> Page:
    path = f"/pay/{intent['id']}"
    return fetch(stand_in, path, {"client_secret": intent["client_secret"], **choice}, Origin=stand_in.url)


def path_of(url: str) -> str:
    where = urlsplit(url)
    return f"{where.path}?{where.query}"


def test_a_person_pays_with_a_card_number(stand_in: StandIn) -> None:
    intent = stand_in.create(1250, metadata={"bookingId": "b-1"})
    shown = fetch(stand_in, path_of(stand_in.pay_url(intent["client_secret"])))
    assert "12.50 EUR" in shown.text
    assert '<label for="number">' in shown.text
    assert "<script" not in shown.text
    receipt = pay(stand_in, intent, number="4242 4242 4242 4242")
    assert "Paid. Thank you." in receipt.text
    assert "b-1" in receipt.text
    assert receipt.path == path_of(stand_in.pay_url(intent["id"]))
    assert "Paid. Thank you." in pay(stand_in, intent, number="4242424242424242").text
    assert len(stand_in.events("charge.succeeded")) == 1


def test_each_test_number_is_one_click_away(stand_in: StandIn) -> None:
    intent = stand_in.create(1250)
    shown = fetch(stand_in, path_of(stand_in.pay_url(intent["id"])))
    assert len(re.findall(r'<button name="method" value="pm_', shown.text)) == 15
    assert "The bank is working on it" in pay(stand_in, intent, method="pm_usBankAccount_success").text


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"method": "pm_card_chargeDeclinedInsufficientFunds"}, "Your card has insufficient funds."),
        ({"number": "4242424242424241"}, "Your card number is incorrect."),
        ({"number": ""}, "Your card number is incorrect."),
        ({"method": "pm_none"}, "No such PaymentMethod: 'pm_none'"),
    ],
)
def test_a_declined_person_is_told_and_can_try_again(
    stand_in: StandIn, choice: dict[str, str], told: str
) -> None:
    intent = stand_in.create(1250)
    declined = pay(stand_in, intent, **choice)
    assert told in unescape(declined.text)
    assert 'role="alert"' in declined.text
    assert "Paid. Thank you." in pay(stand_in, intent, method="pm_card_visa").text


@pytest.mark.parametrize(
    ("outcome", "told"), [("complete", "Paid. Thank you."), ("fail", "has failed authentication")]
)
def test_a_person_goes_through_three_d_secure(stand_in: StandIn, outcome: str, told: str) -> None:
    intent = stand_in.create(1250)
    asked = pay(stand_in, intent, method="pm_card_authenticationRequired")
    assert asked.path.startswith("/three-d-secure/")
    assert "Your bank asks" in asked.text
    form = {"client_secret": intent["client_secret"], "outcome": outcome}
    assert told in fetch(stand_in, f"/three-d-secure/{intent['id']}", form).text


def test_a_payment_is_shown_to_who_knows_its_secret(stand_in: StandIn) -> None:
    intent = stand_in.create(1250)
    assert fetch(stand_in, f"/pay/{intent['id']}").status == 403
    assert (
        fetch(stand_in, f"/pay/{intent['id']}", {"client_secret": "x", "method": "pm_card_visa"}).status
        == 403
    )
    assert fetch(stand_in, "/pay/pi_none?client_secret=x").status == 404
    assert stand_in.intent(intent["id"])["status"] == "requires_payment_method"


def test_the_list_shows_payments_and_what_can_be_done(stand_in: StandIn) -> None:
    assert "There is none yet." in fetch(stand_in, "/").text
    stand_in.create(700, "jpy", {"bookingId": f"b{SCRIPT}"})
    assert fetch(stand_in, "/payments", {"amount": "900", "currency": "eur"}).status == 200
    page = fetch(stand_in, "/")
    assert SCRIPT not in page.text
    assert "700 JPY" in page.text
    assert page.text.index("9.00 EUR") < page.text.index("700 JPY")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "script-src" not in page.headers["Content-Security-Policy"]


def test_the_dashboard_acts_on_payments(stand_in: StandIn) -> None:
    intent = stand_in.create(1250)["id"]

    def act(name: str, **form: str) -> Page:
        return fetch(stand_in, f"/payments/{intent}/{name}", form, Origin=stand_in.url)

    assert "cannot be updated" not in act("cancel").text
    assert stand_in.intent(intent)["status"] == "canceled"
    assert "You cannot cancel this PaymentIntent" in act("cancel").text
    intent = stand_in.create(1250)["id"]
    stand_in.confirm(intent)
    assert "5.00 EUR refunded" in act("refund", amount="500").text
    assert act("refund", amount="5.00").status == 400
    assert "dispute: needs response" in act("dispute").text
    assert "dispute: won" in act("win-dispute").text
    assert "12.50 EUR refunded" in act("refund").text
    intent = stand_in.create(1250)["id"]
    stand_in.confirm(intent, "pm_usBankAccount_processing")
    assert act("settle").status == 200
    assert stand_in.intent(intent)["status"] == "succeeded"
    assert act("nonsense").status == 404


def test_webhooks_are_shown_and_sent_from_the_list(stand_in: StandIn, recorder: Recorder) -> None:
    stand_in.create(1250)
    recorder.responses = [500]
    assert "1 waiting." in fetch(stand_in, "/").text
    assert "500" in fetch(stand_in, "/deliver", {"order": "reversed"}).text
    (event,) = stand_in.waiting()
    assert "0 waiting." in fetch(stand_in, f"/events/{event}/deliver", {}).text
    assert len(recorder.got) == 2


def test_switches_are_set_as_json(stand_in: StandIn) -> None:
    path = "/stand-in/switches"
    fault = {"kind": "error", "times": 2, "route": "POST /v1/refunds"}
    assert fetch(stand_in, path, json.dumps({"drop": 3, "hold": True, "faults": [fault]})).status == 200
    assert (stand_in.switches.drop, stand_in.switches.hold) == (3, True)
    assert stand_in.switches.faults == [Fault("error", 2, route="POST /v1/refunds")]
    assert json.loads(fetch(stand_in, path).text)["drop"] == 3
    for wrong in (
        "",
        "[]",
        '{"drop": -1}',
        '{"hold": 1}',
        '{"x": 1}',
        '{"faults": [{"kind": "x"}]}',
        '{"faults": 1}',
    ):
        assert fetch(stand_in, path, wrong).status == 400, wrong
    assert stand_in.switches.drop == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example"},
    ],
)
def test_another_site_cannot_post_here(stand_in: StandIn, headers: dict[str, str]) -> None:
    intent = stand_in.create(1250)
    form = {"client_secret": intent["client_secret"], "method": "pm_card_visa"}
    for path in (f"/pay/{intent['id']}", f"/payments/{intent['id']}/cancel", "/stand-in/switches"):
        assert fetch(stand_in, path, form, **headers).status == 403
    assert stand_in.intent(intent["id"])["status"] == "requires_payment_method"


def test_a_name_that_leads_here_reads_nothing(stand_in: StandIn) -> None:
    port = urlsplit(stand_in.url).port
    assert fetch(stand_in, "/", Host=f"localhost:{port}").status == 200
    for path in ("/", "/stand-in/switches"):
        assert fetch(stand_in, path, Host=f"evil.example:{port}").status == 403


@pytest.mark.parametrize("path", ["/nothing", "/pay/", "/../etc/passwd", "/events/x/deliver"])
def test_what_is_not_there_is_not_found(stand_in: StandIn, path: str) -> None:
    assert fetch(stand_in, path).status == 404
    assert fetch(stand_in, path, {"a": "b"}).status == 404


@pytest.mark.parametrize("length", ["-1", "x", "9999999999"])
def test_a_body_of_no_sensible_length_is_refused(stand_in: StandIn, length: str) -> None:
    assert fetch(stand_in, "/v1/refunds", "", Content_Length=length).status == 400

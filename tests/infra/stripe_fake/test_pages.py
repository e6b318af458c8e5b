"""The pages: a customer pays, and a developer uses the dashboard, without JavaScript."""

import json
import re
from dataclasses import dataclass
from html import unescape
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from tests.infra.stripe_fake.conftest import Recorder

SCRIPT = "<script>alert(1)</script>"
PAID = "Your payment was successful."


@dataclass(frozen=True)
class Page:
    status: int
    headers: dict[str, str]
    text: str
    path: str


def fetch(fake: StripeFake, path: str, form: dict[str, str] | str | None = None, **headers: str) -> Page:
    """Get a page or post a form, and follow redirects, as a browser does."""
    connection = HTTPConnection(urlsplit(fake.url).netloc, timeout=30)
    body = urlencode(form) if isinstance(form, dict) else form
    try:
        all_headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection.request("GET" if form is None else "POST", path, body, all_headers)
        response = connection.getresponse()
        page = Page(response.status, dict(response.headers), response.read().decode(), path)
    finally:
        connection.close()
    return fetch(fake, page.headers["Location"]) if page.status == 303 else page


def pay(fake: StripeFake, intent: dict[str, Any], **choice: str) -> Page:
    form = {"client_secret": intent["client_secret"], **choice}
    return fetch(fake, f"/pay/{intent['id']}", form, Origin=fake.url)


def path_of(url: str) -> str:
    where = urlsplit(url)
    return f"{where.path}?{where.query}"


def test_a_customer_pays_with_a_card_number(fake: StripeFake) -> None:
    intent = fake.create(1250, metadata={"bookingId": "b-1"})
    pay_path = path_of(fake.pay_url(intent["id"]))
    form = fetch(fake, pay_path)
    assert "12.50 EUR" in form.text
    assert '<label for="number">' in form.text
    assert "<script" not in form.text
    receipt = pay(fake, intent, number="4242 4242 4242 4242")
    assert PAID in receipt.text
    assert "b-1" in receipt.text
    assert receipt.path == pay_path
    assert PAID in pay(fake, intent, number="4242424242424242").text
    assert len(fake.events("charge.succeeded")) == 1


def test_each_test_card_is_a_button(fake: StripeFake) -> None:
    intent = fake.create(1250)
    form = fetch(fake, path_of(fake.pay_url(intent["id"])))
    assert len(re.findall(r'<button name="method" value="pm_', form.text)) == 13
    assert "is processing the payment" in pay(fake, intent, method="pm_usBankAccount_success").text


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"method": "pm_card_chargeDeclinedInsufficientFunds"}, "Your card has insufficient funds."),
        ({"number": "4242424242424241"}, "Your card number is incorrect."),
        ({"number": ""}, "Your card number is incorrect."),
        ({"method": "pm_none"}, "No such PaymentMethod: 'pm_none'"),
    ],
)
def test_a_declined_customer_can_try_again(fake: StripeFake, choice: dict[str, str], message: str) -> None:
    intent = fake.create(1250)
    declined = pay(fake, intent, **choice)
    assert message in unescape(declined.text)
    assert 'role="alert"' in declined.text
    assert PAID in pay(fake, intent, method="pm_card_visa").text


@pytest.mark.parametrize(("outcome", "message"), [("complete", PAID), ("fail", "has failed authentication")])
def test_a_customer_confirms_by_three_d_secure(fake: StripeFake, outcome: str, message: str) -> None:
    intent = fake.create(1250)
    question = pay(fake, intent, method="pm_card_authenticationRequired")
    assert question.path.startswith("/three-d-secure/")
    assert "Do you want to make this payment?" in question.text
    form = {"client_secret": intent["client_secret"], "outcome": outcome}
    assert message in fetch(fake, f"/three-d-secure/{intent['id']}", form).text


def test_the_pay_page_needs_the_client_secret(fake: StripeFake) -> None:
    intent = fake.create(1250)
    form = {"client_secret": "x", "method": "pm_card_visa"}
    assert fetch(fake, f"/pay/{intent['id']}").status == 403
    assert fetch(fake, f"/pay/{intent['id']}", form).status == 403
    assert fetch(fake, "/pay/pi_none?client_secret=x").status == 404
    assert fake.intent(intent["id"])["status"] == "requires_payment_method"


def test_the_dashboard_lists_payments(fake: StripeFake) -> None:
    assert "There are no payments yet." in fetch(fake, "/").text
    fake.create(700, "jpy", {"bookingId": f"b{SCRIPT}"})
    fake.create(900, "eur")
    page = fetch(fake, "/")
    assert SCRIPT not in page.text
    assert page.text.index("9.00 EUR") < page.text.index("700 JPY")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "script-src" not in page.headers["Content-Security-Policy"]


def test_the_dashboard_acts_on_payments(fake: StripeFake) -> None:
    intent = fake.create(1250)["id"]

    def act(action: str, **form: str) -> Page:
        return fetch(fake, f"/payments/{intent}/{action}", form, Origin=fake.url)

    act("cancel")
    assert fake.intent(intent)["status"] == "canceled"
    assert "You cannot cancel this PaymentIntent" in act("cancel").text
    intent = fake.create(1250)["id"]
    fake.confirm(intent)
    assert "5.00 EUR refunded" in act("refund", amount="500").text
    assert act("refund", amount="5.00").status == 400
    assert "dispute: needs response" in act("dispute").text
    assert "dispute: won" in act("win-dispute").text
    assert "12.50 EUR refunded" in act("refund", amount="").text
    intent = fake.create(1250)["id"]
    fake.confirm(intent)
    act("dispute")
    assert "dispute: lost" in act("lose-dispute").text
    for action, status in (("settle", "succeeded"), ("fail", "requires_payment_method")):
        intent = fake.create(1250)["id"]
        fake.confirm(intent, "pm_usBankAccount_processing")
        assert act(action).status == 200
        assert fake.intent(intent)["status"] == status
    assert act("nonsense").status == 404


def test_the_dashboard_sends_webhooks_again(fake: StripeFake, recorder: Recorder) -> None:
    fake.create(1250)
    assert "1 waiting." in fetch(fake, "/").text
    recorder.statuses = [500]
    (event,) = fake.waiting()
    assert "<td>500</td>" in fetch(fake, f"/events/{event}/deliver", {}).text
    assert "0 waiting." in fetch(fake, f"/events/{event}/deliver", {}).text
    assert len(recorder.events) == 2


def test_faults_are_set_as_json(fake: StripeFake) -> None:
    fault = {"kind": "error", "times": 2, "route": "POST /v1/refunds"}
    assert fetch(fake, "/faults", json.dumps({"drop": 3, "calls": [fault]})).status == 200
    assert fake.faults.drop == 3
    assert fake.faults.calls == [Fault("error", 2, route="POST /v1/refunds")]
    assert json.loads(fetch(fake, "/faults", '{"delay": 1}').text)["drop"] == 3
    assert json.loads(fetch(fake, "/faults").text)["delay"] == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '{"drop": -1}',
        '{"delay": "1"}',
        '{"x": 1}',
        '{"calls": 1}',
        '{"calls": [{"kind": "x"}]}',
        '{"calls": [{"kind": "limit", "after": true}]}',
    ],
)
def test_invalid_faults_are_refused(fake: StripeFake, body: str) -> None:
    assert fetch(fake, "/faults", body).status == 400
    assert fake.faults.as_json() == type(fake.faults)().as_json()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 400),
    ],
)
def test_another_site_cannot_post_forms(fake: StripeFake, headers: dict[str, str], status: int) -> None:
    intent = fake.create(1250)
    form = {"client_secret": intent["client_secret"], "method": "pm_card_visa"}
    for path in (f"/pay/{intent['id']}", f"/payments/{intent['id']}/cancel", "/faults"):
        assert fetch(fake, path, form, **headers).status == status
    assert fake.intent(intent["id"])["status"] == "requires_payment_method"


def test_pages_are_served_to_local_names_only(fake: StripeFake) -> None:
    port = urlsplit(fake.url).port
    assert fetch(fake, "/", Host=f"localhost:{port}").status == 200
    for path in ("/", "/faults"):
        assert fetch(fake, path, Host=f"evil.example:{port}").status == 400


@pytest.mark.parametrize("path", ["/nothing", "/pay/", "/../etc/passwd", "/events/x/deliver"])
def test_missing_pages_are_not_found(fake: StripeFake, path: str) -> None:
    assert fetch(fake, path, {"a": "b"}).status == 404


def test_a_long_body_is_refused(fake: StripeFake) -> None:
    key = "Bearer sk_test_1"
    page = fetch(fake, "/v1/refunds", "", Content_Length="9999999999", Authorization=key)
    assert page.status == 413

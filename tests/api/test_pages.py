"""The pages behind the links in e-mails."""

from dataclasses import replace
from urllib.parse import urlencode

import pytest

from chalicelib.platform.errors import Unavailable
from chalicelib.users import verification
from chalicelib.users.email_tokens import Purpose
from chalicelib.wiring import Wiring, using
from tests.api.resources import transfer_token
from tests.bookings.ticket_transfers import give, verified
from tests.client import PASSWORD, Client, Reply
from tests.database_contents import contents
from tests.rows import rows, value
from tests.users.verification_emails import pending_token, token

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def submit(client: Client, path: str, **fields: str) -> Reply:
    return client("POST", path, raw=urlencode(fields).encode(), headers=FORM)


def test_a_pending_address_that_is_taken_meanwhile_gets_a_page(client: Client) -> None:
    ada, change = client.attendee(), {"email": "new@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=ada).status == 200
    sent = pending_token(client, ada, "new@example.com")
    client.account("host", email="New@example.com")

    reply = client("POST", f"/verify-email?token={sent}")

    assert (reply.status, "This address is taken" in reply.text) == (400, True)
    assert client("GET", "/users/me", by=ada).json["email"] == ada.email


@pytest.mark.parametrize("page", ["verify-email", "reset-password"])
def test_opening_a_link_does_not_use_the_token(client: Client, page: Purpose) -> None:
    user = client.attendee()
    link = f"/{page}?token={token(client, page, user)}"

    opened = client("GET", link)

    assert (opened.status, opened.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<form method="post">' in opened.text
    assert submit(client, link, password="another password").status == 200


def test_the_button_verifies_the_address_once(client: Client) -> None:
    user = client.attendee()
    link = f"/verify-email?token={token(client, 'verify-email', user)}"

    assert submit(client, link).status == 200
    assert client("GET", "/users/me", by=user).json["emailVerified"] is True


def test_the_form_sets_a_password_and_revokes_tokens(client: Client) -> None:
    user = client.attendee()
    link = f"/reset-password?token={token(client, 'reset-password', user)}"

    assert submit(client, link, password="a new pass & phrase").status == 200

    assert client("GET", "/users/me", by=user).status == 401
    login = {"email": user.email, "password": "a new pass & phrase"}
    assert client("POST", "/auth/login", login).status == 200


@pytest.mark.parametrize("fields", [{"password": "short"}, {}, {"password": "long enough", "more": "x"}])
def test_a_bad_form_is_a_page_and_changes_nothing(client: Client, fields: dict[str, str]) -> None:
    user = client.attendee()
    link = f"/reset-password?token={token(client, 'reset-password', user)}"

    reply = submit(client, link, **fields)

    assert is_page(reply, 400)
    assert ("8 to 128 characters" in reply.text) == ("short" in fields.values())
    assert client("GET", "/users/me", by=user).status == 200


def test_a_page_accepts_no_json(client: Client) -> None:
    reply = client("POST", "/reset-password?token=x", {"password": "long enough"})

    assert is_page(reply, 415)


PAGES = ["/verify-email", "/reset-password", "/unsubscribe"]
FORM_FIELDS = {"password": "another password"}


def is_page(reply: Reply, status: int) -> bool:
    assert (reply.status, reply.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert reply.text.count("<h1>") == 1
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    return True


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?token=",
        "?token=broken",
        "?token=%00",
        "?token=a&token=b",
        "?token=" + "x" * 5000,
        "?utm_source=x",
    ],
)
def test_a_broken_link_opens_a_page(client: Client, path: str, query: str) -> None:
    assert is_page(client("GET", path + query), 400)
    assert is_page(submit(client, path + query, **FORM_FIELDS), 400)


@pytest.mark.parametrize("page", ["verify-email", "reset-password"])
def test_added_parameters_are_ignored(client: Client, page: Purpose) -> None:
    user = client.attendee()
    link = f"/{page}?utm_source=mail&token={token(client, page, user)}&fbclid=%00&utm_source=2"

    assert is_page(client("GET", link), 200)
    assert is_page(submit(client, link, **FORM_FIELDS), 200)


def test_a_second_click_says_already_verified(client: Client) -> None:
    user = client.attendee()
    link = f"/verify-email?token={token(client, 'verify-email', user)}"
    submit(client, link)

    for again in (submit(client, link), client("GET", link)):
        assert is_page(again, 200)
        assert "already verified" in again.text
    assert client("POST", "/auth/verify-email", {"token": link.partition("token=")[2]}).status == 400


def test_a_link_to_a_former_address_is_not_already_verified(client: Client) -> None:
    user = client.attendee()
    link = f"/verify-email?token={token(client, 'verify-email', user)}"
    submit(client, link)
    rows(client, "UPDATE users SET email = 'elsewhere@example.com'")

    assert is_page(submit(client, link), 400)


def test_a_used_reset_link_opens_a_page(client: Client) -> None:
    link = f"/reset-password?token={token(client, 'reset-password', client.attendee())}"
    submit(client, link, **FORM_FIELDS)

    for again in (submit(client, link, **FORM_FIELDS), client("GET", link)):
        assert is_page(again, 400)


def test_a_page_shows_an_outage_as_a_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Unavailable(retry_after=5)

    monkeypatch.setattr(verification, "verify", fail)

    reply = submit(client, "/verify-email?token=x")

    assert is_page(reply, 503)
    assert reply.headers["retry-after"] == "5"


def test_pages_lead_to_the_front_end(client: Client) -> None:
    settings = replace(client.wiring.settings, front_end_url="https://tickets.example/?a=1&b=2")
    link = f"/verify-email?token={token(client, 'verify-email', client.attendee())}"

    with using(Wiring(settings)):
        reply = submit(client, link)

    assert '<a href="https://tickets.example/?a=1&amp;b=2">' in reply.text


def test_opening_the_link_of_a_ticket_changes_nothing(client: Client) -> None:
    link = f"/claim-ticket?token={transfer_token(client)}"
    before = contents(client)

    opened = client("GET", link)

    assert (opened.status, "<button>Accept the ticket</button>" in opened.text) == (200, True)
    assert contents(client) == before


def test_the_button_claims_the_ticket_once(client: Client) -> None:
    link = f"/claim-ticket?token={transfer_token(client)}"

    assert "The ticket is yours" in submit(client, link).text

    assert value(client, "SELECT count(*) FROM tickets WHERE transferred_at IS NOT NULL") == 1
    for method in ("GET", "POST"):
        again = client(method, link)
        assert (again.status, "This link no longer works" in again.text) == (400, True)


def test_a_page_explains_the_limit_of_tickets(client: Client) -> None:
    given, grace = give(client, quantity=1, max_per_attendee=1), verified(client)
    assert client("POST", "/bookings", given.sale.order(1), by=grace).status == 201
    given.offer(grace.email)

    reply = client("POST", f"/claim-ticket?token={given.token()}")

    assert (reply.status, "You have enough tickets" in reply.text) == (400, True)

"""Rate limits: guesses, registrations and e-mails are bounded, and honest users are not locked out."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from chalicelib.events import change_notices, sale_start
from chalicelib.platform import throttle
from chalicelib.platform.settings import Quota
from chalicelib.wiring import Wiring, using
from tests.client import PASSWORD, Account, Client, Reply, event_body, in_days
from tests.concurrency import run_concurrently
from tests.conftest import Lines
from tests.database_contents import count
from tests.fakes import FakePayments
from tests.rows import executed_statements, rows, value
from tests.users.verification_emails import issue, take_requests, token

SMALL: dict[str, Any] = {
    "login_failures": Quota(3, 900),
    "login_failures_per_client": Quota(6, 900),
    "login_failures_per_address": Quota(9, 3600),
    "password_failures_per_account": Quota(3, 900),
    "registrations_per_client": Quota(4, 3600),
    "account_emails_per_address": Quota(4, 3600),
    "publications_per_host": Quota(3, 86_400),
    "event_changes_per_host": Quota(2, 86_400),
    "wrong_codes_per_account": Quota(3, 900),
    "wrong_codes_per_client": Quota(6, 900),
    "box_office_emails_per_host": Quota(4, 86_400),
    "box_office_emails_per_address": Quota(2, 86_400),
}


@pytest.fixture
def limited(wiring: Wiring) -> Iterator[Client]:
    """A client of a deployment with small limits."""
    settings = replace(wiring.settings, rate_limits=True, **SMALL)
    with using(Wiring(settings, payments=FakePayments())) as limited:
        yield Client(limited)


def at(client: Client, number: int) -> Client:
    """The same service, called from another address."""
    return replace(client, address=f"192.0.2.{number}")


def log_in(client: Client, account: Account | str, password: str = PASSWORD) -> Reply:
    email = account if isinstance(account, str) else account.email
    return client("POST", "/auth/login", {"email": email, "password": password})


def fail(client: Client, account: Account | str, times: int = 1) -> list[int]:
    return [log_in(client, account, "a wrong guess").status for _ in range(times)]


def registration(**members: str) -> dict[str, str]:
    return {"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "role": "attendee"} | members


def register(client: Client, email: str) -> Reply:
    return client("POST", "/auth/register", registration(email=email))


def forgot(client: Client, email: str) -> Reply:
    return client("POST", "/auth/forgot-password", {"email": email})


def change_password(client: Client, account: Account, current: str) -> Reply:
    body = {"password": "another good one", "currentPassword": current}
    return client("PATCH", "/users/me", body, by=account)


def test_refused_requests_are_counted_by_limit(limited: Client, log: Lines) -> None:
    ada = limited.attendee()

    fail(limited, ada, 4)

    *_, refused = log()
    assert (refused["status"], refused["RateLimited"], refused["limit"]) == (429, 1, "login_failures")
    assert refused["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["limit"]]


def test_login_failures_are_limited_per_address_and_client(limited: Client) -> None:
    ada = limited.attendee()

    assert fail(limited, ada, 5) == [401, 401, 401, 429, 429]

    assert log_in(limited, ada).problem == "too-many-requests"
    assert log_in(limited, limited.attendee()).status == 200
    assert log_in(at(limited, 1), ada).status == 200


def test_an_unknown_address_is_limited_like_a_known_one(limited: Client) -> None:
    assert fail(limited, "Nobody@example.com", 2) == [401, 401]
    assert fail(limited, " NOBODY@example.com", 2) == [401, 429]


def test_concurrent_guesses_are_counted(limited: Client) -> None:
    ada = limited.attendee()

    statuses = run_concurrently([partial(fail, limited, ada)] * 12)

    assert sorted(status for [status] in statuses) == [401] * 3 + [429] * 9


def test_concurrent_checks_do_not_deadlock(wiring: Wiring) -> None:
    with using(Wiring(replace(wiring.settings, rate_limits=True))) as limited:
        client = Client(limited)
        accounts = [client.attendee(), client.attendee()]
        passwords = [PASSWORD, "a wrong guess"]

        replies = run_concurrently(
            [partial(log_in, client, accounts[n % 2], passwords[n // 2 % 2]) for n in range(16)]
        )

        assert sorted(reply.status for reply in replies) == [200] * 8 + [401] * 8
        assert value(client, "SELECT max(hits) FROM throttles") == 16


def test_successful_logins_are_not_failures(limited: Client) -> None:
    ada = limited.attendee()

    assert [log_in(limited, ada).status for _ in range(8)] == [200] * 8
    assert fail(limited, ada, 4) == [401, 401, 401, 429]


def test_login_failures_are_limited_per_client(limited: Client) -> None:
    statuses = [status for n in range(8) for status in fail(limited, f"user{n}@example.com")]

    assert statuses == [401] * 6 + [429] * 2
    assert fail(at(limited, 1), "user7@example.com") == [401]


def test_a_refused_login_counts_nowhere(limited: Client) -> None:
    ada = limited.attendee()
    assert fail(limited, ada, 20)[-1] == 429

    for client in (at(limited, 1), at(limited, 2)):
        assert fail(client, ada, 3) == [401] * 3
    assert log_in(at(limited, 3), ada).problem == "too-many-requests"


def test_a_password_reset_ends_a_lock_by_many_clients(limited: Client) -> None:
    ada = limited.attendee()
    for number in range(3):
        fail(at(limited, number), ada, 3)
    assert log_in(at(limited, 9), ada).status == 429

    body = {"token": token(limited, "reset-password", ada), "password": "a new beginning"}
    assert limited("POST", "/auth/reset-password", body).status == 204

    assert log_in(at(limited, 9), ada, "a new beginning").status == 200


def test_a_limit_ends_with_its_window(limited: Client) -> None:
    ada = limited.attendee()
    fail(limited, ada, 4)

    rows(limited, "UPDATE throttles SET expires_at = now() - interval '1 s'")

    assert fail(limited, ada, 4) == [401, 401, 401, 429]


def test_wrong_current_passwords_are_limited_per_account(limited: Client) -> None:
    ada, grace = limited.attendees(2)

    statuses = [change_password(limited, ada, "a wrong guess").status for _ in range(5)]

    assert statuses == [403, 403, 403, 429, 429]
    assert change_password(at(limited, 1), ada, PASSWORD).problem == "too-many-requests"
    assert change_password(limited, grace, PASSWORD).status == 200


def test_registrations_are_limited_per_client(limited: Client) -> None:
    statuses = [register(limited, f"user{n}@example.com").status for n in range(6)]

    assert statuses == [201] * 4 + [429] * 2
    assert register(at(limited, 1), "user5@example.com").status == 201


def test_registering_and_deleting_sends_few_emails(limited: Client) -> None:
    statuses, sent = [], []
    for number in range(5):
        reply = register(at(limited, number), "victim@example.com")
        statuses.append(reply.status)
        sent += take_requests(limited)
        if reply.status == 201:
            assert limited("DELETE", "/users/me", by=reply.json["token"]).status == 204

    assert statuses == [201] * 4 + [429]
    assert len(sent) == 4


def test_passing_an_address_round_sends_few_emails(limited: Client) -> None:
    statuses, sent = [], []
    for number, account in enumerate(limited.attendees(6)):
        client = at(limited, number)
        statuses.append(
            client(
                "PATCH", "/users/me", {"email": "victim@example.com", "currentPassword": PASSWORD}, by=account
            ).status
        )
        client(
            "PATCH",
            "/users/me",
            {"email": f"own{number}@example.com", "currentPassword": PASSWORD},
            by=account,
        )
        sent += take_requests(limited)

    assert statuses == [200] * 4 + [429] * 2
    assert [body["email"] for _, body in sent].count("victim@example.com") == 4


@pytest.mark.parametrize("spelling", ["Victim@Example.com", "victim+1@example.com"])
def test_spellings_of_an_address_share_its_limit(limited: Client, spelling: str) -> None:
    assert [forgot(limited, "victim@example.com").status for _ in range(4)] == [202] * 4

    assert forgot(at(limited, 1), spelling).problem == "too-many-requests"
    assert forgot(limited, "other@example.com").status == 202


def test_resent_verifications_are_limited_per_address(limited: Client) -> None:
    ada = limited.attendee()

    statuses = [limited("POST", "/auth/verify-email/resend", by=ada).status for _ in range(6)]

    assert statuses == [202] * 4 + [429] * 2


def test_a_taken_address_uses_up_no_emails(limited: Client) -> None:
    ada = limited.attendee()
    for number in range(6):
        assert register(at(limited, number), ada.email).problem == "email-taken"

    assert forgot(limited, ada.email).status == 202


def test_an_unchanged_address_uses_up_no_emails(limited: Client) -> None:
    ada = limited.attendee()
    body = {"name": "Ada", "email": ada.email}

    assert [limited("PUT", "/users/me", body, by=ada).status for _ in range(6)] == [200] * 6


def test_cooldown_outlives_the_account(client: Client) -> None:
    now = datetime.now(UTC)
    sent = []
    for second in (0, 30, 61):
        account = client.account("attendee", email="victim@example.com")
        sent.append(issue(client, "verify-email", account.email, at=now + timedelta(seconds=second)))
        client("DELETE", "/users/me", by=account)

    assert [issued is not None for issued in sent] == [True, False, True]


def publish(client: Client, host: Account, **members: Any) -> Reply:
    return client("POST", "/events", event_body(**members), by=host)


def change_event(client: Client, host: Account, event_id: str, **members: Any) -> Reply:
    return client("PATCH", f"/events/{event_id}", members, by=host)


def test_publications_are_limited_per_host(limited: Client) -> None:
    host = limited.host()

    statuses = [publish(limited, host).status for _ in range(5)]

    assert statuses == [201] * 3 + [429] * 2
    assert count(limited, "events") == 3
    assert publish(at(limited, 1), host).problem == "too-many-requests"
    assert publish(limited, limited.host()).status == 201


def test_drafts_are_limited_when_they_are_published(limited: Client) -> None:
    host = limited.host()
    drafts = [publish(limited, host, status="draft").json["eventId"] for _ in range(5)]
    for draft in drafts:
        assert change_event(limited, host, draft, title="Blues in the yard").status == 200

    replace_status = event_body(status="published")
    statuses = [
        change_event(limited, host, drafts[0], status="published").status,
        limited("PUT", f"/events/{drafts[1]}", replace_status, by=host).status,
        change_event(limited, host, drafts[2], status="published").status,
        change_event(limited, host, drafts[3], status="published").status,
        limited("PUT", f"/events/{drafts[4]}", replace_status, by=host).status,
    ]

    assert statuses == [200] * 3 + [429] * 2
    assert limited("GET", f"/events/{drafts[3]}", by=host).json["status"] == "draft"
    assert value(limited, "SELECT count(*) FROM outbox WHERE type = 'event-published'") == 3


def test_a_replayed_publication_uses_up_no_limit(limited: Client) -> None:
    host, body = limited.host(), event_body()

    replies = [
        limited("POST", "/events", body, by=host, headers={"Idempotency-Key": "first"}) for _ in range(5)
    ]

    assert [reply.status for reply in replies] == [201] * 5
    assert [publish(limited, host).status for _ in range(3)] == [201, 201, 429]


def test_a_refused_publication_uses_up_no_limit(limited: Client) -> None:
    host = limited.host()
    for _ in range(5):
        assert publish(limited, host, startDateTime=timedelta(days=-1)).status == 400

    assert publish(limited, host).status == 201


def test_changes_that_notify_are_limited_per_host(limited: Client) -> None:
    host = limited.host()
    events = [publish(limited, host).json["eventId"] for _ in range(3)]

    replies = [change_event(limited, host, event, location="Hall 1") for event in events]

    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].problem == "too-many-requests"
    assert "location" not in limited("GET", f"/events/{events[2]}").json
    other = limited.host()
    assert change_event(limited, other, publish(limited, other).json["eventId"], title="Blues").status == 200


def test_changes_that_share_a_notice_count_once(limited: Client) -> None:
    host = limited.host()
    event = publish(limited, host).json["eventId"]

    statuses = []
    for number in range(3):
        statuses += [change_event(limited, host, event, location=f"Hall {number}-{n}").status for n in "abc"]
        change_notices.announce(limited.wiring.database, datetime.now(UTC) + timedelta(hours=number + 1))

    assert statuses == [200] * 6 + [429] * 3


def test_changes_without_a_notice_are_not_limited(limited: Client) -> None:
    host = limited.host()
    event = publish(limited, host).json["eventId"]

    replies = [change_event(limited, host, event, capacity=200 + n, description=str(n)) for n in range(5)]

    assert [reply.status for reply in replies] == [200] * 5


def test_sales_put_off_again_and_again_are_limited(limited: Client) -> None:
    host = limited.host()
    event = publish(limited, host, saleStartsAt=timedelta(seconds=30)).json["eventId"]

    statuses = []
    for number in range(1, 5):
        later = datetime.now(UTC) + timedelta(hours=number)
        sale_start.announce(limited.wiring.database, later)
        soon = (later + timedelta(minutes=1)).isoformat()
        statuses.append(change_event(limited, host, event, saleStartsAt=soon).status)
        statuses.append(change_event(limited, host, event, saleStartsAt=soon, saleEndsAt=in_days(20)).status)

    assert statuses == [200] * 4 + [429] * 4
    assert value(limited, "SELECT count(*) FROM outbox WHERE type = 'sale-started'") == 3


def test_a_season_can_be_published_at_once(wiring: Wiring) -> None:
    with using(Wiring(replace(wiring.settings, rate_limits=True))) as limited:
        client = Client(limited)
        host = client.host()

        events = [publish(client, host).json["eventId"] for _ in range(100)]

        assert {change_event(client, host, event, location="Hall 1").status for event in events} == {200}


def test_password_work_is_limited_per_client(wiring: Wiring) -> None:
    settings = replace(wiring.settings, rate_limits=True, password_hashes_per_client=Quota(2, 60))
    with using(Wiring(settings)) as limited:
        client = Client(limited)
        ada = client.attendee()

        assert [log_in(client, ada).status for _ in range(3)] == [200, 200, 429]
        assert change_password(client, ada, PASSWORD).status == 429
        assert register(client, "new@example.com").status == 429
        assert log_in(at(client, 1), ada).status == 200


@pytest.mark.parametrize("path", ["/auth/reset-password", "/reset-password?token=invented"])
def test_an_invented_reset_token_is_refused_before_hashing(limited: Client, path: str) -> None:
    if path == "/auth/reset-password":
        reply = limited("POST", path, {"token": "invented", "password": "a new beginning"})
    else:
        form = {"content-type": "application/x-www-form-urlencoded"}
        reply = limited("POST", path, raw=b"password=a+new+beginning", headers=form)

    assert reply.status == 400
    assert count(limited, "throttles") == 0


def test_a_refusal_says_when_to_retry(limited: Client) -> None:
    fail(limited, "nobody@example.com", 3)

    refused = log_in(limited, "nobody@example.com")

    assert 1 <= int(refused.headers["retry-after"]) <= 900
    assert '"login-failures";q=3;w=900' in refused.headers["ratelimit-policy"].split(", ")
    assert '"login-failures";r=0;t=' in refused.headers["ratelimit"]
    assert '"login-failures-per-client";r=3;t=' in refused.headers["ratelimit"]


def test_responses_describe_what_is_left(limited: Client) -> None:
    ada = limited.attendee()

    failed, succeeded = log_in(limited, ada, "a wrong guess"), log_in(limited, ada)

    assert '"login-failures";r=2;t=' in failed.headers["ratelimit"]
    assert '"login-failures";r=2;t=' in succeeded.headers["ratelimit"]
    assert "ratelimit" not in limited("GET", "/events").headers


def test_limited_routes_are_documented(limited: Client) -> None:
    paths = limited("GET", "/openapi.json").json["paths"]

    documented = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "RateLimit" in operation["responses"]["429"]["headers"]
    }

    assert documented == {
        "POST /auth/register",
        "POST /auth/login",
        "POST /auth/forgot-password",
        "POST /auth/reset-password",
        "POST /auth/verify-email/resend",
        "PUT /users/{userId}",
        "PATCH /users/{userId}",
        "POST /events",
        "PUT /events/{eventId}",
        "PATCH /events/{eventId}",
        "POST /events/{eventId}/box-office",
        "POST /bookings",
        "POST /bookings/quote",
        "POST /tickets/{ticketId}/transfer",
        "POST /tickets/{ticketId}/reissue",
        "POST /reset-password",
    }


def test_a_client_cannot_choose_its_address(limited: Client) -> None:
    forged = [{"X-Forwarded-For": f"198.51.100.{n}", "Forwarded": f"for=198.51.100.{n}"} for n in range(5)]
    body = {"email": "nobody@example.com", "password": "a wrong guess"}

    statuses = [limited("POST", "/auth/login", body, headers=headers).status for headers in forged]

    assert statuses == [401, 401, 401, 429, 429]


def test_no_address_is_stored_in_clear(limited: Client) -> None:
    fail(limited, "ada@example.com")
    forgot(limited, "ada@example.com")

    assert "ada" not in value(limited, "SELECT string_agg(t::text, ' ') FROM throttles t")


def test_many_requests_of_one_client_are_few_rows(limited: Client) -> None:
    for number in range(20):
        fail(limited, f"user{number}@example.com")

    before = count(limited, "throttles")
    fail(limited, "one-more@example.com", 5)

    assert count(limited, "throttles") == before


def test_windows_that_are_over_are_purged(limited: Client) -> None:
    fail(limited, "ada@example.com")
    now = datetime.now(UTC)

    assert throttle.purge(limited.wiring.database, now + timedelta(seconds=1000)) == 3
    assert throttle.purge(limited.wiring.database, now + timedelta(seconds=4000)) == 1
    assert count(limited, "throttles") == 0


@pytest.fixture
def party(limited: Client) -> str:
    """The id of an event with the code RIGHT."""
    host = limited.host()
    event_id = str(limited.event(host, price=2500)["eventId"])
    code = {"code": "RIGHT", "kind": "percent", "value": 100}
    assert limited("POST", f"/events/{event_id}/codes", code, by=host).status == 201
    return event_id


def try_code(client: Client, attendee: Account, event_id: str, code: str, path: str = "/quote") -> Reply:
    return client("POST", f"/bookings{path}", {"eventId": event_id, "code": code}, by=attendee)


@pytest.mark.parametrize("path", ["", "/quote"])
def test_wrong_codes_are_limited_per_account(limited: Client, party: str, path: str) -> None:
    ada = limited.attendee()

    replies = [try_code(limited, ada, party, f"GUESS{n}", path) for n in range(5)]

    problems = [reply.problem for reply in replies]
    assert problems == ["code-invalid"] * 3 + ["too-many-requests"] * 2
    assert '"wrong-codes-per-account";r=0;t=' in replies[3].headers["ratelimit"]
    assert try_code(at(limited, 1), ada, party, "RIGHT", path).problem == "too-many-requests"
    assert limited.book(ada, party).status == 201
    assert try_code(limited, limited.attendee(), party, "RIGHT", path).status in {200, 201}


def test_wrong_codes_are_limited_per_client(limited: Client, party: str) -> None:
    attendees = limited.attendees(4)

    statuses = [try_code(limited, attendees[n // 2], party, "GUESS").status for n in range(8)]

    assert statuses == [400] * 6 + [429] * 2
    assert try_code(at(limited, 1), attendees[3], party, "RIGHT").status == 200


def test_concurrent_guesses_of_codes_are_counted(limited: Client, party: str) -> None:
    ada = limited.attendee()

    guesses = [partial(try_code, limited, ada, party, f"GUESS{n}") for n in range(12)]
    statuses = [reply.status for reply in run_concurrently(guesses)]

    assert sorted(statuses) == [400] * 3 + [429] * 9


def test_only_wrong_codes_use_up_the_limit_of_codes(limited: Client, party: str) -> None:
    ada = limited.attendee()
    assert [try_code(limited, ada, party, "RIGHT").status for _ in range(8)] == [200] * 8
    assert [try_code(limited, ada, ada.user_id, "GUESS").status for _ in range(8)] == [404] * 8
    assert [try_code(limited, ada, party, "not a code").status for _ in range(8)] == [400] * 8
    assert try_code(limited, ada, party, "RIGHT", path="").status == 201
    assert [try_code(limited, ada, party, "RIGHT", path="").status for _ in range(8)] == [409] * 8

    assert value(limited, "SELECT sum(hits) FROM throttles") == 1  # the publication of the event


def test_a_booking_checks_no_limit(limited: Client) -> None:
    attendee, event = limited.attendee(), limited.event(limited.host())
    before = count(limited, "throttles")

    with executed_statements(limited) as executed:
        assert limited.book(attendee, event["eventId"]).status == 201

    assert not any("throttles" in statement for statement in executed)
    assert count(limited, "throttles") == before


def test_limits_can_be_off(client: Client) -> None:
    assert fail(client, "nobody@example.com", 12) == [401] * 12
    assert count(client, "throttles") == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("not an address", "unknown", False),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_subnet(one: str, other: str, *, same: bool) -> None:
    assert (throttle.client_of(one) == throttle.client_of(other)) is same


@pytest.mark.parametrize("password", ["password1", "PASSWORD1", "12345678", " iloveyou ", "qwertyuiop"])
def test_common_passwords_are_refused(client: Client, password: str) -> None:
    ada = client.attendee()
    sent = token(client, "reset-password", ada)
    change = {"password": password, "currentPassword": PASSWORD}
    for reply in (
        client("POST", "/auth/register", registration(password=password)),
        client("PATCH", "/users/me", change, by=ada),
        client("POST", "/auth/reset-password", {"token": sent, "password": password}),
    ):
        assert (reply.status, reply.faulty_fields) == (400, {"password"})

    form = {"content-type": "application/x-www-form-urlencoded"}
    page = client("POST", f"/reset-password?token={sent}", raw=f"password={password}".encode(), headers=form)
    assert (page.status, "choose another password" in page.text) == (400, True)
    assert log_in(client, ada).status == 200


def sell(client: Client, host: Account, event_id: str, email: str, name: str = "Ada") -> int:
    body = {"name": name, "email": email, "paidBy": "cash"}
    return client("POST", f"/events/{event_id}/box-office", body, by=host).status


def test_emails_to_customers_are_limited_per_host_and_per_mailbox(limited: Client) -> None:
    limited.verified = True
    host, other = limited.host(), limited.host()
    event_id, another = (limited.event(one)["eventId"] for one in (host, other))

    assert [sell(limited, host, event_id, f"ada+{n}@example.com") for n in range(3)] == [201, 201, 429]
    assert sell(limited, other, another, "ADA@example.com") == 429
    assert [sell(limited, host, event_id, f"{n}@example.com") for n in range(3)] == [201, 201, 429]
    assert sell(limited, other, another, "5@example.com") == 201
    body = {"name": "Ada", "paidBy": "cash"}
    assert limited("POST", f"/events/{event_id}/box-office", body, by=host).status == 201


def test_a_repeated_sale_uses_up_one_email(limited: Client) -> None:
    limited.verified = True
    host = limited.host()
    path = f"/events/{limited.event(host)['eventId']}/box-office"
    body = {"name": "Ada", "email": "ada@example.com", "paidBy": "cash"}

    replies = [limited("POST", path, body, by=host, headers={"Idempotency-Key": "1"}) for _ in range(5)]

    assert {reply.status for reply in replies} == {201}
    assert '"box-office-emails-per-address";r=1;t=' in replies[-1].headers["ratelimit"]


def test_a_refused_sale_uses_up_no_email(limited: Client) -> None:
    limited.verified = True
    host = limited.host()
    full, event_id = (limited.event(host, capacity=capacity)["eventId"] for capacity in (1, 9))
    limited.book(limited.attendee(), full)

    assert [sell(limited, host, full, "ada@example.com") for _ in range(5)] == [409] * 5
    assert sell(limited, host, event_id, "ada@example.com") == 201

"""The log has one line of JSON for each request, with the user and the outcome and without secrets."""

import io
import json
import logging
import threading
from collections.abc import Callable
from typing import NoReturn
from uuid import UUID

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

import app
from chalicelib.platform.database.engine import Database
from chalicelib.platform.observability import logs, metrics
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.lambda_runner import Context
from infra.local.postgres import Postgres
from tests.client import PASSWORD, Client, event_body
from tests.conftest import SECRET, Lines
from tests.rows import rows

AN_ID = "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"


class BrokenDatabase(Database):
    """A database that fails with an unexpected error."""

    def transaction(self, _limit_ms: int | None = None) -> NoReturn:
        raise RuntimeError("the cause")


def test_the_log_goes_to_standard_output(
    client: Client, capsys: pytest.CaptureFixture[str], set_up: Callable[..., None]
) -> None:
    set_up()

    client("GET", "/health")

    assert json.loads(capsys.readouterr().out)["route"] == "/health"


def test_each_request_is_one_line(client: Client, log: Lines) -> None:
    host = client.host()
    event = client.event(host)
    log()

    reply = client("GET", f"/events/{event['eventId']}?x=1", by=host)
    [line] = log()

    assert line | {"time": "", "ms": 0} == {
        "time": "",
        "level": "info",
        "message": "request",
        "method": "GET",
        "route": "/events/{eventId}",
        "status": 200,
        "ms": 0,
        "userId": host.user_id,
        "requestId": reply.headers["x-request-id"],
        "eventId": event["eventId"],
    }
    assert line["ms"] > 0
    assert line["time"].endswith("+00:00")


def test_a_line_has_the_trace_id_of_lambda(
    client: Client, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-65f0-2b7c")

    client("GET", "/health")
    metrics.put("DomainEventsPublished", 2, "Count")

    assert [line["traceId"] for line in log()] == ["Root=1-65f0-2b7c"] * 2


def test_a_request_has_the_ids_of_client_and_gateway(client: Client, log: Lines) -> None:
    client("GET", "/health")
    client("GET", "/health", headers={"X-Request-Id": "of-the-client"})
    client("POST", "/health", headers={"X-Request-Id": "of-the-client"})  # Chalice answers

    own, *others = log()

    assert "gatewayRequestId" not in own
    assert [line["status"] for line in others] == [200, 405]
    for line in others:
        assert line["requestId"] == "of-the-client"
        assert UUID(line["gatewayRequestId"]).version == 4


def test_requests_about_a_booking_name_it_and_its_event(client: Client, log: Lines) -> None:
    event, attendee = client.event(client.host()), client.attendee()
    log()

    booking = client.book(attendee, event["eventId"], **{"Idempotency-Key": "twice"}).json
    client.book(attendee, event["eventId"], **{"Idempotency-Key": "twice"})
    client("GET", f"/bookings/{booking['bookingId']}", by=attendee)
    client("GET", "/bookings/not-an-id", by=attendee)
    booked, replayed, got, malformed = log()

    for line in (booked, replayed):
        assert (line["bookingId"], line["eventId"]) == (booking["bookingId"], event["eventId"])
    assert got["bookingId"] == booking["bookingId"]
    assert "bookingId" not in malformed


def test_a_lost_connection_is_one_line(client: Client, log: Lines, server: Postgres, owner_url: str) -> None:
    client("GET", "/events")
    log()
    database = make_url(owner_url).database
    postgres.administer(
        server,
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",  # noqa: S608
    )

    assert client("GET", "/events").status == 503
    assert client("GET", "/events").status == 200

    assert [line["message"] for line in log()] == ["unavailable", "request", "request"]


def test_what_libraries_log_is_one_line_of_json(log: Lines) -> None:
    try:
        fail("first\nthen ada@example.com")
    except ValueError:
        logging.getLogger("a.library").exception("It failed")
    logging.getLogger("a.library").setLevel(logging.INFO)
    logging.getLogger("a.library").info("quiet")

    [failed] = log()

    assert (failed["level"], failed["logger"], failed["message"]) == ("error", "a.library", "It failed")
    assert failed["error"] == "ValueError: first\nthen [address] < RuntimeError: first\nthen [address]"


def test_a_failing_function_is_logged_with_the_id_of_lambda(wiring: Wiring, log: Lines) -> None:
    wiring.database = BrokenDatabase(wiring.settings)
    context = Context("notify_hosts", 60, threading.Event())
    scheduled = dict.fromkeys(("version", "id", "detail-type", "source", "account", "time", "region"), "")

    with pytest.raises(RuntimeError):
        app.app.handler_map["notify_hosts"]({**scheduled, "resources": [], "detail": {}}, context)
    [line] = log()

    assert (line["level"], line["message"]) == ("error", "function failed")
    assert line["lambdaRequestId"] == context.aws_request_id
    assert "the cause" in line["error"]


def test_a_failing_log_does_not_fail_requests(client: Client, set_up: Callable[..., None]) -> None:
    closed = io.StringIO()
    closed.close()
    set_up(closed)

    assert client("GET", "/health").status == 200


def test_requests_are_not_logged_at_level_warning(client: Client, log: Lines) -> None:
    logging.getLogger("event-booking").setLevel(logging.WARNING)

    client("GET", "/health")

    assert log() == []


def test_the_line_of_a_booking_has_its_metrics(client: Client, log: Lines) -> None:
    event = client.event(client.host(), capacity=1)
    attendees = client.attendee(), client.attendee()
    log()

    for attendee in attendees:
        client.book(attendee, event["eventId"])
    booked, refused = log()

    assert (booked["message"], booked["status"], booked["outcome"]) == ("request", 201, "booked")
    assert (refused["message"], refused["status"], refused["outcome"]) == ("request", 409, "sold-out")
    [declared] = booked["_aws"]["CloudWatchMetrics"]
    assert declared["Dimensions"] == [["outcome"]]
    assert {metric["Name"] for metric in declared["Metrics"]} == {"Bookings", "BookingLatency"}
    assert booked["Bookings"] == 1
    assert booked["BookingLatency"] > 0


def test_further_metrics_have_their_own_lines(log: Lines) -> None:
    with metrics.attach_to_request_log() as carried:
        metrics.put("Refunds", 1, "Count", outcome="refunded")
        metrics.put("Refunds", 1, "Count", outcome="failed")
    metrics.put("DomainEventsPublished", 2, "Count")

    lines = log()

    assert (carried["Refunds"], carried["outcome"]) == (1, "refunded")
    assert [line["message"] for line in lines] == ["metric", "metric"]
    assert (lines[0]["outcome"], lines[1]["DomainEventsPublished"]) == ("failed", 2)


def test_invalid_unicode_is_logged() -> None:
    record = logging.makeLogRecord({"msg": "It failed", "members": {"messageId": "\ud800"}})

    line = logs.FORMATTER.format(record)

    assert json.loads(line)["messageId"] == "\ud800"
    assert line.isascii()


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/events", "/events", 200),
        ("GET", "/users", "/users", 401),
        ("GET", "/events?limit=0", "/events", 400),
        ("GET", f"/events/{AN_ID}", "/events/{eventId}", 404),
        ("POST", f"/events/{AN_ID}", "/events/{eventId}", 405),
        ("GET", "/health", "/health", 200),
        ("GET", "/docs", "/docs", 200),
    ],
)
def test_each_outcome_is_logged_with_its_request_id(
    client: Client, log: Lines, method: str, path: str, route: str, status: int
) -> None:
    for headers in ({}, {"X-Request-Id": "my-own-id"}):
        reply = client(method, path, headers=headers)
        [line] = log()

        assert (line["method"], line["status"], line["userId"]) == (method, status, None)
        assert line["route"] == route
        assert line["requestId"] == reply.headers["x-request-id"]


def test_no_secrets_or_personal_data_are_logged(client: Client, log: Lines) -> None:
    registration = {
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "password": PASSWORD,
        "role": "host",
    }
    login = {"email": "ada@example.com", "password": PASSWORD}
    key = {"Idempotency-Key": "the-key-of-a-client"}

    token = client("POST", "/auth/register", registration, headers=key).json["token"]
    client("POST", "/auth/register", registration)
    client("POST", "/auth/login", login)
    client("POST", "/auth/login", login | {"password": "a wrong password"})
    client("PATCH", "/users/me", {"password": "a new password", "currentPassword": PASSWORD}, by=token)
    client("GET", "/users?q=lovelace", by=client.host())
    client("GET", "/users/me", by=token)
    client("POST", "/events", event_body(title=5), by=client.host("Ada Lovelace"))
    lines = log()

    assert len(lines) == 8
    for secret in (
        "Lovelace",
        "lovelace",
        "ada@",
        "password",
        "the-key",
        token,
        token.split(".")[2],
        PASSWORD,
    ):
        assert secret not in json.dumps(lines)


def test_a_lost_database_is_logged_in_a_short_line_without_its_password(log: Lines) -> None:
    url = "postgresql+pg8000://somebody:hunter2@127.0.0.1:9/none"
    with using(Wiring(Settings(database_url=url, jwt_secret=SECRET))) as wiring:
        reply = Client(wiring)("GET", "/events")
    reason, request = log()

    assert (reply.status, request["status"]) == (503, 503)
    assert (reason["level"], reason["requestId"]) == ("error", request["requestId"])
    assert "Connection refused" in reason["error"]
    assert len(json.dumps(reason)) <= 1024
    assert "hunter2" not in json.dumps(reason)


def test_a_server_error_is_logged_and_not_sent(client: Client, log: Lines) -> None:
    wiring = Wiring(client.wiring.settings)
    wiring.database = BrokenDatabase(client.wiring.settings)
    with using(wiring):
        reply = Client(wiring)("GET", "/events")
    fault, request = log()

    assert (reply.status, reply.problem) == (500, "fault")
    assert "the cause" not in reply.text
    assert (fault["level"], fault["requestId"]) == ("error", reply.headers["x-request-id"])
    assert "RuntimeError: the cause" in fault["error"]
    assert (request["status"], request["requestId"]) == (500, reply.headers["x-request-id"])


def test_an_error_that_is_its_own_cause_is_logged(log: Lines) -> None:
    outage, error = OSError("reset"), RuntimeError("no database")
    outage.__cause__, error.__cause__ = error, outage

    logs.failure("unavailable", error)

    [line] = log()
    assert line["error"] == "RuntimeError: no database < OSError: reset"


def fail(reason: str) -> None:
    raise ValueError(reason) from RuntimeError(reason)


@pytest.mark.parametrize(
    "address",
    [
        *("ada@example.com", "Ada.Lovelace+tag@sub.example.com", "o'brien@example.com", "a=b@example.com"),
        *('"Ada Lovelace"@example.com', "ädä@bücher.example", "ada@[192.0.2.1]", "=?utf-8?q?x?=@example.com"),
    ],
)
@pytest.mark.parametrize(
    "reason",
    [
        "Email address is not verified. The following identities failed the check in region X: {}",
        "Illegal address <{}>, try again",
        "Key (lower(email))=({}) already exists.",
        "No such customer: '{}'; no such receipt_email: {}",
    ],
)
def test_no_line_has_an_email_address(log: Lines, reason: str, address: str) -> None:
    reason = reason.format(*[address] * 2)
    try:
        fail(reason)
    except ValueError as error:
        logs.failure("failed", error)
        logs.exception(reason)
    logs.warning("failed", reason=reason, error=reason)

    lines = log()

    assert len(lines) == 3
    for word in ("ada", "Lovelace", "brien", "a=b", "ädä", "?x?"):
        if word in address:
            assert word not in json.dumps(lines, ensure_ascii=False)
    assert "ValueError" in lines[0]["error"]
    assert "in test_no_line_has_an_email_address" in lines[1]["error"]


def test_an_error_of_the_database_has_no_values_of_rows(client: Client, log: Lines) -> None:
    client.host("Ada Lovelace")
    log()
    try:
        rows(client, "UPDATE users SET role = :role", role="guest")
    except DBAPIError:
        logs.exception("failed")
    [line] = log()

    assert "ck_users_role" in line["error"]
    assert "Lovelace" not in line["error"]


def test_the_log_of_the_server_has_no_values(client: Client, server: Postgres) -> None:
    email = client.host("Ada Lovelace").email
    copy = """
        INSERT INTO users (user_id, role, name, email, created_at, updated_at)
        SELECT uuidv7(), role, name, {}, now(), now() FROM users
    """
    statements: dict[str, dict[str, str]] = {
        copy.format(f"'{email}'"): {},
        copy.format("CAST(:email AS text)"): {"email": email},
        f"UPDATE users SET role = '{email}'": {},  # noqa: S608 (an address of this test)
        f"SELECT '{email}' FROM nowhere": {},  # noqa: S608 (the same)
    }
    for statement, values in statements.items():
        with pytest.raises(DBAPIError):
            rows(client, statement, **values)
    written = server.log.read_text()

    for reason in ("uq_users_email", "ck_users_role", "nowhere"):
        assert reason in written
    for private in (email, "Lovelace"):
        assert private not in written

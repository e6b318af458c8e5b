"""API Gateway events as the Lambda function receives them, and access tokens."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from bench import database
from chalicelib.platform.security import Caller, Role, Tokens

REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
_HEADERS = {
    "accept": "application/json",
    "host": "booking.example.com",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "x-forwarded-for": "192.0.2.7",
}


def request(
    method: str, route: str, *, query: str = "", token: str | None = None, body: str | None = None
) -> dict[str, Any]:
    headers = dict(_HEADERS)
    if body is not None:
        headers["content-type"] = "application/json"
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {
        "requestContext": {
            "httpMethod": method,
            "resourcePath": route,
            "path": route,
            "requestId": REQUEST_ID,
            "identity": {"sourceIp": "192.0.2.7"},
        },
        "headers": headers,
        "pathParameters": None,
        "multiValueQueryStringParameters": parse_qs(query) or None,
        "stageVariables": None,
        "body": body,
        "isBase64Encoded": False,
    }


def booking_request(token: str, event_id: str, tickets: int = 1) -> dict[str, Any]:
    """Order a ticket of an event's only type, or several tickets, half of them of each of its two types."""
    body: dict[str, Any] = {"eventId": event_id}
    if tickets > 1:
        body["items"] = [
            {"ticketTypeId": type_id, "quantity": tickets // 2} for type_id in database.type_ids(event_id)
        ]
    return request("POST", "/bookings", token=token, body=json.dumps(body, separators=(",", ":")))


def token_of(tokens: Tokens, user_id: str, role: Role = "attendee") -> str:
    return tokens.issue(Caller(UUID(user_id), role, 1), datetime.now(UTC))


def next_query(response: dict[str, Any]) -> str:
    """Return the query of the next page, from the Link header."""
    headers = {name.lower(): value for name, value in response["headers"].items()}
    links = dict(reversed(link.split("; rel=")) for link in headers["link"].split(", "))
    return str(urlsplit(links['"next"'].strip("<>")).query)

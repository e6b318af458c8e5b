"""Requests as API Gateway hands them to the function, and the tokens that they come with."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from chalicelib.platform.security import Caller, Role, Tokens


def request(
    method: str, route: str, *, query: str = "", token: str | None = None, body: str | None = None
) -> dict[str, Any]:
    headers = {
        "accept": "application/json",
        "host": "booking.example.com",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "x-forwarded-for": "192.0.2.7",
    }
    if body is not None:
        headers["content-type"] = "application/json"
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {
        "requestContext": {
            "httpMethod": method,
            "resourcePath": route,
            "path": route,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "192.0.2.7"},
        },
        "headers": headers,
        "pathParameters": None,
        "multiValueQueryStringParameters": parse_qs(query) or None,
        "stageVariables": None,
        "body": body,
        "isBase64Encoded": False,
    }


def booking_request(token: str, event_id: str) -> dict[str, Any]:
    return request("POST", "/bookings", token=token, body=f'{{"eventId":"{event_id}"}}')


def token_of(tokens: Tokens, user_id: str, role: Role = "attendee") -> str:
    return tokens.issue(Caller(UUID(user_id), role, 1), datetime.now(UTC))


def next_query(answer: dict[str, Any]) -> str | None:
    """The query of the page after this one, from the answer's Link header."""
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    for link in str(headers["link"]).split(", "):
        target, _, relation = link.partition("; rel=")
        if relation == '"next"':
            return urlsplit(target.strip("<>")).query
    return None

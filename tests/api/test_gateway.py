"""What API Gateway adds to a request: its request id, Base64 bodies and null members."""

import base64
import json
from typing import Any

import pytest

import app
from tests.client import Client, event_body
from tests.database_contents import count


def gateway_event(**members: Any) -> dict[str, Any]:
    return {
        "requestContext": {
            "httpMethod": "GET",
            "resourcePath": "/health",
            "path": "/v1/health",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "headers": {},
        "pathParameters": None,
        "multiValueQueryStringParameters": None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
        **members,
    }


def publishing(client: Client, **members: Any) -> dict[str, Any]:
    context = {**gateway_event()["requestContext"], "httpMethod": "POST", "resourcePath": "/events"}
    headers = {"Authorization": f"Bearer {client.host().token}", "CONTENT-TYPE": "application/json"}
    return gateway_event(requestContext=context, headers=headers, **members)


def test_the_request_id_of_the_gateway_is_the_default(client: Client) -> None:
    answer = app.app(gateway_event(), None)
    named = app.app(gateway_event(headers={"x-request-id": "my-own"}), None)

    assert answer["headers"]["X-Request-Id"] == "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    assert named["headers"]["X-Request-Id"] == "my-own"
    assert client("GET", "/health").status == 200


def test_a_request_without_headers_gets_a_response(client: Client) -> None:
    context = {**gateway_event()["requestContext"], "resourcePath": "/users"}

    assert client("GET", "/users").status == 401
    assert app.app(gateway_event(headers=None, requestContext=context), None)["statusCode"] == 401


def test_a_body_in_base64_is_read(client: Client) -> None:
    body = base64.b64encode(json.dumps(event_body(title="Zürich")).encode()).decode()

    answer = app.app(publishing(client, body=body, isBase64Encoded=True), None)

    assert answer["statusCode"] == 201
    assert json.loads(answer["body"])["title"] == "Zürich"


def test_a_body_as_text_is_read(client: Client) -> None:
    body = json.dumps(event_body(title="Zürich"), ensure_ascii=False)

    answer = app.app(publishing(client, body=body), None)

    assert json.loads(answer["body"])["title"] == "Zürich"


@pytest.mark.parametrize(
    "members",
    [
        {"body": "no base64!", "isBase64Encoded": True},
        {"body": "ü", "isBase64Encoded": True},
        {"body": '{"title": "\ud800"}'},
    ],
)
def test_an_undecodable_body_is_refused(client: Client, members: dict[str, Any]) -> None:
    answer = app.app(publishing(client, **members), None)

    assert answer["statusCode"] == 400
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert count(client, "events") == 0

"""The OpenAPI document is valid and complete, and agrees with the responses."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib.platform.errors import Forbidden, InvalidInput, StaleVersion, Unauthenticated
from chalicelib.platform.http import openapi, problems
from chalicelib.platform.http.operation import Operation
from chalicelib.platform.security import InvalidToken
from tests.api.conftest import World
from tests.api.operations import OPERATIONS, each
from tests.client import Client, event_body

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def document(shared: Client) -> Schema:
    reply = shared("GET", "/openapi.json")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    served: Schema = reply.json
    return served


def description(document: Schema, operation: Operation) -> Schema:
    found: Schema = document["paths"][operation.path][operation.method.lower()]
    return found


def refusals(document: Schema, operation: Operation) -> dict[int, set[str]]:
    """Return the refusals of an operation in the document: problem names by status."""
    return {
        int(status): set(response["content"][problems.CONTENT_TYPE]["examples"])
        for status, response in description(document, operation)["responses"].items()
        if int(status) >= 400
    }


def parts(schema: Any) -> Iterator[Schema]:
    """Yield each object in a document, at any depth."""
    if isinstance(schema, dict):
        yield schema
        for member in schema.values():
            yield from parts(member)
    elif isinstance(schema, list):
        for item in schema:
            yield from parts(item)


def test_the_document_is_valid_openapi_3_1(document: Schema) -> None:
    OpenAPIV31SpecValidator(document).validate()

    assert document["openapi"] == "3.1.0"


def test_the_document_lists_exactly_the_operations(document: Schema) -> None:
    in_document = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }

    assert in_document == {(operation.method, operation.path) for operation in OPERATIONS}
    names = [description(document, operation)["operationId"] for operation in OPERATIONS]
    assert len(set(names)) == len(names)


@each(OPERATIONS)
def test_an_operation_has_a_summary_and_its_callers(document: Schema, operation: Operation) -> None:
    described = description(document, operation)

    assert re.fullmatch(r"[A-Z].*[^.]", described["summary"])
    assert "Who can call it: " in described["description"]
    security: dict[str, Any] = {
        "none": [],
        "optional": [{}, {"token": []}],
        "required": [{"token": []}],
        "host": [{"token": []}],
        "attendee": [{"token": []}],
        "self": [{"token": []}],
        "scope:check-in": [{"token": []}, {"key": []}],
    }
    assert described.get("security") == security[operation.auth]


@each(OPERATIONS)
def test_examples_match_their_schemas(document: Schema, operation: Operation) -> None:
    described = description(document, operation)
    contents = [response.get("content", {}) for response in described["responses"].values()]
    contents += [described["requestBody"]["content"]] if operation.body else []

    for content in contents:
        for media_type, body in content.items():
            if media_type == problems.CONTENT_TYPE:
                assert body["examples"]
            else:
                schema = {**body["schema"], "components": document["components"]}
                validator = OAS31Validator(schema, format_checker=oas31_format_checker)
                validator.validate(body["example"])


@each(OPERATIONS)
def test_declared_refusals_are_in_the_document(document: Schema, operation: Operation) -> None:
    documented = refusals(document, operation)

    for refusal in operation.errors:
        assert refusal.slug() in documented[int(problems.status(refusal))]
    expected = {429, 500, 503}
    expected |= {400, 413, 415} if operation.body else set()
    expected |= {400} if operation.query or "{" in operation.path or operation.idempotent else set()
    expected |= {401} if operation.auth != "none" else set()
    expected |= {403} if operation.auth in {"host", "attendee"} else set()
    expected |= {409, 422} if operation.idempotent else set()
    assert expected <= set(documented)


@each(OPERATIONS)
def test_codes_are_enumerated_per_operation_and_status(document: Schema, operation: Operation) -> None:
    schemas = document["components"]["schemas"]
    for status, response in description(document, operation)["responses"].items():
        if int(status) >= 400:
            content = response["content"][problems.CONTENT_TYPE]
            members = schemas[content["schema"]["$ref"].rpartition("/")[2]]["properties"]
            assert set(members["code"]["enum"]) == set(content["examples"])
            assert members["status"]["const"] == int(status)


@each([operation for operation in OPERATIONS if operation.body])
def test_a_body_is_required_unless_its_view_allows_none(document: Schema, operation: Operation) -> None:
    body = description(document, operation)["requestBody"]

    assert body["required"] is (operation.view.__name__ not in {"cancel_event", "logout"})


def test_every_body_has_a_written_example(document: Schema) -> None:
    for operation in OPERATIONS:
        contents = [
            content
            for response in description(document, operation)["responses"].values()
            for media_type, content in response.get("content", {}).items()
            if media_type == "application/json"
        ]
        contents += description(document, operation).get("requestBody", {}).get("content", {}).values()
        for content in contents:
            assert content["example"] not in (None, [None]), operation.path
            assert content["example"] != {}, operation.path


def test_enumerations_are_named_and_no_default_is_null(document: Schema) -> None:
    schemas = document["components"]["schemas"]
    named = [schema for schema in schemas.values() if "enum" in schema]
    codes = [
        schema["properties"]["code"]
        for name, schema in schemas.items()
        if name.endswith("Problem") and name != "FieldProblem"
    ]

    enums = [part for part in parts(document) if isinstance(part.get("enum"), list)]
    assert len(enums) == len(named) + len(codes)
    assert not any("default" in part and part["default"] is None for part in parts(document))


def test_the_user_id_in_a_path_has_one_plain_type(document: Schema) -> None:
    [schema] = [
        parameter["schema"]
        for parameter in document["paths"]["/users/{userId}"]["get"]["parameters"]
        if parameter["name"] == "userId"
    ]

    assert schema["type"] == "string"
    assert re.fullmatch(schema["pattern"], "me")
    assert not re.search(schema["pattern"], "nobody")


def test_every_tag_is_described_and_used(document: Schema) -> None:
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    used = {tag for operation in OPERATIONS for tag in description(document, operation)["tags"]}

    assert set(described) == used
    assert all(described.values())


@each(OPERATIONS)
def test_responses_declare_their_headers(document: Schema, operation: Operation) -> None:
    responses = description(document, operation)["responses"]

    for status, response in responses.items():
        assert "X-Request-Id" in response["headers"]
        if status in {"429", "503"}:
            assert "Retry-After" in response["headers"]
        if status == "401":
            assert "WWW-Authenticate" in response["headers"]
        if status == "201":
            assert {"Location", "Idempotent-Replayed"} <= set(response["headers"])
    if operation.conditional and operation.method == "GET":
        assert {"304", "200"} <= set(responses)
        assert "ETag" in responses["200"]["headers"]


@each(OPERATIONS)
def test_conditions_are_header_parameters(document: Schema, operation: Operation) -> None:
    headers = {
        parameter["name"]
        for parameter in description(document, operation)["parameters"]
        if parameter["in"] == "header"
    }

    assert headers == {
        *(["If-Match"] if StaleVersion in operation.errors else []),
        *(["If-None-Match"] if operation.conditional and operation.method == "GET" else []),
        *(["Idempotency-Key"] if operation.idempotent else []),
    }


def test_common_refusals_are_in_the_document(world: World, document: Schema) -> None:
    """Each refusal of this sample must be in the document."""
    client, event = world.client, f"/events/{world.event['eventId']}"
    by_name = {f"{operation.method} {operation.path}": operation for operation in OPERATIONS}
    sample = [
        ("POST /events", client("POST", "/events", event_body()), Unauthenticated),
        ("POST /events", client("POST", "/events", event_body(), by="x"), InvalidToken),
        ("POST /events", client("POST", "/events", event_body(), by=world.attendee), Forbidden),
        ("POST /events", client("POST", "/events", {}, by=world.host), InvalidInput),
        ("GET /events", client("GET", "/events?limit=0"), InvalidInput),
        ("GET /events", client("GET", "/events?mine=true", by=world.attendee), Forbidden),
        ("GET /events/{eventId}", client("GET", "/events/x"), InvalidInput),
        (
            "DELETE /users/{userId}",
            client("DELETE", f"/users/{world.host.user_id}", by=world.attendee),
            Forbidden,
        ),
        ("PATCH /events/{eventId}", client("PATCH", event, {}, by="x"), InvalidToken),
    ]

    for operation, reply, refusal in sample:
        assert reply.problem == refusal.slug()
        assert refusal.slug() in refusals(document, by_name[operation])[reply.status]
        assert refusal in openapi.refusals(by_name[operation])


def test_every_schema_is_defined_and_referenced(document: Schema) -> None:
    schemas = document["components"]["schemas"]
    references = {part["$ref"] for part in parts(document) if isinstance(part.get("$ref"), str)}

    assert references == {f"#/components/schemas/{name}" for name in schemas}


def test_the_document_has_the_enforced_limits(document: Schema) -> None:
    event = document["components"]["schemas"]["EventDetails"]

    assert event["additionalProperties"] is False
    assert set(event["required"]) == {"title", "startDateTime", "endDateTime", "capacity"}
    assert event["properties"]["title"]["maxLength"] == 200
    capacity = event["properties"]["capacity"]
    assert (capacity["minimum"], capacity["maximum"]) == (1, 1_000_000)


def test_list_parameters_have_bounds_and_defaults(document: Schema) -> None:
    parameters = {
        parameter["name"]: parameter["schema"]
        for parameter in document["paths"]["/events"]["get"]["parameters"]
    }

    assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"]) == (1, 100)
    assert (parameters["limit"]["default"], parameters["offset"]["maximum"]) == (20, 10_000)
    assert parameters["sort"] == {"$ref": "#/components/schemas/EventSort", "default": "date"}
    sorts = document["components"]["schemas"]["EventSort"]["enum"]
    assert set(sorts) == {"date", "title", "createdAt", "popularity"}


def test_the_document_has_no_internal_names(document: Schema) -> None:
    text = json.dumps(document)

    assert "password_hash" not in text
    assert "token_version" not in text
    for name, schema in document["components"]["schemas"].items():
        for member in schema.get("properties", {}):
            assert re.fullmatch(r"[a-z][a-zA-Z]*", member), (name, member)

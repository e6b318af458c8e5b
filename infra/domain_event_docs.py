"""Render docs/domain-events.md: each domain event with its JSON schema, from chalicelib/domain_events.py."""

import inspect
import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import datetime
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

from chalicelib import domain_events
from chalicelib.domain_events import BookingDetails, DailyDigestDue, EventDetails, PaymentDetails
from chalicelib.platform.messaging.bodies import DomainEventBody, members

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TIME = {"type": "string", "format": "date-time", "pattern": "Z$"}

_TYPES: dict[Any, dict[str, Any]] = {
    UUID: {"type": "string", "format": "uuid"},
    datetime: _TIME,
    int: {"type": "integer"},
    str: {"type": "string"},
}

ENVELOPE: dict[str, Any] = {
    "$schema": _DIALECT,
    "type": "object",
    "required": ["id", "type", "version", "subject", "time", "requestId", "body"],
    "properties": {
        "id": {**_TYPES[UUID], "description": "The same whenever the domain event is delivered again."},
        "type": {"type": "string", "pattern": "^[a-z]+(-[a-z]+)+$"},
        "version": {"type": "integer", "minimum": 1, "description": "Version of the body."},
        "subject": {**_TYPES[UUID], "description": "What it is about. Order is kept per subject."},
        "time": _TIME,
        "requestId": {
            "type": ["string", "null"],
            "description": "X-Request-Id of the request that caused it.",
        },
        "body": {"type": "object"},
    },
}


def schema(event: type[DomainEventBody]) -> dict[str, Any]:
    """The JSON schema of a body."""
    return {"$schema": _DIALECT, **_object(event)}


def _object(cls: Any) -> dict[str, Any]:
    required = [member.name for member in members(cls) if not member.optional]
    properties = {
        member.name: {
            **_value(member.type, nullable=member.nullable and not member.optional),
            **member.schema,
        }
        for member in members(cls)
    }
    return {"type": "object", **({"required": required} if required else {}), "properties": properties}


def _value(kind: Any, *, nullable: bool) -> dict[str, Any]:
    if is_dataclass(kind):
        return _object(kind)
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _object(get_args(kind)[0])}
    if get_origin(kind) is Literal:
        values = get_args(kind)
        return {"const": values[0]} if len(values) == 1 else {"enum": list(values)}
    known = _TYPES[kind]
    return {**known, "type": [known["type"], "null"]} if nullable else known


def render() -> str:
    """The generated section of the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from ("## The envelope", "", *_fenced(ENVELOPE))
    section = None
    for event in domain_events.ALL:
        title, base = _group(event)
        if title != section:
            section = title
            yield from ("", f"## {title}")
            if base is not None:
                yield from ("", inspect.getdoc(base) or "", "", "Each body has these members:", "")
                yield from _fenced(schema(base))
        versioned = f" (version {event.version})" if event.version > 1 else ""
        yield from ("", f"### `{event.type}`{versioned}", "", inspect.getdoc(event) or "")
        if own := schema(event) if base is None else _own(event, base):
            yield from ("", *_fenced(own))


def _group(event: type[DomainEventBody]) -> tuple[str, type[DomainEventBody] | None]:
    """The section of a domain event, and the body whose members all of its section have."""
    groups: dict[str, type[DomainEventBody]] = {
        "Events": EventDetails,
        "Bookings": BookingDetails,
        "Payments": PaymentDetails,
    }
    for title, base in groups.items():
        if issubclass(event, base):
            return title, base
    return ("Digests" if event is DailyDigestDue else "Accounts"), None


def _own(event: type[DomainEventBody], base: type[DomainEventBody]) -> dict[str, Any]:
    """The schema of the members that a body has besides those of its base, or in another way."""
    whole, shared = _object(event), _object(base)["properties"]
    properties = {name: value for name, value in whole["properties"].items() if shared.get(name) != value}
    required = [name for name in whole["required"] if name in properties and name not in shared]
    if not properties:
        return {}
    return {**({"required": required} if required else {}), "properties": properties}


def _fenced(value: dict[str, Any]) -> Iterator[str]:
    yield from ("```json", *_json(value, 0), "```")


def _json(value: dict[str, Any], depth: int) -> Iterator[str]:
    """Write an object with one line for each member that fits."""
    inner = "  " * (depth + 1)
    yield "{"
    for i, (name, member) in enumerate(value.items()):
        comma = "," if i < len(value) - 1 else ""
        line = f"{inner}{json.dumps(name)}: {json.dumps(member)}{comma}"
        if name != "properties" and (not isinstance(member, dict) or "properties" not in member):
            yield line
            continue
        opening, *others = _json(member, depth + 1)
        yield f"{inner}{json.dumps(name)}: {opening}"
        yield from others[:-1]
        yield others[-1] + comma
    yield "  " * depth + "}"

"""Lists of objects, the newest first, in pages (docs.stripe.com/api/pagination)."""

import re

from infra.stripe_fake.errors import Json, invalid
from infra.stripe_fake.parameters import Parameters
from infra.stripe_fake.store import Store

DEFAULT_LIMIT, MAX_LIMIT = 10, 100
MAX_TYPES = 20  # event types in a filter

_TYPE = re.compile(r"types\[\d*\]")
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def page(store: Store, parameters: Parameters, kind: str, url: str) -> Json:
    """Return a page of the objects of a kind that match the parameters. Raise ApiError."""
    limit = parameters.integer("limit") or DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise invalid(f"Limit must be between 1 and {MAX_LIMIT}", "limit")
    conditions: list[str] = []
    values: list[object] = []
    for condition, value in _conditions(store, parameters, kind):
        conditions.append(condition)
        values.append(value)
    types = _types(parameters)
    if types:
        marks = ", ".join("?" * len(types))
        conditions.append(f"json_extract(body, '$.type') IN ({marks})")
        values += types
    backwards = parameters.text("ending_before") is not None
    found = store.select(kind, conditions, values, oldest_first=backwards, limit=limit + 1)
    data = found[:limit][::-1] if backwards else found[:limit]
    return {"object": "list", "data": data, "has_more": len(found) > limit, "url": url}


def _conditions(store: Store, parameters: Parameters, kind: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    if intent := parameters.text("payment_intent"):
        found.append(("payment_intent = ?", intent))
    for name, comparison in (("starting_after", "<"), ("ending_before", ">")):
        if object_id := parameters.text(name):
            store.get(kind, object_id, name)
            found.append((f"position {comparison} (SELECT position FROM objects WHERE id = ?)", object_id))  # noqa: S608 (no input)
    for name, comparison in _COMPARISONS.items():
        if (time := parameters.integer(f"created[{name}]")) is not None:
            found.append((f"json_extract(body, '$.created') {comparison} ?", time))
    if (time := parameters.integer("created")) is not None:
        found.append(("json_extract(body, '$.created') = ?", time))
    return found


def _types(parameters: Parameters) -> list[str]:
    """Return the event types of `type`, which may end in `.*` at Stripe but not here, or of `types`."""
    types = parameters.all(_TYPE)
    if len(types) > MAX_TYPES:
        raise invalid(f"You can only specify up to {MAX_TYPES} types.", "types")
    only = parameters.text("type")
    if only and types:
        raise invalid("You may only specify one of these parameters: type, types.", "type")
    return [only] if only else types

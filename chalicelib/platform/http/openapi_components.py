"""Write the schemas of the OpenAPI document so that generators of clients understand them."""

from collections.abc import Collection, Mapping
from typing import Any, get_args

Schema = dict[str, Any]


def rewrite(
    components: Mapping[str, Schema], *, enums: Mapping[str, Any], queries: Collection[str]
) -> dict[str, Schema]:
    """Name the enumerations, and move defaults of members into their descriptions.

    An enumeration becomes a component, so that a generated client has one class for it. Generators conclude
    from a default that the member is always there, in requests too, so only query parameters keep theirs.

    `enums` has a `Literal` by the name of its component. Others are named after the member that has them.
    """
    by_values = {frozenset(get_args(literal)): name for name, literal in enums.items()}
    named: dict[str, Schema] = {}

    def reference(schema: Any, place: str) -> Any:
        """Replace enumerations inside a schema by references."""
        if isinstance(schema, list):
            return [reference(part, place) for part in schema]
        if not isinstance(schema, dict):
            return schema
        values = schema.get("enum")
        if values is None:
            return {key: reference(value, place) for key, value in schema.items()}
        others = {key: value for key, value in schema.items() if key != "enum"}
        if len(values) == 1:
            return {"type": "string", "const": values[0], **others}
        name = by_values.get(frozenset(values), place)
        named[name] = {"type": "string", "enum": values}
        return {"$ref": f"#/components/schemas/{name}", **others}

    rewritten: dict[str, Schema] = {}
    for name, component in components.items():
        members = {
            member: _without_default(
                reference(schema, name + member[0].upper() + member[1:]), keep=name in queries
            )
            for member, schema in component["properties"].items()
        }
        rewritten[name] = {**component, "properties": members}
    return rewritten | named


def _without_default(schema: Schema, *, keep: bool) -> Schema:
    default = schema.get("default")
    if "default" not in schema or (keep and default is not None):
        return schema
    others = {key: value for key, value in schema.items() if key != "default"}
    if default is None:
        return others
    return {**others, "description": f"{others.get('description', '')} Default: {default}.".strip()}

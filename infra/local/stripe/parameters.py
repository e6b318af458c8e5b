"""Reads the parameters of a call, form-encoded as Stripe takes them, and refuses what is not right."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from infra.local.stripe.errors import Json, Refused

# docs.stripe.com/api/metadata
METADATA_KEYS = 50
METADATA_KEY = 40
METADATA_VALUE = 500

_INTEGER = re.compile(r"-?[0-9]{1,15}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Parameters:
    """What a call says, by name; `a[b]=c` is `{"a": {"b": "c"}}`, and a list is by its indexes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values: Final = values

    @classmethod
    def decode(cls, form: str) -> "Parameters":
        values: Json = {}
        for name, value in parse_qsl(form, keep_blank_values=True):
            *way, last = name.replace("]", "").split("[")
            node = values
            for part in way:
                node = node.setdefault(part, {})
                if not isinstance(node, dict):
                    raise Refused(400, f"Invalid object: {name}", param=name)
            node[last or str(len(node))] = value
        return cls(values)

    def allow(self, known: Collection[str]) -> None:
        """Refuse any other than these."""
        for name in self.values:
            if name not in known:
                raise Refused(
                    400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name
                )

    def group(self, name: str) -> "Parameters":
        """Return the parameters within one, none when it is not there."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            raise Refused(400, "Invalid object", param=name)
        return Parameters(value)

    def text(self, name: str) -> str | None:
        """Return a text, None when it is absent or empty."""
        value = self.values.get(name)
        if isinstance(value, dict):
            raise Refused(400, f"Invalid string: {value}", param=name)
        return value or None

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise Refused(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
        return value

    def integer(self, name: str) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise Refused(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
        return int(value)

    def flag(self, name: str) -> bool | None:
        value = self.choice(name, ("true", "false"))
        return None if value is None else value == "true"

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in choices:
            raise Refused(400, f"Invalid {name}: must be one of {', '.join(choices)}", param=name)
        return value

    def email(self, name: str) -> str | None:
        value = self.text(name)
        if value is not None and not _EMAIL.fullmatch(value):
            raise Refused(400, f"Invalid email address: {value}", code="email_invalid", param=name)
        return value

    def many(self, name: str) -> list[str]:
        return [str(value) for value in self.group(name).values.values()]

    def metadata(self, before: Mapping[str, str]) -> dict[str, str]:
        """Return the metadata with what is changed; an empty value removes one, an empty whole all."""
        if self.values.get("metadata") == "":
            return {}
        after = dict(before)
        for key, value in self.group("metadata").values.items():
            if len(key) > METADATA_KEY or len(str(value)) > METADATA_VALUE:
                raise Refused(400, "Metadata keys or values are too long.", param=f"metadata[{key}]")
            if value == "":
                after.pop(key, None)
            else:
                after[key] = str(value)
        if len(after) > METADATA_KEYS:
            raise Refused(400, f"Metadata can have up to {METADATA_KEYS} keys.", param="metadata")
        return after

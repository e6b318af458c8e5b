"""Reads and validates the form parameters of an API call."""

import re
from collections.abc import Collection, Mapping

from infra.stripe_fake.errors import invalid

# docs.stripe.com/api/metadata
MAX_METADATA_KEYS = 50
MAX_METADATA_KEY_LENGTH = 40
MAX_METADATA_VALUE_LENGTH = 500

_INTEGER = re.compile(r"-?[0-9]{1,15}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_METADATA = re.compile(r"metadata\[([^]]+)\]")


class Parameters:
    """The parameters of a call. Nested ones keep their flat names, such as `metadata[seat]`."""

    def __init__(self, form: Mapping[str, str], known: Collection[str]) -> None:
        """Raise ApiError if the form has an unknown parameter."""
        for name in form:
            if name.partition("[")[0] not in known:
                raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")
        self._form = form

    def text(self, name: str) -> str | None:
        """Return the value, or None if it is absent or empty."""
        return self._form.get(name) or None

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
        return value

    def integer(self, name: str) -> int | None:
        value = self.text(name)
        if value is not None and not _INTEGER.fullmatch(value):
            raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
        return None if value is None else int(value)

    def all(self, name: re.Pattern[str]) -> list[str]:
        """Return the values of all parameters whose names match."""
        return [value for given, value in self._form.items() if name.fullmatch(given)]

    def email(self, name: str) -> str | None:
        value = self.text(name)
        if value is not None and not _EMAIL.fullmatch(value):
            raise invalid(f"Invalid email address: {value}", name, "email_invalid")
        return value

    def metadata(self) -> dict[str, str]:
        metadata = {}
        for name, value in self._form.items():
            if found := _METADATA.fullmatch(name):
                metadata[found[1]] = value
                if len(found[1]) > MAX_METADATA_KEY_LENGTH or len(value) > MAX_METADATA_VALUE_LENGTH:
                    raise invalid("Metadata keys or values are too long.", name)
        if len(metadata) > MAX_METADATA_KEYS:
            raise invalid(f"Metadata can have up to {MAX_METADATA_KEYS} keys.", "metadata")
        return metadata

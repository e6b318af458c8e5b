"""Check JSON bodies, forms and query strings against msgspec declarations, with an error for each bad member.

The OpenAPI document is made from the same declarations. The message of an error is derived from the
constraints of the declaration, or declared by `message`.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from msgspec import NODEFAULT, UNSET, Meta, Struct, UnsetType

from chalicelib.platform.errors import ContentTooLarge, FieldError, InvalidInput, UnsupportedMediaType

MAX_BODY_BYTES = 256 * 1024
"""Twice the size of the longest valid event with every character escaped."""

MAX_ERRORS = 100

JSON_TYPES = ("application/json", "application/merge-patch+json")
FORM_TYPE = "application/x-www-form-urlencoded"

_NOT_BLANK = r"\S"

_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me", "Zl", "Zp", "Zs"})
"""Unicode categories of characters that show nothing by themselves."""

_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Fillers of Hangul and the empty Braille pattern, which Unicode counts as letters and symbols."""

T = TypeVar("T", bound=Struct)


def message(sentence: str, **more: Any) -> Any:
    """Declare constraints with a message, if the derived one would not help."""
    return Meta(extra={"message": sentence}, **more)


def text(max_length: int, **more: Any) -> Any:
    """Declare trimmed text that is not blank."""
    return Meta(min_length=1, max_length=max_length, pattern=_NOT_BLANK, **more)


class Body(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The members of a request body."""


Id = Annotated[
    UUID,
    Meta(
        description="A UUIDv7.",
        examples=["019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"],
    ),
]

Time = Annotated[
    datetime,
    Meta(
        tz=True,
        description="RFC 3339 with an offset.",
        examples=["2027-06-05T19:30:00+02:00"],
    ),
]


def parse_json(raw: bytes, content_type: str | None) -> Any:
    """Decode a request body.

    Raises:
        ContentTooLarge: The body is longer than MAX_BODY_BYTES.
        UnsupportedMediaType: The content type is not JSON.
        InvalidInput: The body is empty, not JSON, nested too deeply, or has a member twice.
    """
    _check_body(raw, content_type, JSON_TYPES)
    try:
        return _DECODER.decode(raw.decode(json.detect_encoding(raw)))
    except RecursionError as error:
        raise InvalidInput("The body is nested too deeply.") from error
    except ValueError as error:  # also bad UTF-8 and integers of thousands of digits
        raise InvalidInput("The body is not valid JSON.") from error


def refuse_body(raw: bytes) -> None:
    """Refuse a body where none is declared. Spaces or an empty object say nothing, and are accepted.

    Raises:
        InvalidInput: The body has content, which would be ignored.
    """
    if b"".join(raw.split()) not in {b"", b"{}"}:
        raise InvalidInput("This operation takes no body.")


def parse_form(raw: bytes, content_type: str | None) -> Any:
    """Decode the form of a page.

    Raises:
        ContentTooLarge, UnsupportedMediaType, InvalidInput: As in `parse_json`.
    """
    _check_body(raw, content_type, (FORM_TYPE,))
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=20)
    except ValueError as error:
        raise InvalidInput("The body is not a valid form.") from error
    return _unique_members(pairs)


def _check_body(raw: bytes, content_type: str | None, allowed: Sequence[str]) -> None:
    if len(raw) > MAX_BODY_BYTES:
        raise ContentTooLarge(f"The limit is {MAX_BODY_BYTES} bytes.")
    if not raw:
        raise InvalidInput("A body is required.")
    if (content_type or "").partition(";")[0].strip().lower() not in allowed:
        raise UnsupportedMediaType(f"Send the body as {allowed[0]}.")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        count = Counter(name for name, _ in pairs)
        twice = [name for name in members if count[name] > 1]
        raise _invalid(FieldError(name, "is given more than once") for name in twice)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_members, parse_constant=_refuse_constant)
"""Made once, because making it takes longer than decoding a small body."""


def parse(declared: type[T], members: Any) -> T:
    """Check the members of a JSON object against a declaration, and trim texts.

    Raises:
        InvalidInput: With one error for each member that is missing, unknown or not allowed.
    """
    if not isinstance(members, dict):
        raise InvalidInput("The body must be a JSON object.")
    return _build(declared, members, lax=False)


def parse_query(declared: type[T], parameters: Mapping[str, Sequence[str]]) -> T:
    """Check query parameters against a declaration. A parameter may be repeated if it is declared as a list.

    Raises:
        InvalidInput: With one error for each parameter that is repeated, unknown or not allowed.
    """
    lists = {name for name, field in _fields(declared).items() if get_origin(_base(field.type)) is list}
    repeated = [name for name, values in parameters.items() if len(values) != 1 and name not in lists]
    if repeated:
        raise _invalid(FieldError(name, "is given more than once") for name in repeated)
    members = {
        name: list(dict.fromkeys(values)) if name in lists else values[0]
        for name, values in parameters.items()
    }
    return _build(declared, members, lax=True)


def parse_page_query(declared: type[T], parameters: Mapping[str, Sequence[str]]) -> T:
    """Check the query parameters of a page, of which those that are not declared are ignored.

    Mail services and browsers add parameters to links.

    Raises:
        InvalidInput: With one error for each declared parameter that is not allowed.
    """
    known = {name: parameters[name][0] for name in _fields(declared) if parameters.get(name)}
    return _build(declared, known, lax=True)


def _build(declared: type[T], members: Mapping[str, Any], *, lax: bool) -> T:
    fields = _fields(declared)
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in members:
            try:
                values[field.name] = _convert(members[name], field.type, lax=lax)
            except ValueError as error:
                errors.append(FieldError(name, str(error)))
            except InvalidInput as refusal:
                errors += (FieldError(f"{name}{error.field}", error.message) for error in refusal.errors)
        elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
            errors.append(FieldError(name, "is required"))
    errors += (
        FieldError(name, f"is unknown; choose from {', '.join(fields)}")
        for name in members
        if name not in fields
    )
    if errors:
        raise _invalid(errors)
    return declared(**values)


def _invalid(errors: Iterable[FieldError]) -> InvalidInput:
    """Refuse the input with at most MAX_ERRORS errors, so that the response stays small."""
    return InvalidInput(errors=list(islice(errors, MAX_ERRORS)))


@cache
def _fields(declared: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Return the fields of a declaration by their JSON names. Cached: reading annotations costs 30 µs."""
    return {field.encode_name: field for field in msgspec.structs.fields(declared)}


def _convert(value: Any, declared: Any, *, lax: bool) -> Any:
    if isinstance(value, list) and get_origin(_base(declared)) is list and not lax:
        return _convert_items(value, declared)
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("must not contain NUL characters")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("must be valid Unicode")
        value = value if _is_verbatim(declared) else value.strip()
        if _meta(declared).pattern == _NOT_BLANK and not _is_visible(value):
            raise ValueError(_message_for(declared))
    try:
        value = msgspec.convert(value, declared, strict=not (lax and _base(declared) in {int, bool}))
    except msgspec.ValidationError as error:
        raise ValueError(_message_for(declared) or str(error)) from error
    if lax and value is None:  # msgspec accepts the text "null"
        raise ValueError(_message_for(declared))
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError(_message_for(declared)) from error
    return value


def _convert_items(items: Sequence[Any], declared: Any) -> list[Any]:
    """Check a list in a JSON body. An error names the index, as in `[0]` or, in an object, `[0].name`."""
    meta = _meta(declared)
    if not (meta.min_length or 0) <= len(items) <= (meta.max_length or len(items)):
        raise ValueError(_message_for(declared))
    [of_item] = get_args(_base(declared))
    converted: list[Any] = []
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        try:
            if isinstance(of_item, type) and issubclass(of_item, Struct) and isinstance(item, dict):
                converted.append(_build(of_item, item, lax=False))
            else:
                converted.append(_convert(item, of_item, lax=False))
        except ValueError as error:
            errors.append(FieldError(f"[{index}]", str(error)))
        except InvalidInput as refusal:
            errors += (FieldError(f"[{index}].{error.field}", error.message) for error in refusal.errors)
    if errors:
        raise _invalid(errors)
    return converted


def _is_visible(value: str) -> bool:
    """Whether a text shows at least one character."""
    if value.isascii() and value.isprintable():
        return not value.isspace() and value != ""
    return any(
        unicodedata.category(character) not in _INVISIBLE and character not in _BLANK_LETTERS
        for character in value
    )


def _message_for(declared: Any) -> str | None:  # noqa: C901, PLR0911 (one return for each kind of type)
    """Return the message for a bad value: as declared, or else derived from the type and its constraints."""
    meta = _meta(declared)
    base = _base(declared)
    if meta.extra and "message" in meta.extra:
        return str(meta.extra["message"])
    if isinstance(base, type) and issubclass(base, Struct):
        return "must be an object"
    if get_origin(base) is list:
        if meta.max_length:
            return f"must be a list of {meta.min_length} to {meta.max_length} items"
        return _message_for(get_args(base)[0])
    if get_origin(base) is Literal:
        *others, last = get_args(base)
        return f"must be {', '.join(others)} or {last}" if others else f"must be {last}"
    if base is UUID:
        return "must be a UUID"
    if base is datetime:
        return "must be an RFC 3339 time with an offset, such as 2027-06-05T19:30:00+02:00"
    if base is bool:
        return "must be true or false"
    if base is int:
        return f"must be a whole number from {meta.ge} to {meta.le}"
    if base is str and meta.min_length:
        return f"must be text of {meta.min_length} to {meta.max_length} characters, not blank"
    if base is str:
        return f"must be text of at most {meta.max_length} characters"
    return None


def _is_verbatim(declared: Any) -> bool:
    return bool((_meta(declared).extra or {}).get("verbatim"))


@cache
def _meta(declared: Any) -> Meta:
    """Return the constraints of a field, also those inside `Title | None` or `Title | UnsetType`."""
    return next(_metas(declared), Meta())


def _metas(declared: Any) -> Iterator[Meta]:
    yield from (meta for meta in getattr(declared, "__metadata__", ()) if isinstance(meta, Meta))
    if get_origin(declared) is not Literal:
        for part in get_args(declared):
            yield from _metas(part)


@cache
def _base(declared: Any) -> Any:
    """Return the type of a field without constraints, None and UNSET."""
    if get_origin(declared) is Annotated:
        return _base(get_args(declared)[0])
    if get_origin(declared) in {Union, UnionType}:
        return next(_base(part) for part in get_args(declared) if part not in {NoneType, UnsetType})
    return declared


def fields_set(members: Struct) -> dict[str, Any]:
    """Return the members that the client sent, by their Python names."""
    return {
        name: value for name in members.__struct_fields__ if (value := getattr(members, name)) is not UNSET
    }


def without_blanks(values: dict[str, Any]) -> dict[str, Any]:
    """Replace blank optional text by None."""
    return {name: None if value == "" else value for name, value in values.items()}

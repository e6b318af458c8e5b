"""pg8000 with fewer round trips: all messages of a statement are sent in one flush.

Plain pg8000 needs one round trip to begin a transaction, three for a statement with parameters and three to
end the transaction, and it parses the statement's text at every execution. Here a statement, with the
beginning of its transaction, is one round trip and the end of the transaction another, and parsed texts are
cached.
"""

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import pg8000
from pg8000.converters import make_params
from pg8000.core import Context
from pg8000.dbapi import convert_paramstyle
from pg8000.exceptions import DatabaseError, InterfaceError

_HEAD, _COUNT, _LENGTH = struct.Struct("!ci"), struct.Struct("!h"), struct.Struct("!i")
_READY = b"Z"
_READ_SIZE_BYTES = 8_192
_CACHE_SIZE = 1000
"""Statements, and row descriptions, that are cached."""
_UNIQUE_VIOLATION = "23505"


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + _LENGTH.pack(len(content) + 4) + content


def _ignore(_content: bytes, _context: Any) -> None:
    pass


# PostgreSQL manual, "Message Formats". All messages use the unnamed statement and the unnamed portal.
_BEGIN = b"".join(
    (
        _message(b"P", b"\0begin transaction\0\0\0"),
        _message(b"B", b"\0\0\0\0\0\0\0\0"),
        _message(b"E", b"\0\0\0\0\0"),
    )
)


@lru_cache
def _begin(limit_ms: int | None) -> bytes:
    """Build the messages that begin a transaction, with a time limit for its statements."""
    if limit_ms is None:
        return _BEGIN
    call = f"call limit_statements({limit_ms})"
    return b"".join((_BEGIN, _parse(call, "ascii"), _bind((), "ascii"), _message(b"E", b"\0\0\0\0\0")))


_DESCRIBE_EXECUTE_SYNC = b"".join(
    (
        _message(b"D", b"P\0"),
        _message(b"E", b"\0\0\0\0\0"),
        _message(b"S", b""),
    )
)


@lru_cache(maxsize=_CACHE_SIZE)
def _parse(statement: str, encoding: str) -> bytes:
    """Build the Parse message of a statement whose parameters are `%s`."""
    numbered, _ = convert_paramstyle("format", statement, ())
    return _message(b"P", b"\0" + numbered.encode(encoding) + b"\0\0\0")


def _bind(values: Sequence[str | None], encoding: str) -> bytes:
    """Build the Bind message, with the parameters as text."""
    parts = [b"\0\0\0\0", _COUNT.pack(len(values))]
    for value in values:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            encoded = value.encode(encoding)
            parts += (_LENGTH.pack(len(encoded)), encoded)
    parts.append(b"\0\0")
    return _message(b"B", b"".join(parts))


class Cursor(pg8000.Cursor):
    """A cursor that executes a statement with parameters in one round trip."""

    def execute(self, operation: str, args: Sequence[Any] = (), stream: Any = None) -> Any:
        """Execute a statement, and begin a transaction if there is none."""
        if not args or stream is not None:
            return super().execute(operation, args, stream)
        self._context = self._c.execute_in_one_round_trip(operation, args)
        self._row_iter = iter(self._context.rows or ())
        return self


class Connection(pg8000.Connection):
    """A connection that sends all messages of a statement in one flush."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._row_descriptions: dict[bytes, tuple[Any, Any]] = {}
        super().__init__(*args, **options)
        self.used_at = time.monotonic()
        """When the server last responded, by the monotonic clock."""
        self.limit_ms: int | None = None
        """Time limit for each statement of transactions that begin with a statement with parameters."""
        self._simple_query_handlers = {
            **self.message_types,
            b"T": _ignore,  # row description
            b"C": _ignore,  # command complete
            b"D": self._read_row_as_texts,
        }

    def cursor(self) -> Cursor:
        return Cursor(self)

    def close(self) -> None:
        """Close the connection. If the server has closed it before, there is nothing left to do."""
        with suppress(InterfaceError, OSError):
            super().close()

    def simple_query(self, sql: str) -> Sequence[str]:
        """Run a statement without parameters and return its first row as texts. A null is an empty text."""
        context = Context(sql)
        context.rows = []
        self._send(_message(b"Q", sql.encode(self._client_encoding) + b"\0"))
        self._read(context, self._simple_query_handlers)
        row: Sequence[str] = context.rows[0]
        return row

    def execute_in_one_round_trip(self, statement: str, args: Sequence[Any]) -> Any:
        """Execute a statement whose parameters are `%s`.

        If the transaction cannot begin, PostgreSQL skips the messages that were sent with it.

        Raises:
            ProgrammingError, IntegrityError, InterfaceError: As pg8000's cursors do.
        """
        begin = b"" if self.autocommit or self._in_transaction else _begin(self.limit_ms)
        bind = _bind(make_params(self.py_types, args), self._client_encoding)
        context = Context(statement)
        try:
            self._send(
                b"".join((begin, _parse(statement, self._client_encoding), bind, _DESCRIBE_EXECUTE_SYNC))
            )
            self.handle_messages(context)
        except DatabaseError as error:
            [fields] = error.args
            unique = fields["C"] == _UNIQUE_VIOLATION
            raise (pg8000.IntegrityError if unique else pg8000.ProgrammingError)(fields) from error
        return context

    def commit(self) -> None:
        self.execute_simple("commit")

    def rollback(self) -> None:
        if self._in_transaction:
            self.execute_simple("rollback")

    def _send(self, messages: bytes) -> None:
        if self._usock is None:
            raise InterfaceError("connection is closed")
        try:
            self._usock.sendall(messages)
        except OSError as error:
            raise InterfaceError("network error") from error

    def handle_messages(self, context: Any) -> None:
        self._read(context, self.message_types)

    def _read(self, context: Any, handlers: Mapping[bytes, Callable[[bytes, Any], None]]) -> None:
        """Handle the server's messages until it is ready for the next query."""
        receive = self._receive
        received, at, code = b"", 0, None
        while code != _READY:
            if len(received) < at + _HEAD.size:
                received, at = received[at:] + receive(_HEAD.size + at - len(received)), 0
            code, length = _HEAD.unpack_from(received, at)
            end = at + 1 + length
            if len(received) < end:
                received += receive(end - len(received))
            handlers[code](received[at + _HEAD.size : end], context)
            at = end
        self.used_at = time.monotonic()
        if context.error is not None:
            raise context.error

    def _receive(self, least: int) -> bytes:
        """Wait for at least `least` bytes, and return them with all others that have arrived."""
        try:
            received: bytes = self._sock.read1(_READ_SIZE_BYTES)
            if len(received) < least:
                received += self._sock.read(least - len(received))
        except OSError as error:
            raise InterfaceError("network error") from error
        if len(received) < least:
            raise InterfaceError("network error")
        return received

    def _read_row_as_texts(self, row: bytes, context: Any) -> None:
        texts: list[str] = []
        [columns], at = _COUNT.unpack_from(row), _COUNT.size
        for _ in range(columns):
            [length] = _LENGTH.unpack_from(row, at)
            at += _LENGTH.size
            end = at + max(length, 0)
            texts.append(str(row[at:end], self._client_encoding))
            at = end
        context.rows.append(texts)

    def handle_ERROR_RESPONSE(self, data: bytes, context: Any) -> None:  # noqa: N802 (the name is pg8000's)
        """Set the error without its detail, which has values of rows and would appear in the log."""
        super().handle_ERROR_RESPONSE(data, context)
        context.error.args[0].pop("D", None)

    def handle_ROW_DESCRIPTION(self, data: bytes, context: Any) -> None:  # noqa: N802 (the name is pg8000's)
        """Set the columns of the rows that follow, from the cache if the description is known."""
        known = self._row_descriptions.get(data)
        if known is None:
            super().handle_ROW_DESCRIPTION(data, context)
            if len(self._row_descriptions) < _CACHE_SIZE:
                self._row_descriptions[data] = context.columns, context.input_funcs
        else:
            context.columns, context.input_funcs = known
            context.rows = context.rows or []

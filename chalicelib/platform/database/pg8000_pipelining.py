"""The driver: pg8000 that asks less often.

As it comes, pg8000 sends a statement with parameters in three round trips, after one for the transaction to
begin, and ends it in three more; and it reads each statement letter by letter to find the parameters, each
time that it is executed. Here a statement, with the beginning of its transaction, is one round trip, its end
another, and what was found in its text is kept. What goes over the line is the same, in fewer flushes.
"""

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pg8000
from pg8000.converters import make_params
from pg8000.core import Context
from pg8000.dbapi import convert_paramstyle
from pg8000.exceptions import DatabaseError, InterfaceError

_HEAD, _COUNT, _LENGTH = struct.Struct("!ci"), struct.Struct("!h"), struct.Struct("!i")
_READY = b"Z"
_AT_ONCE = 8_192
_KEPT = 1000
"""Statements, or their columns, that are known from before."""
_UNIQUE_VIOLATION = "23505"


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + _LENGTH.pack(len(content) + 4) + content


def _pass_over(_content: bytes, _context: Any) -> None:
    pass


# PostgreSQL manual, "Message Formats". All are about the unnamed statement and the unnamed portal.
_BEGIN = b"".join(
    (
        _message(b"P", b"\0begin transaction\0\0\0"),
        _message(b"B", b"\0\0\0\0\0\0\0\0"),
        _message(b"E", b"\0\0\0\0\0"),
    )
)
_DESCRIBE_EXECUTE_SYNC = b"".join(
    (
        _message(b"D", b"P\0"),
        _message(b"E", b"\0\0\0\0\0"),
        _message(b"S", b""),
    )
)


@lru_cache(maxsize=_KEPT)
def _parse(statement: str, encoding: str) -> bytes:
    """The message that hands over a statement; `%s` stands for its parameters."""
    numbered, _ = convert_paramstyle("format", statement, ())
    return _message(b"P", b"\0" + numbered.encode(encoding) + b"\0\0\0")


def _bind(values: Sequence[str | None], encoding: str) -> bytes:
    """The message that hands over the parameters, as text."""
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
    """A cursor whose statements with parameters are one round trip each."""

    def execute(self, operation: str, args: Sequence[Any] = (), stream: Any = None) -> Any:
        """Execute a statement, and begin a transaction before it where there is none."""
        if not args or stream is not None:
            return super().execute(operation, args, stream)
        self._context = self._c.execute_at_once(operation, args)
        self._row_iter = iter(self._context.rows or ())
        return self


class Connection(pg8000.Connection):
    """A connection with such cursors."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._described: dict[bytes, tuple[Any, Any]] = {}
        super().__init__(*args, **options)
        self.used_at = time.monotonic()
        """When the server answered last."""
        # Who asks knows how many columns come, and that they are texts.
        self._asking = {**self.message_types, b"T": _pass_over, b"C": _pass_over, b"D": self._note_texts}

    def cursor(self) -> Cursor:
        return Cursor(self)

    def ask(self, sql: str) -> Sequence[str]:
        """Run a statement without parameters as a simple query, and return its first row as texts.

        A null is an empty text.
        """
        context = Context(sql)
        context.rows = []
        self._send(_message(b"Q", sql.encode(self._client_encoding) + b"\0"))
        self._read(context, self._asking)
        row: Sequence[str] = context.rows[0]
        return row

    def execute_at_once(self, statement: str, args: Sequence[Any]) -> Any:
        """Execute a statement whose parameters are `%s`, in one round trip.

        Where the beginning of its transaction fails, PostgreSQL passes over all that was sent with it.

        Raises:
            ProgrammingError, IntegrityError, InterfaceError: As pg8000's cursors do.
        """
        begin = b"" if self.autocommit or self._in_transaction else _BEGIN
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
        """Read the server's messages until it is ready, as many at once as have come."""
        more = self._more
        received, at, code = b"", 0, None
        while code != _READY:
            if len(received) < at + _HEAD.size:
                received, at = received[at:] + more(_HEAD.size + at - len(received)), 0
            code, length = _HEAD.unpack_from(received, at)
            end = at + 1 + length
            if len(received) < end:
                received += more(end - len(received))
            handlers[code](received[at + _HEAD.size : end], context)
            at = end
        self.used_at = time.monotonic()
        if context.error is not None:
            raise context.error

    def _more(self, least: int) -> bytes:
        """Wait for so many bytes at least, and take what has come with them."""
        try:
            received: bytes = self._sock.read1(_AT_ONCE)
            if len(received) < least:
                received += self._sock.read(least - len(received))
        except OSError as error:
            raise InterfaceError("network error") from error
        if len(received) < least:
            raise InterfaceError("network error")
        return received

    def _note_texts(self, row: bytes, context: Any) -> None:
        texts: list[str] = []
        [columns], at = _COUNT.unpack_from(row), _COUNT.size
        for _ in range(columns):
            [length] = _LENGTH.unpack_from(row, at)
            at += _LENGTH.size
            end = at + max(length, 0)
            texts.append(str(row[at:end], self._client_encoding))
            at = end
        context.rows.append(texts)

    def handle_ROW_DESCRIPTION(self, data: bytes, context: Any) -> None:  # noqa: N802 (the name is pg8000's)
        """Take note of the columns; statements that were executed before have the same ones again."""
        known = self._described.get(data)
        if known is None:
            super().handle_ROW_DESCRIPTION(data, context)
            if len(self._described) < _KEPT:
                self._described[data] = context.columns, context.input_funcs
        else:
            context.columns, context.input_funcs = known
            context.rows = context.rows or []

"""Reads the body of an HTTP request, whole and within the limit of API Gateway."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import BinaryIO

from infra.local.refusals import Refused

LIMIT = 10 * 1024 * 1024  # bytes; Amazon API Gateway quotas, "Payload size" of REST APIs
LINE = 8192  # bytes of a line between chunks
TRAILERS = 100

_DIGITS = re.compile(r"[0-9]{1,19}")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")


class Disconnected(ConnectionError):
    """The client went away before its request was whole."""


def announced(lengths: Sequence[str], encodings: Sequence[str]) -> int | None:
    """Return the length that Content-Length and Transfer-Encoding announce, None for chunks.

    Both at once, or two lengths, smuggle requests past a proxy (RFC 9112, section 6.3).
    """
    if encodings:
        if lengths or [encoding.strip().lower() for encoding in encodings] != ["chunked"]:
            raise Refused(
                HTTPStatus.BAD_REQUEST, "Transfer-Encoding must be chunked, without Content-Length."
            )
        return None
    if not lengths:
        return 0
    if len(set(lengths)) > 1 or not _DIGITS.fullmatch(lengths[0].strip()):
        raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length must be one whole number.")
    length = int(lengths[0])
    if length > LIMIT:
        raise _too_large()
    return length


def read(stream: BinaryIO, length: int | None) -> bytes:
    """Read a body of the announced length, or of chunks when it is None."""
    if length is None:
        return _read_chunks(stream)
    return _read_exactly(stream, length)


def _read_chunks(stream: BinaryIO) -> bytes:
    body = bytearray()
    while True:
        # A chunk's extensions, behind the semicolon, mean nothing to us (RFC 9112, section 7.1.1).
        size_text = _read_line(stream).partition(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(size_text):
            raise Refused(HTTPStatus.BAD_REQUEST, "A chunk of the body has no valid size.")
        size = int(size_text, 16)
        if len(body) + size > LIMIT:
            raise _too_large()
        if size == 0:
            break
        body += _read_exactly(stream, size)
        if _read_line(stream).strip():
            raise Refused(HTTPStatus.BAD_REQUEST, "A chunk of the body is longer than its size.")
    for _ in range(TRAILERS):
        if not _read_line(stream).strip():
            return bytes(body)
    raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The body has too many trailers.")


def _read_line(stream: BinaryIO) -> bytes:
    line = stream.readline(LINE)
    if not line.endswith(b"\n"):
        if len(line) == LINE:
            raise Refused(HTTPStatus.BAD_REQUEST, "A line between two chunks is too long.")
        raise Disconnected
    return line


def _read_exactly(stream: BinaryIO, length: int) -> bytes:
    body = stream.read(length)
    if len(body) < length:
        raise Disconnected
    return body


def _too_large() -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The limit is {LIMIT // 1024 // 1024} MB.")

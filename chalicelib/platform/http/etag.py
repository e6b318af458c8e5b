"""Conditional requests (RFC 9110, section 13): entity tags, 304 and 412.

A tag is the row's version and a hash of the representation, as in "3-9f86d081884c7d65". Readers compare
all of it, so that a place taken or a sale begun makes a new tag. Writers compare the version alone: a host
who edits a description is not refused because somebody booked meanwhile.
"""

import hashlib
import re
from collections.abc import Mapping

from chalicelib.platform.http.request import Request, Response

_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_STRONG = re.compile(r'(?<!W/)"(\d{1,9})-[0-9a-f]+"')


def written_response(
    status: int, body: str, version: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer a write with the resource as it is now, and its ETag."""
    return Response(status, body, {"ETag": _tag(body, version), **(headers or {})})


def etag_response(request: Request, body: str, version: int, *, public: bool = False) -> Response:
    """Answer a GET: 304 without a body when the client has this very representation."""
    tag = _tag(body, version)
    wanted = request.headers.get("if-none-match")
    if wanted is not None and (wanted.strip() == "*" or tag.strip('"') in _TAG.findall(wanted)):
        return Response(304, headers={"ETag": tag}, public=public)
    return Response(200, body, {"ETag": tag}, public=public)


def expected_versions(request: Request) -> frozenset[int] | None:
    """The versions that If-Match allows to be changed; None when it allows any."""
    wanted = request.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return None
    return frozenset(int(version) for version in _STRONG.findall(wanted))


def _tag(body: str, version: int) -> str:
    return f'"{version}-{hashlib.sha256(body.encode()).hexdigest()[:16]}"'

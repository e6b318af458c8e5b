"""Conditional requests (RFC 9110, section 13): entity tags, 304 and 412.

A tag is the row's version and a hash of the representation, as in "3-9f86d081884c7d65". Reads compare the
whole tag, so that a booking or the start of the sale makes a new tag. Writes compare the version only, so
that a booking does not make a host's edit fail.
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
    """Respond to a write with the resource's new state and its ETag."""
    return Response(status, body, {"ETag": _tag(body, version), **(headers or {})})


def etag_response(
    request: Request,
    body: str,
    version: int,
    *,
    public: bool = False,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Response:
    """Respond to a GET, with 304 and no body if the client has this representation."""
    tag = _tag(body, version)
    wanted = request.headers.get("if-none-match")
    with_tag = {"ETag": tag, **(headers or {})}
    if wanted is not None and (wanted.strip() == "*" or tag.strip('"') in _TAG.findall(wanted)):
        return Response(304, headers=with_tag, public=public)
    return Response(200, body, with_tag, content_type, public=public)


def expected_versions(request: Request) -> frozenset[int] | None:
    """Return the versions that If-Match names, or None if any version may be changed."""
    wanted = request.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return None
    return frozenset(int(version) for version in _STRONG.findall(wanted))


def _tag(body: str, version: int) -> str:
    return f'"{version}-{hashlib.sha256(body.encode()).hexdigest()[:16]}"'

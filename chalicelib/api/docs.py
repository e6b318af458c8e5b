"""The documentation of this API: the OpenAPI document, a viewer for it, and the list of problem types."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from chalicelib.api import problem_types
from chalicelib.api.examples import EXAMPLES
from chalicelib.api.routing import new_router
from chalicelib.api.schemas import enums
from chalicelib.platform.http import openapi
from chalicelib.platform.http.etag import etag_response
from chalicelib.platform.http.html import HTML, page
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router

JAVASCRIPT = "text/javascript"
_VIEWER = Path(__file__).with_name("static") / "redoc.standalone.js"

_PAGE = """\
<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Event booking API</title><link rel="icon" href="data:,">
<style>
body {{ margin: 0 }}
noscript {{ display: block; margin: 2rem; font: 18px/1.5 system-ui, sans-serif }}
</style>
<noscript>This page needs JavaScript. See also the <a href="openapi.json">OpenAPI document</a> and the
<a href="docs/problems">list of problems</a>.</noscript>
<redoc spec-url="openapi.json" native-scrollbars></redoc>
<script src="docs/viewer.js?v={version}"></script></html>
"""
_PAGE_HEADERS = {
    # The viewer sets styles from its script, and searches in a worker that it makes of a blob.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; worker-src blob:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_CACHED = {"Cache-Control": "public, max-age=300, stale-while-revalidate=86400"}
"""The documents change by a deployment only."""
_VIEWER_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",  # the page names the version in the address
    "X-Content-Type-Options": "nosniff",
}


def docs_router(features: Sequence[Router]) -> Router:
    """Make the routes that describe the features' routes, and themselves."""
    routes = new_router("docs", "This documentation.")

    @cache
    def document(public_url: str) -> str:
        operations = [operation for router in (*features, routes) for operation in router.operations]
        tags = {router.name: router.about for router in (*features, routes)}
        described = openapi.document(operations, public_url, tags=tags, examples=EXAMPLES, enums=enums.NAMES)
        return json.dumps(described, separators=(",", ":"))

    @routes.get("/openapi.json", auth="none", responses={200: dict[str, Any]}, conditional=True)
    def openapi_document(request: Request) -> Response:
        """Get this API as an OpenAPI 3.1 document."""
        text = document(request.settings.public_url)
        return etag_response(request, text, version=1, headers=_CACHED)

    @routes.get("/docs", auth="none", responses={200: HTML}, conditional=True)
    def docs_page(request: Request) -> Response:
        """Read this API as a page."""
        text = _PAGE.format(version=_viewer()[1])
        return _cached_page(request, Response(200, text, _PAGE_HEADERS, f"{HTML}; charset=utf-8"))

    @routes.get("/docs/viewer.js", auth="none", responses={200: JAVASCRIPT})
    def docs_viewer(_request: Request) -> Response:
        """Get the script of the page."""
        return Response(200, _viewer()[0], _VIEWER_HEADERS, content_type=f"{JAVASCRIPT}; charset=utf-8")

    @routes.get("/docs/problems", auth="none", responses={200: HTML}, conditional=True)
    def problem_list(request: Request) -> Response:
        """Read what each problem type means and what to do about it."""
        return _cached_page(request, page("Problem types", problem_types.as_html()))

    return routes


def _cached_page(request: Request, shown: Response) -> Response:
    headers = {**shown.headers, **_CACHED}
    return etag_response(request, shown.body, version=1, headers=headers, content_type=shown.content_type)


@cache
def _viewer() -> tuple[str, str]:
    """Return the viewer's script and its version: a hash, so that a new file has a new address."""
    script = _VIEWER.read_text()
    return script, hashlib.sha256(script.encode()).hexdigest()[:16]

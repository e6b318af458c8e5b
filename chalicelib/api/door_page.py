"""The scanner for phones at the door of an event: a page with its scripts, which also works offline.

The page is the same for every event and holds no data: it calls the routes of check-ins with a door key.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from uuid import UUID

from chalicelib.api.docs import JAVASCRIPT
from chalicelib.api.routing import new_router
from chalicelib.platform.http.html import HTML
from chalicelib.platform.http.request import Request, Response

routes = new_router("door page", "The scanner page for phones, and its files. Programs do not need them.")

_FOLDER = Path(__file__).with_name("static") / "door"
_PAGE = "index.html"
_SERVICE_WORKER = "service-worker.js"
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": JAVASCRIPT,
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_FILES = sorted(
    path.name for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES and path.name != _SERVICE_WORKER
)
_HEADERS = {
    # The service worker keeps the files. Without one, old and new modules must not be mixed.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self)",
    "Referrer-Policy": "no-referrer",
}


@routes.get("/door/{eventId}", auth="none", responses={200: HTML})
def door_page(_request: Request, event_id: UUID) -> Response:  # noqa: ARG001 (the page's script reads it)
    """Scan tickets at the door, with a door key."""
    return _response(_text(_PAGE), HTML)


@routes.get(f"/door/{_SERVICE_WORKER}", auth="none", responses={200: JAVASCRIPT})
def door_service_worker(_request: Request) -> Response:
    """Get the script that keeps the page for reloads without a network."""
    constants = f"const VERSION = {json.dumps(_version())};\nconst FILES = {json.dumps(_FILES)};\n"
    return _response(constants + _text(_SERVICE_WORKER), JAVASCRIPT)


def _declare(file: str) -> None:
    media_type = _MEDIA_TYPES[Path(file).suffix]

    def door_file(_request: Request) -> Response:
        return _response(_text(file), media_type)

    door_file.__name__ = f"door_file_{file.replace('.', '_')}"
    door_file.__doc__ = f"Get {file} of the page."
    routes.get(f"/door/{file}", auth="none", responses={200: media_type})(door_file)


for _file in _FILES:
    _declare(_file)


def _response(text: str, media_type: str) -> Response:
    return Response(200, text, _HEADERS, content_type=f"{media_type}; charset=utf-8")


@cache
def _text(file: str) -> str:
    return (_FOLDER / file).read_text()


@cache
def _version() -> str:
    """Return a hash of all files, so that a change of any of them makes browsers load all again."""
    digest = hashlib.sha256()
    for file in (_PAGE, _SERVICE_WORKER, *_FILES):
        digest.update(hashlib.sha256(_text(file).encode()).digest())
    return digest.hexdigest()[:16]

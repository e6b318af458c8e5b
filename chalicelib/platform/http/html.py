"""Pages: the few that people see in a browser, plain HTML without scripts."""

from chalicelib.platform.http.request import Response

HTML = "text/html"
"""Declares, in place of a type, that a route answers with a page."""

_STYLE = """
body { font: 18px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem }
body { color: #1d2129 } button, input { font: inherit; padding: .5rem 1.25rem } label { display: block }
@media (prefers-color-scheme: dark) { body { background: #16181d; color: #e3e6eb } }
"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the address of such a page is a secret
}


def page(title: str, content: str, status: int = 200) -> Response:
    """Answer with a page; `content` is HTML whose values are escaped."""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><main><h1>{title}</h1>{content}</main></html>"
    )
    return Response(status, text, _HEADERS, content_type=f"{HTML}; charset=utf-8")

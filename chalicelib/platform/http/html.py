"""HTML pages for people, without scripts."""

from chalicelib.platform.http.request import Response

HTML = "text/html"
"""The media type of a page, which a route declares in place of a JSON body's type."""

_STYLE = """
body { font: 18px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem }
body { color: #1d2129 } button, input { font: inherit; padding: .5rem 1.25rem } label { display: block }
h2 { font-size: 1.1rem; margin: 2rem 0 0 } section p { margin: .25rem 0 } :target { background: #fff6cf }
@media (prefers-color-scheme: dark) {
  body { background: #16181d; color: #e3e6eb } a { color: #8ab4ff } :target { background: #4a431f }
}
"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the URL contains a token
}


def page(title: str, content: str, status: int = 200) -> Response:
    """Return a page. `content` is HTML whose values are escaped."""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><main><h1>{title}</h1>{content}</main></html>"
    )
    return Response(status, text, _HEADERS, content_type=f"{HTML}; charset=utf-8")

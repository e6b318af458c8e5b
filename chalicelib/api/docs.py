"""The reference: the OpenAPI document and a human page of it, both served by the API itself."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import Any

from chalicelib.api.routing import new_router
from chalicelib.platform.errors import Refusal
from chalicelib.platform.http import openapi, problems
from chalicelib.platform.http.html import HTML
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
body { color: #1d2129 }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #d8dce3 } h3 { margin-top: 2rem }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: #f3f4f7; border-radius: 4px }
code { padding: 1px 4px } pre { padding: .75rem; overflow: auto }
table { border-collapse: collapse } td { vertical-align: top; padding: .2rem 1rem .2rem 0 }
.method { font-weight: 600; display: inline-block; min-width: 4.5rem } .muted { color: #626b7a }
:target { background: #fff6cf }
@media (prefers-color-scheme: dark) {
  body { background: #16181d; color: #e3e6eb } code, pre { background: #23262d }
  h2 { border-color: #3a3f4a } a { color: #8ab4ff } :target { background: #4a431f } .muted { color: #9aa3b2 }
}
"""


def docs_router(features: Sequence[Router]) -> Router:
    """Make the routes that describe the features' routes, and themselves."""
    routes = new_router("reference")

    @cache
    def document(public_url: str) -> dict[str, Any]:
        operations = [operation for router in (*features, routes) for operation in router.operations]
        return openapi.document(operations, public_url)

    @routes.get("/openapi.json", auth="none", responses={200: dict[str, Any]})
    def openapi_document(request: Request) -> Response:
        """Get this API as an OpenAPI 3.1 document."""
        return Response(200, json.dumps(document(request.settings.public_url)))

    @routes.get("/docs", auth="none", responses={200: HTML})
    def human_page(request: Request) -> Response:
        """Read this API as a page."""
        page = "".join(_page(document(request.settings.public_url)))
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(200, page, policy, content_type="text/html; charset=utf-8")

    return routes


def _page(document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield '<!doctype html><html lang="en"><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>{escape(info['title'])}</title><style>{_STYLE}</style><h1>{escape(info['title'])}</h1>"
    yield f"<p>{_text(info['description'].replace('[human page](docs)', 'page you are reading'))}</p>"
    yield '<p><a href="openapi.json">OpenAPI document</a> · <a href="#problems">Problem types</a></p>'
    yield "<h2>Routes</h2><table>"
    for path, method, operation in _operations(document):
        yield (
            f'<tr><td><span class="method">{method}</span><td><a href="#{operation["operationId"]}">'
            f"<code>{escape(path)}</code></a><td>{_text(operation['summary'])}"
        )
    yield "</table>"
    for path, method, operation in _operations(document):
        yield from _operation(path, method, operation)
    yield '<h2 id="problems">Problem types</h2>'
    yield "<p>The <code>type</code> of a problem document ends in one of these.</p>"
    for refusal in sorted(_all_refusals(), key=_slug):
        yield (
            f'<h3 id="{refusal.slug()}"><code>{refusal.slug()}</code> '
            f'<span class="muted">{int(problems.status(refusal))}</span></h3>'
            f"<p>{escape(refusal.title())}.</p>"
        )


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{operation["operationId"]}"><span class="method">{method}</span> '
    yield f"<code>{escape(path)}</code></h3><p>{_text(operation['summary'])}."
    yield f" {_text(operation['description'])}</p>"
    if operation["parameters"]:
        yield "<table>"
        for parameter in operation["parameters"]:
            schema = parameter["schema"]
            yield (
                f"<tr><td><code>{escape(parameter['name'])}</code>"
                f'<td class="muted">{parameter["in"]}<td>{_text(_say(schema))}'
            )
        yield "</table>"
    if "requestBody" in operation:
        content = next(iter(operation["requestBody"]["content"].values()))
        yield f"<pre>{escape(json.dumps(content['example'], indent=2, ensure_ascii=False))}</pre>"
    yield "<table>"
    for status, response in operation["responses"].items():
        yield f"<tr><td><b>{status}</b><td>{_text(response['description'])}"
        for problem in response.get("content", {}).get(problems.CONTENT_TYPE, {}).get("examples", {}):
            yield f' <a href="#{problem}"><code>{problem}</code></a>'
    yield "</table>"


def _say(schema: dict[str, Any]) -> str:
    """A parameter's schema in a few words."""
    words = [schema["description"]] if "description" in schema else []
    if "enum" in schema:
        words.append(", ".join(f"`{value}`" for value in schema["enum"]))
    if "minimum" in schema and "maximum" in schema:
        words.append(f"{schema['minimum']} to {schema['maximum']}")
    if schema.get("default") is not None:
        words.append(f"Default `{json.dumps(schema['default'])}`.")
    return " ".join(words)


def _text(text: str) -> str:
    """Escape, and set what stands in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _slug(refusal: type[Refusal]) -> str:
    return refusal.slug()


def _all_refusals(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for refusal in kind.__subclasses__():
        yield refusal
        yield from _all_refusals(refusal)

"""Stands in for API Gateway: hands HTTP requests to the app as proxy events, and returns its responses."""

import base64
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from chalice.app import Chalice
from chalice.local import LambdaContext, LocalChalice, MatchResult, RouteMatcher
from werkzeug.datastructures import Headers, MultiDict
from werkzeug.wrappers import Request, Response

from infra.aws import function_table
from infra.local.server import problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TIMEOUT_MS = 29_000  # API Gateway's limit
MEMORY_MB = 1024


class ProxyResponse(Response):
    default_mimetype = None  # a response without content has no type


def api_gateway(app: Chalice) -> "WSGIApplication":
    """Return a WSGI app that calls the functions of a Chalice app."""
    if not isinstance(app, LocalChalice):  # it keeps one request for each thread
        app.__class__ = type("LocalApp", (LocalChalice, type(app)), {})
    matcher = RouteMatcher(list(app.routes))
    by_route = {
        route: app.handler_map[function.name]
        for function in function_table.TABLE
        for route in function.routes
        if function.name in app.handler_map
    }

    def respond(request: Request) -> Response:
        try:
            match = matcher.match_route(request.environ["REQUEST_URI"])
        except ValueError:
            return problem(HTTPStatus.NOT_FOUND)
        method = request.environ["REQUEST_METHOD"]  # werkzeug would make it upper case
        if method == "OPTIONS":
            return _preflight(app.routes[match.route])
        function = by_route.get((method, match.route), app)
        response = _response(function(_event(request, match), LambdaContext("api", MEMORY_MB, TIMEOUT_MS)))
        if method == "HEAD":  # the app leaves the body out, so that its length is not known here
            response.automatically_set_content_length = False
            response.headers.remove("Content-Length")
        return response

    return Request.application(respond)


def _event(request: Request, match: MatchResult) -> dict[str, Any]:
    """Return what a function receives (API Gateway Developer Guide, "Lambda proxy integrations")."""
    path = urlsplit(request.environ["REQUEST_URI"]).path
    headers = MultiDict(request.environ["local.headers"]).to_dict(flat=False)
    body = request.get_data()
    return {
        "resource": match.route,
        "path": path,
        "httpMethod": request.environ["REQUEST_METHOD"],
        "headers": _last(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last(match.query_params) or None,
        "multiValueQueryStringParameters": match.query_params or None,
        "pathParameters": {
            # The matcher also returns what it captured for other routes.
            name: value
            for name, value in match.captured.items()
            if f"{{{name}}}" in match.route
        }
        or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": match.route,
            "path": path,
            "httpMethod": request.environ["REQUEST_METHOD"],
            "protocol": request.environ["SERVER_PROTOCOL"],
            "stage": "local",
            "requestId": str(uuid4()),
            "requestTimeEpoch": time.time_ns() // 1_000_000,
            "identity": {"sourceIp": request.remote_addr, "userAgent": request.headers.get("User-Agent")},
        },
        "body": base64.b64encode(body).decode() or None,
        "isBase64Encoded": bool(body),
    }


def _last(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: several[-1] for name, several in values.items()}


def _response(answer: Mapping[str, Any]) -> Response:
    headers = Headers({**answer["headers"], **answer["multiValueHeaders"]})
    body = answer["body"] or ""
    if body:
        headers.setdefault("Content-Type", "application/json")
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else body
    return ProxyResponse(content, answer["statusCode"], headers)


def _preflight(views: Mapping[str, Any]) -> Response:
    """Answer a CORS preflight request as API Gateway does, by what Chalice deploys for the path."""
    cors = {method: view.cors for method, view in views.items() if view.cors}
    headers = next(iter(cors.values())).get_access_control_headers() if cors else {}
    return ProxyResponse(
        headers={
            **headers,
            "Access-Control-Allow-Methods": ",".join([*cors, "OPTIONS"]),
            "X-Request-Id": str(uuid4()),
        }
    )

"""Declare routes. The OpenAPI document is made from the same declarations."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import NoneType
from typing import Any, get_args

from chalice.app import Blueprint
from chalice.app import Response as ChaliceResponse
from msgspec import Struct

from chalicelib.platform.errors import Refusal
from chalicelib.platform.http import serving
from chalicelib.platform.http.html import HTML
from chalicelib.platform.http.operation import AccountCheck, Auth, Operation, View
from chalicelib.platform.http.serving import CORS, Security
from chalicelib.platform.security import AccountLock


class Router:
    """The routes below one URL prefix.

    A view receives the request, the path's ids by their snake_case names, and, if it declares them:
    `body` and `query`, parsed as the msgspec type of the annotation, and `connection`, a transaction that
    commits when the view returns and rolls back when it raises. A body whose annotation allows None may be
    left out. The router checks that the caller's account exists, in that transaction or, for a view without
    one, in its own. A GET route also responds to HEAD.
    """

    def __init__(self, name: str, security: Security, about: str) -> None:
        self.name = name
        self.about = about
        """What the routes are for, in the OpenAPI document."""
        self.blueprint = Blueprint(name)
        self.operations: list[Operation] = []
        self._security = security
        self.get = partial(self._route, "GET")
        self.post = partial(self._route, "POST")
        self.put = partial(self._route, "PUT")
        self.patch = partial(self._route, "PATCH")
        self.delete = partial(self._route, "DELETE")

    def _route(  # noqa: PLR0913 (keywords of a declaration)
        self,
        method: str,
        path: str,
        *,
        auth: Auth,
        responses: Mapping[int, Any],
        errors: tuple[type[Refusal], ...] = (),
        idempotent: bool = False,
        conditional: bool = False,
        media_type: str = "application/json",
        raw_body: bool = False,
        account_check: AccountCheck = "router",
        account_lock: AccountLock | None = None,
        limited: bool = False,
    ) -> Callable[[View], View]:
        """Declare a route. Reads do not lock the caller's account, writes lock it with `share`."""

        def declare(view: View) -> View:
            parameters = inspect.signature(view).parameters
            body, body_required = _body_of(parameters)
            operation = Operation(
                tag=self.name,
                method=method,
                path=path,
                view=view,
                auth=auth,
                account_check=account_check,
                account_lock=account_lock or ("none" if method == "GET" else "share"),
                responses=responses,
                errors=errors,
                body=body,
                body_required=body_required,
                raw_body=raw_body,
                query=parameters["query"].annotation if "query" in parameters else None,
                takes_connection="connection" in parameters,
                is_page=HTML in responses.values(),
                idempotent=idempotent,
                conditional=conditional,
                media_type=media_type,
                limited=limited,
            )
            self.operations.append(operation)

            def handle(**path_parameters: str) -> ChaliceResponse:
                return serving.serve(
                    operation, self.blueprint.current_request, path_parameters, self._security
                )

            handle.__name__ = view.__name__
            # Chalice does not check the content type: `validation` does, with better messages.
            methods = ["GET", "HEAD"] if method == "GET" else [method]
            register = self.blueprint.route(path, methods=methods, cors=CORS, content_types=[])
            register(handle)
            return view

        return declare


def _body_of(parameters: Mapping[str, inspect.Parameter]) -> tuple[type[Struct] | None, bool]:
    """Return the type of the view's body, and whether a body is required."""
    if "body" not in parameters:
        return None, False
    annotation = parameters["body"].annotation
    types = [declared for declared in get_args(annotation) if declared is not NoneType]
    return (types[0], False) if types else (annotation, True)

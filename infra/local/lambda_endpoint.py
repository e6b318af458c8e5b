"""Lambda's Invoke for the functions of an app that no trigger calls, such as `operate`."""

import json
import re
import threading
import traceback
from typing import TYPE_CHECKING

from chalice.app import Chalice
from werkzeug.wrappers import Request, Response

from infra.local.aws import refusing_websites
from infra.local.lambda_runner import Function

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TIMEOUT = 300  # seconds

_PATH = re.compile(r"/2015-03-31/functions/(\w+)/invocations")


def lambda_endpoint(app: Chalice) -> "WSGIApplication":
    """Return a WSGI app that calls the functions. Programs on this machine may use it, websites may not."""
    functions = {
        function.name: Function(function.name, app.handler_map[function.name], TIMEOUT, threading.Event())
        for function in app.pure_lambda_functions
    }

    @Request.application
    def respond(request: Request) -> Response:
        found = _PATH.fullmatch(request.path)
        function = functions.get(found[1]) if found else None
        if function is None:
            return Response(json.dumps({"Message": "Function not found"}), 404)
        try:
            return Response(json.dumps(function(json.loads(request.data or b"{}"))))
        except Exception as error:  # noqa: BLE001 - Lambda reports every error of a function
            traceback.print_exc()
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return Response(json.dumps(failure), headers={"X-Amz-Function-Error": "Unhandled"})

    return refusing_websites(respond)

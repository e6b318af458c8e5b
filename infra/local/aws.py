"""Runs moto's server as a stand-in for AWS, and points this process at an AWS endpoint."""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.sansio.utils import host_is_trusted

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
REGION = "eu-central-1"
NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy")


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Run the server on a free loopback port for a block, which gets its address.

    The environment points at the server meanwhile. Its data is lost at the end of the block.
    """
    # Imported only here, because moto takes longer to import than everything else together.
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    class QuietHandler(MotoRequestHandler):
        def log(self, *_: object) -> None:
            """Write nothing: the pollers make several requests per second."""

    _use_plain_clock()
    application = refusing_websites(DomainDispatcherApplication(create_backend_app))
    # moto's own ThreadedMotoServer waits forever if it cannot listen, and takes half a second to stop.
    server = make_server(HOST, 0, application, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="aws", daemon=True)
    thread.start()
    endpoint = f"http://{HOST}:{server.server_port}"
    try:
        with pointing_at(endpoint):
            yield endpoint
    finally:
        server.shutdown()
        thread.join()
        reset()


def refusing_websites(application: "WSGIApplication") -> "WSGIApplication":
    """Refuse requests of websites: any origin could read the e-mails and their tokens, or call functions."""

    def respond(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ or not host_is_trusted(environ.get("HTTP_HOST", ""), [HOST, "localhost"]):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"Only programs on this machine may call this server.\n"]
        return application(environ, start_response)

    return respond


def reset() -> None:
    """Delete moto's data, which belongs to the process and not to a server."""
    from moto.core.base_backend import BackendDict  # noqa: PLC0415

    BackendDict.reset()


def delete_published_messages() -> None:
    """Delete the messages that moto has published and keeps for tests."""
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415
    from moto.sns.models import sns_backends  # noqa: PLC0415

    for topic in list(sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics.values()):
        topic.sent_notifications.clear()


@contextlib.contextmanager
def pointing_at(endpoint: str) -> Iterator[None]:
    """Point the environment at an endpoint, with dummy credentials, for a block.

    The user's own AWS settings do not count meanwhile. A profile, an endpoint of a single service or a
    proxy would lead elsewhere.
    """
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **{name: _append(os.environ.get(name), urlsplit(endpoint).hostname) for name in NO_PROXY_VARIABLES},
    }
    before = dict(os.environ)
    names = {name for name in before if name.startswith("AWS_")} | set(settings)
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in names if name in before})


def _append(hosts: str | None, host: str | None) -> str:
    return ",".join(filter(None, [hosts, host]))


def _use_plain_clock() -> None:
    """Give moto's queues a plain clock.

    Their own clock makes two datetimes for each message that a receive visits, which made a long queue
    5 to 10 times slower.
    """
    from moto.sqs import models  # noqa: PLC0415

    def seconds(_: object = None) -> float:
        return time.time()

    def milliseconds(_: object = None) -> float:
        return time.time() * 1000

    vars(models).update(unix_time=seconds, unix_time_millis=milliseconds)

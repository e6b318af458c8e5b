"""Runs moto's server, the stand-in for AWS, and points this process at it or at another one."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

HOST = "127.0.0.1"
REGION = "eu-central-1"
NO_PROXY = ("NO_PROXY", "no_proxy")


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Run the server on a free loopback port for a block, which gets its address.

    The environment names it meanwhile. All that it holds is gone when the block ends.
    """
    # Imported here, and by nothing before: it takes longer than all else that is imported.
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    class Quiet(MotoRequestHandler):
        def log(self, *_: object) -> None:
            """Write nothing: the pollers alone make several requests a second."""

    _hasten()
    application = DomainDispatcherApplication(create_backend_app)
    # Not moto's ThreadedMotoServer, which waits for ever when it cannot listen, and takes half a
    # second to stop.
    server = make_server(HOST, 0, application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="aws", daemon=True)
    thread.start()
    endpoint = f"http://{HOST}:{server.server_port}"
    try:
        with pointing_at(endpoint):
            yield endpoint
    finally:
        server.shutdown()
        thread.join()
        forget()


def forget() -> None:
    """Have moto forget all that it holds, which is its process's and not a server's."""
    from moto.core.base_backend import BackendDict  # noqa: PLC0415

    BackendDict.reset()


def trim() -> None:
    """Have moto forget what was published, which it keeps for tests that look at it."""
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415
    from moto.sns.models import sns_backends  # noqa: PLC0415

    for topic in list(sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics.values()):
        topic.sent_notifications.clear()


@contextlib.contextmanager
def pointing_at(endpoint: str) -> Iterator[None]:
    """Have the environment name this address and credentials of no worth, while a block runs.

    Nothing of the person's own AWS counts meanwhile: a profile, an endpoint of a single service or
    a proxy would lead elsewhere.
    """
    ours = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **{name: _with(urlsplit(endpoint).hostname, os.environ.get(name)) for name in NO_PROXY},
    }
    before = dict(os.environ)
    touched = {name for name in before if name.startswith("AWS_")} | set(ours)
    for name in touched:
        os.environ.pop(name, None)
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in touched:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in touched if name in before})


def _with(host: str | None, exceptions: str | None) -> str:
    return ",".join(filter(None, [exceptions, host]))


def _hasten() -> None:
    """Give moto's queues a plain clock.

    Its own builds two datetimes for each message that a receive looks at, which made a deep queue
    5 to 10 times slower.
    """
    from moto.sqs import models  # noqa: PLC0415

    def seconds(_: object = None) -> float:
        return time.time()

    def milliseconds(_: object = None) -> float:
        return time.time() * 1000

    vars(models).update(unix_time=seconds, unix_time_millis=milliseconds)

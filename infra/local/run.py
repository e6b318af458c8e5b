"""Runs the product on this machine, PostgreSQL to API, until told to stop."""

import contextlib
import errno
import gc
import json
import os
import resource
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from chalice.app import Chalice
from chalice.cli.factory import CLIFactory
from chalice.config import Config

from chalicelib.migrations import UnknownSchema, upgrade
from chalicelib.platform.settings import BadSetting, Settings
from infra.local import backstage, demo, localstack, state
from infra.local.demo import Demo
from infra.local.embedded import Embedded
from infra.local.installation import CHECKOUT, CannotStart
from infra.local.localstack import LocalStack
from infra.local.server import Server, make_server, url_of
from infra.local.stack import Stack

POOL_SIZE = "24"  # requests, and a connection for each function on a trigger
ANY = 0  # asks the system for a free port
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OPEN_FILES = 4096  # a connection takes one; macOS allows 256 unless asked


class Stopped(Exception):
    """The person who started it wants it to end."""


class Wish:
    """The wish to stop, noted when a signal comes and looked at where stopping is safe.

    Nothing is interrupted: no server can start unnoticed, no second signal cuts the end short.
    """

    def __init__(self) -> None:
        self._noted = False
        for number in SIGNALS:
            # A hang-up that is ignored is the wish of `nohup`; an interrupt that is ignored is only
            # what shells do to background processes.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def check(self) -> None:
        if self._noted:
            raise Stopped

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._noted = True


def main() -> None:
    wish = Wish()
    host = os.environ.get("HOST") or "127.0.0.1"
    port = _port("PORT", "8000")
    with contextlib.suppress(Stopped):
        _run(host, port, wish)
    _say("Stopped.")
    gc.freeze()  # else Python looks through all that was imported once more before it ends, for a second


def _run(host: str, port: int, wish: Wish) -> None:
    _check_free(host, port)
    name = os.environ.get("STACK") or state.EMBEDDED
    folder = state.folder_of(port, name)
    stack = _stack(name, folder)
    refusal = (
        f"Another run holds the data of port {port}. Stop it, or choose another port: "
        f"PORT={_other(port)} make run"
    )
    mail_ports = [_port("MAIL_PORT")] if os.environ.get("MAIL_PORT") else [_next(port), ANY]
    stripe_ports = [_port("STRIPE_PORT")] if os.environ.get("STRIPE_PORT") else [_next(_next(port)), ANY]
    webhook = f"{url_of(host, port)}/webhooks/stripe"
    with state.holding(folder, refusal), stack.database() as url:
        _set_environment(url, state.secret(folder), url_of(host, port))
        wish.check()
        with (
            backstage.stripe(folder, stripe_ports, webhook, _say) as stripe,
            backstage.cloud(stack, folder, mail_ports, _say) as cloud,
        ):
            wish.check()
            _say("Bringing the schema up to date")
            migrate(url)
            wish.check()
            _say("Loading the demo data")
            loaded = demo.load(url)
            wish.check()
            app, config = _load()
            with (
                backstage.parts(),
                backstage.functions(app, cloud, _say),
                _api(app, config, host, port) as server,
            ):
                _say(_welcome(server.url, cloud.mail_page, stripe, loaded))
                _watch(stack, wish)


def migrate(url: str) -> None:
    """Migrate the database. Raises CannotStart if another version made it."""
    try:
        upgrade(url)
    except UnknownSchema as error:
        raise CannotStart(
            f"{error} Remove the data with: make reset\n(For STACK=localstack, docs/localstack.md says how.)"
        ) from error


def _stack(name: str, folder: Path) -> Stack:
    if name == state.EMBEDDED:
        return Embedded(folder / state.DATA, _say)
    if name == state.LOCALSTACK:
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or localstack.ENDPOINT
        return LocalStack(endpoint, os.environ.get("DATABASE_URL") or localstack.DATABASE_URL, _say)
    raise CannotStart(f"STACK must be {' or '.join(state.STACKS)}, not {name!r}.")


def _watch(stack: Stack, wish: Wish) -> None:
    while True:
        wish.check()
        stack.look_after()
        time.sleep(0.1)


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:  # nobody reads any more, which must not spoil what runs nor an orderly end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _port(name: str, usual: str = "") -> int:
    text = os.environ.get(name) or usual
    if text.isascii() and text.isdigit() and 0 < int(text) < 2**16:
        return int(text)
    raise CannotStart(f"{name} must be a number from 1 to 65535, not {text!r}.")


def _next(port: int) -> int:
    return port + 1 if port < 2**16 - 1 else ANY


def _other(port: int) -> int:
    """Return a port to try instead; the next one may be the other run's mail page."""
    return port + 10 if 1024 <= port < 2**16 - 10 else 8000  # noqa: PLR2004 - lower ones are root's


def _check_free(host: str, port: int) -> None:
    """Find out before anything is started whether the port can be had."""
    with _telling_of_the_port(host, port), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
        probe.bind((host, port))


@contextlib.contextmanager
def _telling_of_the_port(host: str, port: int) -> Iterator[None]:
    other = _other(port)
    try:
        yield
    except PermissionError:
        raise CannotStart(
            f"Port {port} is not for this account. Choose another: PORT={other} make run"
        ) from None
    except socket.gaierror as error:
        raise CannotStart(f"HOST={host} is not an address: {error.strerror}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(f"Port {port} is in use. Choose another: PORT={other} make run") from None
        raise CannotStart(f"{host}:{port} cannot be listened on: {error.strerror}") from None


def _set_environment(database_url: str, secret: str, public_url: str) -> None:
    """Set what the app reads; all but the database is for whoever starts it to override."""
    os.environ["DATABASE_URL"] = database_url
    usual = {"JWT_SECRET": secret, "DATABASE_POOL_SIZE": POOL_SIZE, "PUBLIC_URL": public_url}
    for name, value in usual.items():
        if not os.environ.get(name):
            os.environ[name] = value
    try:
        Settings.read(os.environ)
    except BadSetting as error:
        raise CannotStart(f"{error}. Correct it, or leave it unset for `make run`.") from error


def _load() -> tuple[Chalice, Config]:
    factory = CLIFactory(str(CHECKOUT), environ=os.environ)
    config = factory.create_config_obj()
    # What is set already wins over Chalice's configuration file.
    further = {n: v for n, v in config.environment_variables.items() if n not in os.environ}
    return factory.load_chalice_app(further), config


@contextlib.contextmanager
def _api(app: Chalice, config: Config, host: str, port: int) -> Iterator[Server]:
    _say("Starting the API")
    _allow_open_files()
    with _telling_of_the_port(host, port):
        server = make_server(app, host, port, config)
    threading.Thread(target=server.serve_forever, name="local-server", daemon=True).start()
    try:
        yield server
    finally:
        _say("Stopping the API")
        server.stop()


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _welcome(url: str, mail_page: str, stripe: str | None, loaded: Demo) -> str:
    login = json.dumps({"email": loaded.attendee_email, "password": loaded.password})
    booking = json.dumps({"eventId": str(loaded.bookable_event_id)})
    as_json = "-H 'Content-Type: application/json'"
    paid = json.dumps({"eventId": str(loaded.priced_event_id)})
    pay = f"Pay it with card 4242 4242 4242 4242 at {stripe}" if stripe else "Pay it with Stripe's own tools"
    extract = """sed -E 's/.*"token" *: *"([^"]+)".*/\\1/'"""
    return f"""
The API is at {url} and explains itself at {url}/docs

Demo accounts, both with the password {loaded.password}
  host      {loaded.host_email}
  attendee  {loaded.attendee_email}

Log in, then book a place:
  TOKEN=$(curl -s {url}/auth/login {as_json} -d {shlex.quote(login)} | {extract})
  curl -i {url}/bookings -H "Authorization: Bearer $TOKEN" {as_json} -d {shlex.quote(booking)}

Hold a place that costs something:
  curl -i {url}/bookings -H "Authorization: Bearer $TOKEN" {as_json} -d {shlex.quote(paid)}
{pay}

E-mails are not delivered but shown at {mail_page}

Ctrl-C stops it; the data stays.
"""

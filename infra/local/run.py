"""Runs the product on this machine, from PostgreSQL to the API, until a signal stops it."""

import contextlib
import errno
import gc
import importlib
import json
import os
import resource
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from chalice.app import Chalice
from sqlalchemy import make_url

from chalicelib.migrations import UnknownSchema, role, upgrade
from chalicelib.platform.settings import BadSetting, Settings
from infra.local import demo, localstack, run_dir, services
from infra.local.api_gateway import api_gateway
from infra.local.demo import Demo
from infra.local.embedded import Embedded
from infra.local.localstack import LocalStack
from infra.local.server import serving, url_of
from infra.local.stack import Stack
from infra.local.startup import CannotStart

APP_ROLE = "booking_app"
DATABASE_POOL_SIZE = "24"  # connections for requests, and one for each function on a trigger
ANY_PORT = 0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MAX_OPEN_FILES = 4096  # a connection takes one, and macOS allows 256 by default


class Stopped(Exception):
    """A signal has asked the process to stop."""


class StopSignal:
    """Records signals that ask the process to stop.

    The process stops only where it calls `check`, so that no server is left behind, and a second signal does
    not interrupt the shutdown.
    """

    def __init__(self) -> None:
        self._received = False
        for number in SIGNALS:
            # `nohup` ignores hang-ups, and this process respects that. Shells ignore interrupts for
            # background processes, and this process does not.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._record)

    def check(self) -> None:
        """Raise Stopped after a signal."""
        if self._received:
            raise Stopped

    def _record(self, _number: int, _frame: FrameType | None) -> None:
        self._received = True


def main() -> None:
    stop_signal = StopSignal()
    host = os.environ.get("HOST") or "127.0.0.1"
    port = _port("PORT", "8000")
    with contextlib.suppress(Stopped):
        _run(host, port, stop_signal)
    _say("Stopped.")
    gc.freeze()  # the last garbage collection of all imported modules would take a second


def _run(host: str, port: int, stop_signal: StopSignal) -> None:
    _check_free(host, port)
    name = os.environ.get("STACK") or run_dir.EMBEDDED
    folder = run_dir.folder_of(port, name)
    stack = _stack(name, folder)
    refusal = (
        f"Another run uses the data of port {port}. Stop it, or choose another port: "
        f"PORT={_alternative(port)} make run"
    )
    mail_ports = [_port("MAIL_PORT")] if os.environ.get("MAIL_PORT") else [_next(port), ANY_PORT]
    stripe_ports = [_port("STRIPE_PORT")] if os.environ.get("STRIPE_PORT") else [_next(_next(port)), ANY_PORT]
    webhook = f"{url_of(host, port)}/webhooks/stripe"
    with run_dir.locked(folder, refusal), stack.database() as owner_url:
        app_url = _app_url(owner_url, folder)
        _set_environment(app_url, folder, url_of(host, port))
        stop_signal.check()
        with (
            services.stripe(folder, stripe_ports, webhook, _say) as stripe,
            services.cloud(stack, folder, mail_ports, _say) as cloud,
        ):
            stop_signal.check()
            _say("Updating the database schema")
            migrate(owner_url, app_url)
            stop_signal.check()
            _say("Loading demo data")
            events = demo.load(app_url)
            stop_signal.check()
            app = _load()
            with (
                services.wiring(),
                services.functions(app, cloud, _say),
                services.operations(app, folder),
                _api(app, host, port) as url,
            ):
                _say(_welcome(url, cloud.mail_page, stripe, events))
                _wait(stack, stop_signal)


def _app_url(owner_url: str, folder: Path) -> str:
    """Return the URL by which the app connects: with a role that cannot change the schema."""
    password = run_dir.secret(folder, "database-password")
    return make_url(owner_url).set(username=APP_ROLE, password=password).render_as_string(hide_password=False)


def migrate(owner_url: str, app_url: str) -> None:
    """Migrate the database and set up the app's role. Raises CannotStart if another version made it."""
    try:
        upgrade(owner_url)
    except UnknownSchema as error:
        raise CannotStart(
            f"{error} Remove the data with: make reset\n(For STACK=localstack, docs/local.md says how.)"
        ) from error
    role.set_up(owner_url, app_url)


def _stack(name: str, folder: Path) -> Stack:
    if name == run_dir.EMBEDDED:
        return Embedded(folder / run_dir.DATA, _say)
    if name == run_dir.LOCALSTACK:
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or localstack.ENDPOINT
        return LocalStack(endpoint, os.environ.get("DATABASE_URL") or localstack.DATABASE_URL, _say)
    raise CannotStart(f"STACK must be {' or '.join(run_dir.STACKS)}, not {name!r}.")


def _wait(stack: Stack, stop_signal: StopSignal) -> None:
    while True:
        stop_signal.check()
        stack.check()
        time.sleep(0.1)


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:  # the reader has gone, and an error here would prevent an orderly shutdown
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _port(name: str, default: str = "") -> int:
    text = os.environ.get(name) or default
    if text.isascii() and text.isdigit() and 0 < int(text) < 2**16:
        return int(text)
    raise CannotStart(f"{name} must be a number from 1 to 65535, not {text!r}.")


def _next(port: int) -> int:
    return port + 1 if port < 2**16 - 1 else ANY_PORT


def _alternative(port: int) -> int:
    """Return another port to suggest. The next ports may be in use for the other run's pages."""
    return port + 10 if 1024 <= port < 2**16 - 10 else 8000  # noqa: PLR2004 - only root may use lower ports


def _check_free(host: str, port: int) -> None:
    """Raise CannotStart before anything starts if the port cannot be used."""
    with _explaining_port_errors(host, port), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        probe.bind((host, port))


@contextlib.contextmanager
def _explaining_port_errors(host: str, port: int) -> Iterator[None]:
    alternative = f"Choose another: PORT={_alternative(port)} make run"
    try:
        yield
    except PermissionError:
        raise CannotStart(f"This account may not use port {port}. {alternative}") from None
    except socket.gaierror as error:
        raise CannotStart(f"HOST={host} is not an address: {error.strerror}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(f"Port {port} is in use. {alternative}") from None
        raise CannotStart(f"The API cannot listen on {host}:{port}: {error.strerror}") from None


def _set_environment(database_url: str, folder: Path, public_url: str) -> None:
    """Set what the app reads. The user's own values win, except for the database."""
    os.environ["DATABASE_URL"] = database_url
    defaults = {
        "JWT_SECRET": run_dir.secret(folder, "jwt-secret"),
        "LINK_SECRET": run_dir.secret(folder, "link-secret"),
        "TICKET_SECRET": run_dir.secret(folder, "ticket-secret"),
        "DATABASE_POOL_SIZE": DATABASE_POOL_SIZE,
        "PUBLIC_URL": public_url,
    }
    for name, value in defaults.items():
        if not os.environ.get(name):
            os.environ[name] = value
    try:
        Settings.read(os.environ)
    except BadSetting as error:
        raise CannotStart(f"{error}. Correct the setting, or unset it for `make run`.") from error


def _load() -> Chalice:
    """Import the app. It reads the environment at its import."""
    app: Chalice = importlib.import_module("app").app
    return app


@contextlib.contextmanager
def _api(app: Chalice, host: str, port: int) -> Iterator[str]:
    _say("Starting the API")
    _raise_open_files_limit()
    with contextlib.ExitStack() as exits:
        with _explaining_port_errors(host, port):
            url = exits.enter_context(serving(api_gateway(app), host, port))
        exits.callback(_say, "Stopping the API")
        yield url


def _raise_open_files_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _welcome(url: str, mail_page: str, stripe: str | None, events: Demo) -> str:
    login = shlex.quote(json.dumps({"email": demo.ATTENDEE_EMAIL, "password": demo.PASSWORD}))
    free, priced = (
        shlex.quote(json.dumps({"eventId": str(event_id)}))
        for event_id in (events.free_event_id, events.priced_event_id)
    )
    as_json = "-H 'Content-Type: application/json'"
    book = f'curl -i {url}/bookings -H "Authorization: Bearer $TOKEN" {as_json} -d'
    parse_login = """sed -E 's/.*"token" *: *"([^"]+)".*/\\1/'"""
    payments = f"{stripe} (test card 4242 4242 4242 4242)" if stripe else "your account at Stripe"
    return f"""
The API is ready.
  API            {url}
  Documentation  {url}/docs
  E-mails        {mail_page}
  Payments       {payments}

Demo accounts (password: {demo.PASSWORD})
  Host           {demo.HOST_EMAIL}
  Attendee       {demo.ATTENDEE_EMAIL}

Log in and book a free event:
  TOKEN=$(curl -s {url}/auth/login {as_json} -d {login} | {parse_login})
  {book} {free}

Reserve a place at an event with a price, then pay for it:
  {book} {priced}

Press Ctrl-C to stop. The data stays, and `make reset` removes it.
"""

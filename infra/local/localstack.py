"""Connects to a LocalStack and a PostgreSQL that already run, as `localstack-compose.yml` starts them."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.settings import Settings
from infra.local import aws
from infra.local.mailbox import SentEmail
from infra.local.startup import CannotStart, Say

ENDPOINT = "http://127.0.0.1:4566"
DATABASE_URL = "postgresql+pg8000://postgres:booking@127.0.0.1:54320/booking"
START_COMMAND = "docker compose -f localstack-compose.yml up -d --wait"
DRIVER = "postgresql+pg8000"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SERVICES = ("sns", "sqs", "ses")

RESPONSE_TIMEOUT = 10.0
"""Seconds, enough for the first call of a service, which loads the service."""


class LocalStack:
    """A stack that a run uses and leaves as it is."""

    is_persistent = True

    def __init__(self, endpoint: str, database_url: str, say: Say) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._database_url = database_url
        self._say = say

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        url = self._database_url
        try:
            parsed = make_url(url)
        except ArgumentError:
            parsed = URL.create("none")
        if parsed.drivername != DRIVER:
            raise CannotStart(f"DATABASE_URL must be a {DRIVER}:// URL.")
        if parsed.host not in LOOPBACK:
            raise CannotStart("DATABASE_URL must point to this machine, because `make run` loads demo data.")
        database = Database(Settings(database_url=url))
        address = f"{parsed.host}:{parsed.port or 5432}"
        self._say(f"Using the PostgreSQL at {address}")
        try:
            with contextlib.closing(database), database.transaction():
                pass
        except Unavailable as error:
            raise CannotStart(
                f"The PostgreSQL at {address} cannot be used: {error.__cause__}\n"
                f"Start it with: {START_COMMAND}\nTo use another one, set DATABASE_URL."
            ) from error
        yield url

    @contextlib.contextmanager
    def aws(self) -> Iterator[str]:
        self._say(f"Using the LocalStack at {self._endpoint}")
        with aws.pointing_at(self._endpoint):
            self._check()
            yield self._endpoint

    def sent_emails(self) -> Iterable[SentEmail]:
        return localstack_emails(self._endpoint)

    def check(self) -> None:
        """Check nothing: calls of LocalStack and PostgreSQL report errors themselves."""

    def _check(self) -> None:
        try:
            services = request(f"{self._endpoint}/_localstack/health")["services"]
            missing = [name for name in SERVICES if services[name] in {"disabled", "error"}]
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            raise CannotStart(
                f"No LocalStack answers at {self._endpoint}: {error}\n"
                f"Start it with: {START_COMMAND}\nTo use another one, set AWS_ENDPOINT_URL."
            ) from error
        if missing:
            raise CannotStart(f"The LocalStack at {self._endpoint} lacks {', '.join(missing)}.")


def localstack_emails(endpoint: str) -> Iterator[SentEmail]:
    """Return the e-mails in LocalStack's SES. The app sends only raw ones."""
    emails = f"{endpoint}/_aws/ses"
    for message in request(emails)["messages"]:
        if raw := message.get("RawData"):
            data = raw.encode()
            delete = partial(request, f"{emails}?id={message['Id']}", "DELETE")
            yield SentEmail(data, _recipient(data), delete)


def _recipient(message: bytes) -> str:
    """Return the recipient in the header, because LocalStack does not store the destination of the call."""
    return parseaddr(BytesHeaderParser().parsebytes(message)["To"] or "")[1]


def request(url: str, method: str = "GET") -> Any:
    """Call LocalStack's own API and return the response. Raises OSError."""
    with urlopen(Request(url, method=method), timeout=RESPONSE_TIMEOUT) as response:  # noqa: S310
        return json.loads(response.read() or b"null")

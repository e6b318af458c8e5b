"""Reaches a LocalStack and a PostgreSQL that somebody has started, as `localstack-compose.yml` does."""

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
from infra.local.installation import CannotStart, Say
from infra.local.mail import Sent

ENDPOINT = "http://127.0.0.1:4566"
DATABASE_URL = "postgresql+pg8000://postgres:booking@127.0.0.1:54320/booking"
START = "docker compose -f localstack-compose.yml up -d --wait"
DRIVER = "postgresql+pg8000"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SERVICES = ("sns", "sqs", "ses")

PATIENCE = 10.0
"""Seconds for an answer; the first call of a service loads it."""


class LocalStack:
    """What is there and stays: its queues, its database, and their messages and rows."""

    lasts = True

    def __init__(self, endpoint: str, database_url: str, say: Say) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._database_url = database_url
        self._say = say

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        url = self._database_url
        try:
            where = make_url(url)
        except ArgumentError:
            where = URL.create("none")
        if where.drivername != DRIVER:
            raise CannotStart(f"DATABASE_URL must be a {DRIVER}:// URL.")
        if where.host not in LOOPBACK:
            raise CannotStart("DATABASE_URL must lead to this machine: `make run` loads demo data into it.")
        database = Database(Settings(database_url=url, jwt_secret=b""))
        place = f"{where.host}:{where.port or 5432}"
        self._say(f"Using the PostgreSQL at {place}")
        try:
            with contextlib.closing(database), database.transaction():
                pass
        except Unavailable as error:
            raise CannotStart(
                f"The PostgreSQL at {place} cannot be used: {error.__cause__}\n"
                f"Start it with: {START}\nFor another one set DATABASE_URL."
            ) from error
        yield url

    @contextlib.contextmanager
    def aws(self) -> Iterator[str]:
        self._say(f"Using the LocalStack at {self._endpoint}")
        with aws.pointing_at(self._endpoint):
            self._check()
            yield self._endpoint

    def sent(self) -> Iterable[Sent]:
        return given_to(self._endpoint)

    def look_after(self) -> None:
        """Leave it alone: whoever started it looks after it, and what calls it tells of trouble."""

    def _check(self) -> None:
        try:
            services = ask(f"{self._endpoint}/_localstack/health")["services"]
            missing = [name for name in SERVICES if services[name] in {"disabled", "error"}]
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            raise CannotStart(
                f"No LocalStack answers at {self._endpoint}: {error}\n"
                f"Start it with: {START}\nFor another one set AWS_ENDPOINT_URL."
            ) from error
        if missing:
            raise CannotStart(f"The LocalStack at {self._endpoint} lacks {', '.join(missing)}.")


def given_to(endpoint: str) -> Iterator[Sent]:
    """Return what LocalStack's SES was given; raw e-mails are the only kind that the app sends."""
    mails = f"{endpoint}/_aws/ses"
    for message in ask(mails)["messages"]:
        if raw := message.get("RawData"):
            data = raw.encode()
            forget = partial(ask, f"{mails}?id={message['Id']}", "DELETE")
            yield Sent(data, _addressee(data), forget)


def _addressee(message: bytes) -> str:
    """Return whom the header names: LocalStack does not keep to whom SES was told to send it."""
    return parseaddr(BytesHeaderParser().parsebytes(message)["To"] or "")[1]


def ask(url: str, method: str = "GET") -> Any:
    """Return what one of LocalStack's own addresses, which are not AWS's, answers. Raises OSError."""
    with urlopen(Request(url, method=method), timeout=PATIENCE) as answer:  # noqa: S310 - a person gave it
        return json.loads(answer.read() or b"null")

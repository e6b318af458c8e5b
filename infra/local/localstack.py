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

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from chalicelib.db import Database
from chalicelib.errors import Unavailable
from chalicelib.settings import BadSetting, Settings
from infra.local import aws
from infra.local.installation import CannotStart, Say
from infra.local.mail import Sent

ENDPOINT = "http://127.0.0.1:4566"
DATABASE_URL = "postgresql+pg8000://postgres:booking@127.0.0.1:54320/booking"
START = "docker compose -f localstack-compose.yml up -d --wait"
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
        self._say("Using the PostgreSQL of DATABASE_URL")
        start = f"Start it with: {START}\nFor another one set DATABASE_URL."
        try:
            where = make_url(self._database_url)
            if where.host not in LOOPBACK:
                raise CannotStart(
                    "DATABASE_URL must lead to this machine for `make run`, which loads demo data."
                )
            settings = Settings(database_url=self._database_url, jwt_secret=b"")
            with contextlib.closing(Database(settings)) as database, database.transaction():
                pass
        except (ArgumentError, BadSetting) as error:
            raise CannotStart("DATABASE_URL must be a postgresql+pg8000:// URL.") from error
        except Unavailable as error:
            raise CannotStart(
                f"The PostgreSQL at {where.host}:{where.port} does not let us in: {error.__cause__}\n{start}"
            ) from error
        yield self._database_url

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
            services = _ask(f"{self._endpoint}/_localstack/health")["services"]
            missing = [name for name in SERVICES if services[name] in {"disabled", "error"}]
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            raise CannotStart(
                f"No LocalStack answers at {self._endpoint}: {error}\n"
                f"Start it with: {START}\n"
                "For another one set AWS_ENDPOINT_URL."
            ) from error
        if missing:
            raise CannotStart(f"The LocalStack at {self._endpoint} lacks {', '.join(missing)}.")


def given_to(endpoint: str) -> Iterator[Sent]:
    """Return what LocalStack's SES was given; raw e-mails are the only kind that the app sends."""
    mails = f"{endpoint}/_aws/ses"
    for message in _ask(mails)["messages"]:
        if raw := message.get("RawData"):
            data = raw.encode()
            yield Sent(data, _addressee(data), partial(_delete, f"{mails}?id={message['Id']}"))


def _addressee(message: bytes) -> str:
    """Return whom the header names: LocalStack does not keep to whom SES was told to send it."""
    return parseaddr(BytesHeaderParser().parsebytes(message)["To"] or "")[1]


def _ask(url: str) -> Any:
    with urlopen(url, timeout=PATIENCE) as answer:
        return json.load(answer)


def _delete(url: str) -> None:
    urlopen(Request(url, method="DELETE"), timeout=PATIENCE).close()

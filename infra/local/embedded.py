"""Runs PostgreSQL and moto's server as a part of this run, with nothing to install or to start before."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pg8000
from sqlalchemy.exc import DBAPIError

from infra.local import aws, mail, postgres
from infra.local.installation import CannotStart, Say, explain, tells_of_full_disk
from infra.local.postgres import Postgres

DATABASE = "booking"


class Embedded:
    """The stand-ins, with the database's files in a folder; moto forgets all at the end."""

    lasts = False

    def __init__(self, data: Path, say: Say) -> None:
        self._data = data
        self._say = say
        self._server: Postgres | None = None

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        self._say("Starting PostgreSQL")
        with postgres.start(postgres.Options(self._data), self._say) as server:
            try:
                if not postgres.has_database(server, DATABASE):
                    postgres.create_database(server, DATABASE)
                self._server = server
                yield server.url(DATABASE)
            except (pg8000.Error, DBAPIError) as error:
                if tells_of_full_disk(server.log.read_text(errors="replace")):
                    raise CannotStart(_why("PostgreSQL cannot go on", server)) from error
                raise
            finally:
                self._server = None
                self._say("Stopping PostgreSQL")

    @contextlib.contextmanager
    def aws(self) -> Iterator[str]:
        self._say("Starting SNS, SQS and SES")
        with aws.running() as endpoint:
            yield endpoint

    def sent(self) -> Iterable[mail.Sent]:
        return mail.given_to_moto()

    def look_after(self) -> None:
        if self._server and not self._server.running():
            raise CannotStart(_why("PostgreSQL has ended by itself", self._server))
        aws.trim()


def _why(problem: str, server: Postgres) -> str:
    return explain(f"{problem}; from {server.log}", server.log.read_text(), server.data)

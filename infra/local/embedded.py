"""Runs PostgreSQL and moto's server as parts of this run."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pg8000
from sqlalchemy.exc import DBAPIError

from infra.local import aws, mailbox, postgres, run_dir
from infra.local.postgres import Postgres
from infra.local.postgres_binaries import data_folders
from infra.local.startup import CannotStart, Say, explain, is_disk_full

DATABASE = "booking"


class Embedded:
    """A stack whose database is in a folder, and whose queues are in memory."""

    is_persistent = False

    def __init__(self, data: Path, say: Say) -> None:
        self._data = data
        self._say = say
        self._server: Postgres | None = None

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        run_dir.check_format(self._data.parent, has_data=bool(data_folders(self._data)))
        self._say("Starting PostgreSQL")
        with postgres.start(postgres.Options(self._data), self._say) as server:
            try:
                if not postgres.has_database(server, DATABASE):
                    postgres.create_database(server, DATABASE)
                self._server = server
                yield server.url(DATABASE)
            except (pg8000.Error, DBAPIError) as error:
                if is_disk_full(server.log.read_text(errors="replace")):
                    raise CannotStart(_explain("PostgreSQL cannot continue", server)) from error
                raise
            finally:
                self._server = None
                self._say("Stopping PostgreSQL")

    @contextlib.contextmanager
    def aws(self) -> Iterator[str]:
        self._say("Starting SNS, SQS and SES")
        with aws.running() as endpoint:
            yield endpoint

    def sent_emails(self) -> Iterable[mailbox.SentEmail]:
        return mailbox.moto_emails()

    def check(self) -> None:
        if self._server and not self._server.running():
            raise CannotStart(_explain("PostgreSQL has stopped unexpectedly", self._server))
        aws.delete_published_messages()


def _explain(problem: str, server: Postgres) -> str:
    return explain(f"{problem}. Last lines of {server.log}", server.log.read_text(), server.data)

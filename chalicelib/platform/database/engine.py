"""The database: one engine per process, transactions, and the meaning of its errors."""

import ssl
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

import pg8000
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    create_engine,
    delete,
    event,
    make_url,
    select,
    tuple_,
)
from sqlalchemy.engine.interfaces import Dialect, ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from chalicelib.platform.database import pg8000_pipelining
from chalicelib.platform.errors import StaleVersion, Unavailable
from chalicelib.platform.settings import BadSetting, Settings

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

UNIQUE_VIOLATION = "23505"
UNDEFINED_TABLE = "42P01"
LOCK_NOT_AVAILABLE = "55P03"

_TRANSIENT = ("08", "28", "3D", "40", "53", "55P03", "57")
"""SQLSTATEs, by prefix, after which the same request may succeed: connection lost, login refused (as while
a password is rotated), no such database yet, serialization failure or deadlock, out of resources, lock
wait over, cancelled or shut down (PostgreSQL manual, appendix A)."""

_PING_AFTER_IDLE_SECONDS = 30.0
"""Seconds of rest after which a connection is tried before it is used again: a frozen Lambda
container or a proxy's idle limit may have closed it meanwhile."""


class Database:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, settings: Settings) -> None:
        try:
            self.engine = create_engine(
                settings.database_url,
                pool_size=settings.database_pool_size,
                max_overflow=0,
                pool_timeout=10,
                pool_use_lifo=True,
                hide_parameters=True,  # they would stand in error messages, and so in the log
                connect_args={"ssl_context": tls(settings), "timeout": 15},
            )
        except ArgumentError as error:
            raise BadSetting("DATABASE_URL is not a postgresql+pg8000:// URL") from error
        event.listen(self.engine, "do_connect", _connect)
        event.listen(self.engine, "checkout", _pre_ping)
        event.listen(self.engine, "handle_error", _mark_lost_connection)
        self._spare: PoolProxiedConnection | None = None
        self._users = 0
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        Raises:
            Unavailable: The database cannot be reached, or gave up for a passing reason.
        """
        spare = self._enter()
        try:
            if spare is not None:
                spare.close()  # it goes back to the pool, where it is found next
            with self.engine.begin() as connection:
                yield connection
        except (DBAPIError, PoolTimeout, OSError) as error:
            if is_transient(error):
                raise Unavailable(retry_after=1) from error
            raise
        finally:
            self._leave()

    def call(self, sql: str) -> Sequence[str]:
        """Run one statement outside a transaction block, in one round trip, and return its row as texts.

        For procedures that commit by themselves. `sql` goes as a simple query without parameters:
        it is to be made of typed literals only, never of text that came from a client. (Bound
        parameters are unsafe behind a pooler where there is no transaction.)

        Raises:
            Unavailable: As above; whether the statement took effect is then unknown.
        """
        pooled = self._enter()
        try:
            if pooled is not None and _is_stale(_driver_connection(pooled)):
                pooled.close()
                pooled = None
            pooled = pooled or self.engine.raw_connection()
            return _driver_connection(pooled).ask(sql)
        except BaseException as error:
            if pooled is not None:
                pooled.invalidate()  # half of an answer may still be in it
            if is_transient(error):
                raise Unavailable(retry_after=1) from error
            raise
        finally:
            self._leave(pooled)

    # To give a connection back to SQLAlchemy's pool and take it out again is an eighth of the Python of a
    # booking. So one that a call is done with is kept for the next call, as long as nobody else is here who
    # may be waiting for it.

    def _enter(self) -> PoolProxiedConnection | None:
        with self._lock:
            self._users += 1
            spare, self._spare = self._spare, None
            return spare

    def _leave(self, pooled: PoolProxiedConnection | None = None) -> None:
        with self._lock:
            self._users -= 1
            if pooled is not None and pooled.is_valid and not self._users:
                self._spare, pooled = pooled, None
        if pooled is not None:
            pooled.close()

    def delete_before(self, moment: Column[datetime], until: datetime, at_once: int = 10_000) -> int:
        """Delete the rows of a table whose `moment`, an indexed column of it, is not after `until`.

        Returns how many they were. Each bounded part of them has a transaction of its own, so that a long
        overdue clean-up holds up nobody.
        """
        table = moment.table
        keys = list(table.primary_key)
        outdated = select(*keys).where(moment <= until).limit(at_once).with_for_update(skip_locked=True)
        statement = delete(table).where(tuple_(*keys).in_(outdated))
        deleted = 0
        while True:
            with self.transaction() as connection:
                part = connection.execute(statement).rowcount
            deleted += part
            if part < at_once:
                return deleted

    def close(self) -> None:
        if spare := self._enter():
            spare.close()
        self._leave()
        self.engine.dispose()


def _connect(
    _dialect: Dialect, _entry: ConnectionPoolEntry, args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    return pg8000_pipelining.Connection(*args, **options)


def _driver_connection(pooled: PoolProxiedConnection) -> pg8000_pipelining.Connection:
    return cast("pg8000_pipelining.Connection", pooled.driver_connection)


def check_version(present: int, expected: Collection[int] | None) -> None:
    """Refuse a change of a row that is no longer as the caller knew it; None expects any version.

    Raises:
        StaleVersion: The present version is none of the expected ones.
    """
    if expected is not None and present not in expected:
        raise StaleVersion


def sqlstate(error: BaseException) -> str | None:
    """The five-character SQLSTATE of a database error, if the server sent one.

    pg8000 raises IntegrityError for unique violations alone; checks and foreign keys come as
    ProgrammingError, so the class of an error says little.
    """
    return _server_fields(error).get("C")


def waited_for_lock_on(error: BaseException | None, table: str) -> bool:
    """Whether an error is that a lock was waited for too long by a statement on that table."""
    if error is None or sqlstate(error) != LOCK_NOT_AVAILABLE:
        return False
    return table in _server_fields(error).get("W", "")


def violated(error: BaseException) -> str | None:
    """The name of the constraint that a database error is about, if any."""
    return _server_fields(error).get("n")


def _server_fields(error: BaseException) -> dict[str, str]:
    """The fields of the server's ErrorResponse, which pg8000 passes on as the first argument."""
    original = error.orig if isinstance(error, DBAPIError) else error
    fields = original.args[0] if original is not None and original.args else None
    return fields if isinstance(fields, dict) else {}


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: no connection to be had, or a passing SQLSTATE."""
    if isinstance(error, PoolTimeout):
        return True
    state = sqlstate(error)
    if state is not None:
        return state.startswith(_TRANSIENT)
    original = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, pg8000.InterfaceError | OSError)


def tls(settings: Settings) -> ssl.SSLContext | bool:
    """One verified context for all connections; none on loopback, where there is nobody to fool.

    Raises:
        BadSetting: The certificates cannot be read.
    """
    host = make_url(settings.database_url).host
    if not settings.database_tls or host in {"127.0.0.1", "::1", "localhost"}:
        return False
    try:
        return ssl.create_default_context(cafile=settings.database_ca_file)
    except OSError as error:
        raise BadSetting(f"DATABASE_CA_FILE cannot be read: {error}") from error


def _is_stale(connection: pg8000_pipelining.Connection) -> bool:
    return time.monotonic() - connection.used_at >= _PING_AFTER_IDLE_SECONDS


def _pre_ping(
    connection: pg8000_pipelining.Connection, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    if not _is_stale(connection):
        return
    try:
        connection.ask("SELECT 1")
    except (pg8000.Error, OSError) as error:
        raise InvalidatePoolError from error  # the pool connects anew and goes on


def _mark_lost_connection(context: ExceptionContext) -> None:
    """Have the pool throw away what the server is about to close (SQLAlchemy knows closed ones).

    Also where the driver itself failed, a timeout or a value that it cannot encode: it may have left
    half of the exchange unread, and the next statement would get the answers to this one.
    """
    error = context.original_exception
    state = sqlstate(error)
    if state is not None and state.startswith(("08", "57P")):
        context.is_disconnect = True
    elif not isinstance(error, pg8000.Error):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False  # the others are as they should be

"""The database: a connection pool, transactions, and the classification of its errors."""

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
QUERY_CANCELED = "57014"

_TRANSIENT = ("08", "28", "3D", "40", "53", "55P03", "57")
"""Prefixes of the SQLSTATEs after which a retry may succeed (PostgreSQL manual, appendix A): connection lost,
login refused (while a password is rotated), no such database yet, serialization failure or deadlock, out of
resources, lock timeout, cancelled or shut down."""

_UNAVAILABLE = "The database is unavailable or too busy."

_TOO_EXPENSIVE = "This takes too long. Ask for less, for example with fewer or longer words."

_TOO_MANY_READS = "Too many lists are being read at the moment."

_READ_SHARE = 8
"""Bounded reads use at most one in so many connections, so that they never keep a booking waiting for one."""

_READ_WAIT_SECONDS = 5.0

_PING_AFTER_IDLE_SECONDS = 30.0
"""Ping a connection that was idle for so long before using it: the server or a proxy may have closed it, for
example while the Lambda container was frozen."""


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
                hide_parameters=True,  # keeps values out of error messages, and so out of the log
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
        self._read_limit_ms = settings.read_timeout_ms
        self._reads = threading.BoundedSemaphore(max(1, settings.database_pool_size // _READ_SHARE))

    @contextmanager
    def bounded_read(self) -> Iterator[Connection]:
        """Open a transaction for reads whose cost a stranger chooses: few at a time, each with a time limit.

        Raises:
            Unavailable: As in `transaction`, or the read takes too long, or too many are waiting.
        """
        if not self._reads.acquire(timeout=_READ_WAIT_SECONDS):
            raise Unavailable(_TOO_MANY_READS, retry_after=1)
        try:
            with self.transaction(self._read_limit_ms) as connection:
                yield connection
        finally:
            self._reads.release()

    @contextmanager
    def transaction(self, limit_ms: int | None = None) -> Iterator[Connection]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        `limit_ms` limits the time of each statement. The default is the limit of the server.

        Raises:
            Unavailable: The database cannot be reached, or failed for a transient reason.
        """
        spare = self._enter()
        try:
            if spare is not None:
                spare.close()  # returns it to the pool, which hands it out below
            with self.engine.begin() as connection:
                if limit_ms is None:
                    yield connection
                else:
                    with _limited(connection, limit_ms):
                        yield connection
        except (DBAPIError, PoolTimeout, OSError) as error:
            if limit_ms is not None and sqlstate(error) == QUERY_CANCELED:
                raise Unavailable(_TOO_EXPENSIVE, retry_after=1) from error
            if is_transient(error):
                raise Unavailable(_UNAVAILABLE, retry_after=1) from error
            raise
        finally:
            self._leave()

    def call(self, sql: str) -> Sequence[str]:
        """Run one statement outside a transaction, in one round trip, and return its row as texts.

        For procedures that commit by themselves. `sql` is sent as a simple query without parameters, because
        bound parameters are unsafe behind a pooler outside a transaction. Build it from values of checked
        types only, such as UUID, int, datetime and RequestId.

        Raises:
            Unavailable: As in `transaction`. It is unknown whether the statement took effect.
        """
        pooled = self._enter()
        try:
            if pooled is not None and _is_stale(_driver_connection(pooled)):
                pooled.close()
                pooled = None
            pooled = pooled or self.engine.raw_connection()
            return _driver_connection(pooled).simple_query(sql)
        except BaseException as error:
            if pooled is not None:
                pooled.invalidate()  # an unread part of the response may be left in it
            if is_transient(error):
                raise Unavailable(_UNAVAILABLE, retry_after=1) from error
            raise
        finally:
            self._leave(pooled)

    # Pool check-in and check-out cost 12 % of a booking's CPU time. So `call` keeps its connection as a spare
    # for the next call if no other thread is using the database.

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

    def purge(self, column: Column[datetime], until: datetime, batch_size: int = 10_000) -> int:
        """Delete the rows whose `column` is not after `until`, and return how many. The column is indexed.

        Each batch is a transaction of its own, so that a large backlog does not block other transactions.
        """
        table = column.table
        keys = list(table.primary_key)
        outdated = select(*keys).where(column <= until).limit(batch_size).with_for_update(skip_locked=True)
        statement = delete(table).where(tuple_(*keys).in_(outdated))
        deleted = 0
        while True:
            with self.transaction() as connection:
                batch = connection.execute(statement).rowcount
            deleted += batch
            if batch < batch_size:
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


@contextmanager
def _limited(connection: Connection, limit_ms: int) -> Iterator[None]:
    driver = cast("pg8000_pipelining.Connection", connection.connection.driver_connection)
    driver.limit_ms = limit_ms
    try:
        yield
    finally:
        driver.limit_ms = None


def check_version(current: int, expected: Collection[int] | None) -> None:
    """Refuse to change a row whose version is not among the expected ones. None expects any version.

    Raises:
        StaleVersion
    """
    if expected is not None and current not in expected:
        raise StaleVersion


def sqlstate(error: BaseException) -> str | None:
    """Return the five-character SQLSTATE of a database error, if the server sent one.

    The class of the error is no substitute: pg8000 raises IntegrityError for unique violations only, and
    ProgrammingError for violated checks and foreign keys.
    """
    return _server_fields(error).get("C")


def waited_for_lock_on(error: BaseException | None, table: str) -> bool:
    """Whether an error is a lock timeout of a statement on that table."""
    if error is None or sqlstate(error) != LOCK_NOT_AVAILABLE:
        return False
    return table in _server_fields(error).get("W", "")


def violated(error: BaseException) -> str | None:
    """Return the name of the violated constraint, if the error names one."""
    return _server_fields(error).get("n")


def _server_fields(error: BaseException) -> dict[str, str]:
    """Return the fields of the server's ErrorResponse, which pg8000 passes as the first argument."""
    original = error.orig if isinstance(error, DBAPIError) else error
    fields = original.args[0] if original is not None and original.args else None
    return fields if isinstance(fields, dict) else {}


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed: no connection is available, or the SQLSTATE is transient."""
    if isinstance(error, PoolTimeout):
        return True
    state = sqlstate(error)
    if state is not None:
        return state.startswith(_TRANSIENT)
    original = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, pg8000.InterfaceError | OSError)


def tls(settings: Settings) -> ssl.SSLContext | bool:
    """Make the TLS context of all connections; False on loopback or if TLS is off.

    Raises:
        BadSetting: The certificates cannot be read.
    """
    if not settings.database_tls:
        return False
    try:
        return verified_tls(settings.database_url, settings.database_ca_file)
    except OSError as error:
        raise BadSetting(f"DATABASE_CA_FILE cannot be read: {error}") from error


def verified_tls(database_url: str, ca_file: str | None = None) -> ssl.SSLContext | bool:
    """Make a TLS context that verifies the server's certificate; False on loopback.

    Raises:
        OSError: The certificates cannot be read.
    """
    if make_url(database_url).host in {"127.0.0.1", "::1", "localhost"}:
        return False
    return ssl.create_default_context(cafile=ca_file)


def _is_stale(connection: pg8000_pipelining.Connection) -> bool:
    return time.monotonic() - connection.used_at >= _PING_AFTER_IDLE_SECONDS


def _pre_ping(
    connection: pg8000_pipelining.Connection, _entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    if not _is_stale(connection):
        return
    try:
        connection.simple_query("SELECT 1")
    except (pg8000.Error, OSError) as error:
        raise InvalidatePoolError from error  # the pool then reconnects


def _mark_lost_connection(context: ExceptionContext) -> None:
    """Have the pool discard connections that the server is closing; SQLAlchemy recognizes closed ones itself.

    Also discard a connection if the driver failed, by a timeout or by a value that it cannot encode: part of
    the response may be unread, and the next statement would receive it.
    """
    error = context.original_exception
    state = sqlstate(error)
    if state is not None and state.startswith(("08", "57P")):
        context.is_disconnect = True
    elif not isinstance(error, pg8000.Error):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False  # the other connections are intact

"""Stores Stripe's objects and idempotency keys in SQLite, and the queue of webhooks in memory."""

import contextlib
import copy
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from infra.stripe_fake import objects
from infra.stripe_fake.errors import ApiError, Json, missing
from infra.stripe_fake.faults import Faults
from infra.stripe_fake.webhooks import Delivery, Endpoint

FILE = "stripe_fake.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, payment_intent TEXT,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_by_type ON objects (type, payment_intent);
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS settlements (id TEXT PRIMARY KEY, due REAL NOT NULL);
"""


class Store:
    """The state of one Stripe account. Threads may share it.

    Objects and idempotency keys are in a file if there is a folder for it.
    """

    def __init__(self, folder: Path | None, faults: Faults) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = ":memory:" if folder is None else folder / FILE
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # Commits survive a crash of this process, but not of the machine.
        self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {_SCHEMA}")
        self.faults = faults
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.base_url = ""
        self.endpoints: dict[str, Endpoint] = {}
        self.deliveries: list[Delivery] = []

    def close(self) -> None:
        with self.lock:
            self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit a block, also after an ApiError, because a declined payment is stored. Else roll back."""
        with self.lock:
            queued = len(self.deliveries)
            self.sql("BEGIN")
            try:
                yield
            except ApiError:
                self.sql("COMMIT")
                raise
            except BaseException:
                self.sql("ROLLBACK")
                del self.deliveries[queued:]
                raise
            else:
                self.sql("COMMIT")
            finally:
                self.changed.notify_all()

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.lock:
            return self._database.execute(statement, values).fetchall()

    def add(self, new: Json, event: str | None = None) -> None:
        self.sql(
            "INSERT INTO objects (id, type, payment_intent, body) VALUES (?, ?, ?, ?)",
            new["id"], new["object"], new.get("payment_intent"), json.dumps(new),
        )  # fmt: skip
        if event:
            self.record_event(event, new)

    def update(self, known: Json, event: str | None, **changes: Any) -> None:
        known.update(changes)
        self.sql("UPDATE objects SET body = ? WHERE id = ?", json.dumps(known), known["id"])
        if event:
            self.record_event(event, known)

    def get(self, kind: str, object_id: str, param: str = "id") -> Json:
        """Return an object. Raise ApiError if it does not exist."""
        for (body,) in self.sql("SELECT body FROM objects WHERE id = ? AND type = ?", object_id, kind):
            found: Json = json.loads(body)
            return found
        raise missing(kind, object_id, param)

    def find(self, kind: str, *, payment_intent: str | None = None, limit: int = -1) -> list[Json]:
        """Return objects, the newest first."""
        rows = self.sql(
            "SELECT body FROM objects WHERE type = ? AND payment_intent IS coalesce(?, payment_intent)"
            " ORDER BY position DESC LIMIT ?",
            kind, payment_intent, limit,
        )  # fmt: skip
        return [json.loads(body) for (body,) in rows]

    def select(
        self,
        kind: str,
        conditions: Sequence[str],
        values: Sequence[object],
        *,
        oldest_first: bool,
        limit: int,
    ) -> list[Json]:
        """Return the objects of a kind for which all SQL conditions hold."""
        where = " AND ".join(["type = ?", *conditions])
        order = "ASC" if oldest_first else "DESC"
        rows = self.sql(
            f"SELECT body FROM objects WHERE {where} ORDER BY position {order} LIMIT ?",  # noqa: S608 (no input)
            kind, *values, limit,
        )  # fmt: skip
        return [json.loads(body) for (body,) in rows]

    def record_event(self, kind: str, about: Json) -> None:
        """Store an event with the current state of an object, and queue its webhooks."""
        event = objects.event(kind, copy.deepcopy(about), len(self.endpoints))
        self.add(event)
        self.queue(event)

    def queue(self, event: Json) -> list[Delivery]:
        """Add a delivery of an event for each endpoint."""
        due = time.time() + self.faults.delay
        new = [Delivery(event, endpoint, due) for endpoint in self.endpoints.values()]
        self.deliveries += new
        return new

    def settle_later(self, object_id: str) -> None:
        """Schedule the settlement of a bank debit or a refund."""
        due = time.time() + self.faults.settles_after
        self.sql("INSERT OR REPLACE INTO settlements VALUES (?, ?)", object_id, due)

    def stored_response(self, key: str) -> tuple[str, int, str] | None:
        """Return the request, the status and the body that an idempotency key stands for."""
        rows = self.sql("SELECT request, status, body FROM idempotency_keys WHERE key = ?", key)
        return next(iter(rows), None)

    def store_response(self, key: str, request: str, status: int, body: str) -> None:
        self.sql("INSERT INTO idempotency_keys VALUES (?, ?, ?, ?)", key, request, status, body)

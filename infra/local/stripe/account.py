"""Keeps what an account at Stripe holds, in SQLite: objects, events, deliveries, idempotency keys."""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.stripe import shapes
from infra.local.stripe.errors import Json, Refused, missing
from infra.local.stripe.switches import Switches

FILE = "stripe.sqlite"
KEYS_LAST = 24 * 3600
"""Seconds that an idempotency key is remembered."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, created INTEGER NOT NULL,
    parent TEXT, tag TEXT, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, place);
CREATE INDEX IF NOT EXISTS objects_by_parent ON objects (parent, kind, place);
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
    at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS deliveries (
    place INTEGER PRIMARY KEY, event TEXT NOT NULL, url TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (due) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS deliveries_of_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS attempts (
    place INTEGER PRIMARY KEY, delivery INTEGER NOT NULL, at REAL NOT NULL, outcome TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS endings (id TEXT PRIMARY KEY, due REAL NOT NULL);
"""


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for."""

    limit: int = 10
    after: str | None = None
    created: Mapping[str, int] = field(default_factory=dict)
    """By comparison: gt, gte, lt, lte, or `is`."""
    parent: str | None = None
    tags: Sequence[str] = ()


_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "is": "="}
NO_REQUEST: Json = {"id": None, "idempotency_key": None}


class Account:
    """The account; each change is made within `changing`, by one thread at a time."""

    def __init__(self, folder: Path | None, switches: Switches) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        where = ":memory:" if folder is None else folder / FILE
        self._database = sqlite3.connect(where, check_same_thread=False, isolation_level=None)
        # What was written survives this process; that it survives the machine is not needed here.
        self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {_SCHEMA}")
        self._switches = switches
        self._within = False
        self._request = NO_REQUEST
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.recipients: Callable[[str], Sequence[str]] = lambda _: ()
        """Says which webhook endpoints want an event of this type."""
        self.base = ""
        """The address of the pages for people."""

    def close(self) -> None:
        with self.lock:
            self._database.close()

    @contextlib.contextmanager
    def changing(self, request: Json | None = None) -> Iterator[None]:
        """Make all changes of a block or none; a refusal keeps them, as a declined payment must."""
        with self.lock:
            if self._within:
                yield
                return
            self._database.execute("BEGIN")
            self._within, self._request = True, request or NO_REQUEST
            try:
                yield
            except Refused:
                self._database.execute("COMMIT")
                raise
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            else:
                self._database.execute("COMMIT")
            finally:
                self._within, self._request = False, NO_REQUEST
                self.changed.notify_all()

    def add(self, new: Json, *, parent: str | None = None, tag: str | None = None) -> None:
        self.run(
            "INSERT INTO objects (id, kind, created, parent, tag, body) VALUES (?, ?, ?, ?, ?, ?)",
            new["id"], new["object"], new["created"], parent, tag, json.dumps(new),
        )  # fmt: skip

    def save(self, known: Json) -> None:
        self.run("UPDATE objects SET body = ? WHERE id = ?", json.dumps(known), known["id"])

    def kept(self, key: str) -> tuple[str, int, bytes] | None:
        """Return the request, the status and the body of the answer that an idempotency key stands for."""
        self.run("DELETE FROM keys WHERE at < ?", time.time() - KEYS_LAST)
        for request, status, body in self.run("SELECT request, status, body FROM keys WHERE key = ?", key):
            return request, status, body
        return None

    def keep(self, key: str, request: str, status: int, body: bytes) -> None:
        self.run("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", key, request, status, body, int(time.time()))

    def find(self, identity: str) -> Json | None:
        for (body,) in self.run("SELECT body FROM objects WHERE id = ?", identity):
            return self._read(body)
        return None

    def get(self, kind: str, identity: str, param: str = "id") -> Json:
        """Return an object. Raises Refused."""
        found = self.find(identity)
        if found is None or found["object"] != kind:
            raise missing(kind, identity, param)
        return found

    def tag(self, identity: str) -> str:
        """Return what an object was marked with, nothing if it was not."""
        for (tag,) in self.run("SELECT tag FROM objects WHERE id = ?", identity):
            return tag or ""
        return ""

    def all(self, kind: str, page: Page) -> tuple[list[Json], bool]:
        """Return a page of objects, the newest first, and whether there are more."""
        where, values = ["kind = ?"], [kind]
        if page.parent is not None:
            where.append("parent = ?")
            values.append(page.parent)
        if page.tags:
            where.append(f"tag IN ({', '.join('?' * len(page.tags))})")
            values.extend(page.tags)
        for comparison, moment in page.created.items():
            where.append(f"created {_COMPARISONS[comparison]} {int(moment)}")
        if page.after is not None:
            self.get(kind, page.after, "starting_after")
            where.append("place < (SELECT place FROM objects WHERE id = ?)")
            values.append(page.after)
        rows = self.run(
            f"SELECT body FROM objects WHERE {' AND '.join(where)} ORDER BY place DESC LIMIT ?",  # noqa: S608
            *values,
            page.limit + 1,
        )
        return [self._read(body) for (body,) in rows[: page.limit]], len(rows) > page.limit

    def tell(self, kind: str, of: Json, previous: Json | None = None) -> None:
        """Record an event about an object as it is now, to be sent to whom it may concern."""
        urls = self.recipients(kind)
        told = shapes.event(kind, of, previous, self._request, len(urls))
        self.add(told, tag=kind)
        due = time.time() + self._switches.delay
        for url in urls:
            self.run(
                "INSERT INTO deliveries (event, url, state, due) VALUES (?, ?, 'waiting', ?)",
                told["id"], url, due,
            )  # fmt: skip

    def change(self, known: Json, changes: Json, kind: str) -> None:
        """Change an object, and record an event that tells what was before."""
        previous = {name: known[name] for name in changes}
        known.update(changes)
        self.save(known)
        self.tell(kind, known, previous)

    def end_later(self, identity: str) -> None:
        """Have a bank debit or a refund that is under way come to its end by itself."""
        due = time.time() + self._switches.settles_after
        self.run("INSERT OR REPLACE INTO endings VALUES (?, ?)", identity, due)

    def run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.lock:
            return self._database.execute(sql, values).fetchall()

    def _read(self, body: str) -> Json:
        known: Json = json.loads(body)
        if known["object"] == "event":
            counted = "SELECT count(*) FROM deliveries WHERE event = ? AND state IN ('waiting', 'sending')"
            known["pending_webhooks"] = self.run(counted, known["id"])[0][0]
        return known

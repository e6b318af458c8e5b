"""Measures the booking procedure against other ways to write it, each in a database of its own."""

import re
from dataclasses import dataclass

from bench import ground
from bench.booking import FAST, SLOW
from bench.figures import Figure, ratios
from bench.scale import Scale
from bench.sql import Pgbench, call_text
from tests.bookings.procedure import GUARDS, SOURCE

EVENTS = 20

_COUNTER = re.compile(r"UPDATE places.*?;", re.DOTALL)
_KEYED = "IF p_key IS NOT NULL THEN\n            INSERT"
_CHECKS = """ALTER TABLE bookings DROP CONSTRAINT ck_bookings_status, DROP CONSTRAINT ck_bookings_quantity,
    DROP CONSTRAINT ck_bookings_amount, DROP CONSTRAINT ck_bookings_held"""
_GENERATED = """ALTER TABLE places DROP COLUMN popularity, ADD popularity integer NOT NULL
    GENERATED ALWAYS AS ((10 * ln((taken + 1)::double precision))::integer) STORED"""
_POPULARITY = ", popularity = (10 * ln((taken + 2)::double precision))::integer"


@dataclass(frozen=True)
class Way:
    """The procedure or its tables otherwise."""

    name: str
    edits: tuple[tuple[str, str], ...] = ()
    """Of the procedure's text."""
    statements: tuple[str, ...] = ()
    keyed: bool = False
    """Called with an Idempotency-Key."""
    slow: bool = False
    """Of interest where a flush takes long, too."""


def _counter_first() -> tuple[tuple[str, str], ...]:
    [counter] = _COUNTER.findall(SOURCE)
    return (
        (counter, ""),
        (_KEYED, f"{counter} IF NOT FOUND THEN ROLLBACK; CONTINUE; END IF; {_KEYED}"),
        ("IF FOUND THEN\n            COMMIT", "IF true THEN\n            COMMIT"),
    )


AS_IT_IS = Way("as it is", slow=True)
WAYS = (
    AS_IT_IS,
    Way("with an Idempotency-Key", keyed=True),
    Way("the counter first", _counter_first(), slow=True),
    Way(
        "the counter locked until the flush",
        (("commit', 'off'", "commit', 'on'"), (GUARDS["flush"], "")),
        slow=True,
    ),
    Way(
        "a foreign key to the counter's row",
        statements=("ALTER TABLE bookings ADD FOREIGN KEY (event_id) REFERENCES places",),
        slow=True,
    ),
    Way(
        "no foreign key to the event",
        statements=("ALTER TABLE bookings DROP CONSTRAINT fk_bookings_event_id",),
    ),
    Way("no checks of bookings", statements=(_CHECKS,)),
    Way(
        "popularity as a generated column",
        ((_POPULARITY, ""),),
        (_GENERATED, "CREATE INDEX ON places (popularity)"),
    ),
    Way(
        "flushed by a message without a commit",
        ((GUARDS["flush"], "v_ignored := pg_logical_emit_message(false, '', '', true);\n"),),
    ),
)


def measure(scale: Scale) -> list[Figure]:
    clients = scale.clients[1]
    rates: dict[tuple[str, str], list[float]] = {}

    def book(storage: str, event: int) -> None:
        for way, pgbench in each.items():
            if storage == SLOW and not way.slow:
                continue
            ground.forget_bookings(pgbench.url)
            tally = pgbench.book(event, clients, call=_call(way))
            rates.setdefault((way.name, storage), []).append(tally.rate)

    with ground.server() as server:
        each = {
            way: Pgbench(_written(ground.peopled(server, f"way_{number}", scale.people, EVENTS), way), scale)
            for number, way in enumerate(WAYS)
        }
        for run in range(scale.runs):
            book(FAST, run)
        with ground.slow_flushes(each[AS_IT_IS].url):
            for run in range(scale.runs):
                book(SLOW, scale.runs + run)
    return [
        _figure(way, storage, rates)
        for storage in (FAST, SLOW)
        for way in WAYS
        if (way.name, storage) in rates
    ]


def _figure(way: Way, storage: str, rates: dict[tuple[str, str], list[float]]) -> Figure:
    as_it_is = rates[AS_IT_IS.name, storage]
    if way is AS_IT_IS:
        return Figure(name=f"{way.name}, {storage}", unit="bookings/s", runs=tuple(as_it_is))
    shares = ratios(rates[way.name, storage], as_it_is)
    return Figure(name=f"{way.name}, {storage}", unit="%", runs=tuple(100 * share for share in shares))


def _written(url: str, way: Way) -> str:
    """Write the procedure this way; returns the address that it was given."""
    source = SOURCE.replace("CREATE PROCEDURE", "CREATE OR REPLACE PROCEDURE", 1)
    for old, new in way.edits:
        if source.count(old) != 1:
            raise RuntimeError(f"the procedure is not as {way.name!r} knows it")
        source = source.replace(old, new)
    ground.run(url, *way.statements, source)
    return url


def _call(way: Way) -> str:
    text = call_text()
    return text.replace("NULL, NULL", "uuidv7(), uuidv7()", 1) if way.keyed else text

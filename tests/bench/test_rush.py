"""The rush is simulated, in small: everybody is answered, nobody twice, and the report says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import ground, rush
from bench.edge import Outcome, Throttle

CHECKOUT = Path(__file__).parents[2]


def test_a_small_rush_is_refused_gracefully_and_reported() -> None:
    """The simulation itself fails where a place is sold twice or an answer is of another kind."""
    ran = subprocess.run(
        [sys.executable, "-m", "bench.rush", "--quick"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ran.returncode == 0, ran.stderr
    written, _, table = ran.stdout.rpartition("\n}\n")
    report = json.loads(f"{written}\n}}")
    assert set(report["runs"]) == {rush.SUSTAINED, rush.REFUSING, rush.SOLD_OUT, rush.QUEUEING}
    [refusing], [sold_out] = report["runs"][rush.REFUSING], report["runs"][rush.SOLD_OUT]
    assert {"201", "429"} <= set(refusing["answers"]) <= rush.IN_TIME
    assert set(sold_out["answers"]) <= rush.IN_TIME
    assert sold_out["answers"]["409 sold-out"] > 0
    assert report["machine"]["postgresql"] in table
    assert f"| {rush.QUEUEING} |" in table


def test_a_throttle_lets_through_its_rate_and_a_burst_above_it() -> None:
    throttle = Throttle(rate=10, burst=3)
    now = throttle._at  # noqa: SLF001 (the clock that it counts from)

    assert [throttle.admits(now) for _ in range(4)] == [True, True, True, False]
    assert [throttle.admits(now + 0.15) for _ in range(2)] == [True, False]
    assert sum(throttle.admits(now + 100) for _ in range(9)) == 3


@pytest.mark.parametrize(
    ("answers", "bookings", "complaint"),
    [
        ({"201": 1}, [ground.person(7)], "1 were told of a place, 0 have one"),
        ({"500 fault": 1}, [], "answers of other kinds"),
        ({"504": 1}, [], "answers of other kinds"),
        ({"409 sold-out": 1}, [], "sold out was answered at 0 of 3"),
    ],
)
def test_what_was_not_as_it_was_told_fails_the_run(
    database_url: str, responses: dict[str, int], bookings: list[str], complaint: str
) -> None:
    ground.run(database_url, ground.FILLING, "INSERT INTO places (event_id, capacity) VALUES (uuidv7(), 3)")
    outcome = Outcome(1.0, bookings=bookings)
    outcome.responses.update(responses)

    with pytest.raises(RuntimeError, match=complaint):
        rush.check(database_url, outcome, rush.REFUSING)

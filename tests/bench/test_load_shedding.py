"""The throttle of the simulated gateway, and the check that its responses are true."""

import pytest

from bench import database, load_shedding
from bench.gateway_sim import LATE, Outcome, TokenBucket


def test_a_throttle_admits_its_rate_and_a_burst() -> None:
    throttle = TokenBucket(rate=10, burst=3, now=0)

    assert [throttle.admits(0) for _ in range(4)] == [True, True, True, False]
    assert [throttle.admits(0.15) for _ in range(2)] == [True, False]
    assert sum(throttle.admits(100) for _ in range(9)) == 3


@pytest.fixture
def event_url(owner_url: str) -> str:
    """A database with an event that has three places and no bookings."""
    database.run(owner_url, database.FILL, "INSERT INTO places (event_id, capacity) VALUES (uuidv7(), 3)")
    return owner_url


@pytest.mark.parametrize(
    ("response", "bookings", "complaint"),
    [
        ("201", [database.person_id(7)], "1 bookings were answered, 0 exist"),
        ("500 fault", [], "unexpected responses"),
        ("409 sold-out", [], "sold out was answered at 0 of 3"),
    ],
)
def test_a_false_response_fails_the_run(
    event_url: str, response: str, bookings: list[str], complaint: str
) -> None:
    outcome = Outcome(1.0, bookings=bookings)
    outcome.responses[response] += 1

    with pytest.raises(RuntimeError, match=complaint):
        load_shedding.check(event_url, outcome)


def test_a_late_response_does_not_fail_the_run(event_url: str) -> None:
    outcome = Outcome(1.0)
    outcome.responses[LATE] += 1

    load_shedding.check(event_url, outcome)

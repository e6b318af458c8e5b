"""The timeline of a ticket: the earliest scan wins, in whatever order scans arrive."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest

from chalicelib.check_in.models import Direction, Outcome
from chalicelib.check_in.timeline import CheckIn, replay

TICKET = UUID(int=1)
DOORS = datetime(2030, 6, 5, 18, 0, tzinfo=UTC)


def scan(minute: int, direction: Direction = "in", outcome: Outcome = "admitted") -> CheckIn:
    return CheckIn(
        check_in_id=UUID(int=100 + minute),
        ticket_id=TICKET,
        nonce=UUID(int=1000 + minute),
        direction=direction,
        outcome=outcome,
        scanned_at=DOORS + timedelta(minutes=minute),
        gate=None,
        by_hand=False,
    )


def outcomes(*scans: CheckIn) -> list[str]:
    return [one.outcome for one in replay(scans)]


def test_the_earliest_scan_admits_and_the_others_conflict_with_it() -> None:
    first, *others = replay([scan(5), scan(1), scan(9)])

    assert (first.outcome, first.scanned_at) == ("admitted", DOORS + timedelta(minutes=1))
    assert [one.is_inside for one in (first, *others)] == [True, False, False]
    assert {(one.outcome, one.conflicts_with) for one in others} == {
        ("already-checked-in", first.check_in_id)
    }


def test_a_ticket_that_has_left_comes_in_again() -> None:
    replayed = replay([scan(1), scan(2, "out"), scan(3)])

    assert [one.outcome for one in replayed] == ["admitted", "left", "admitted"]
    assert replayed[0].left_at == DOORS + timedelta(minutes=2)
    assert [one.is_inside for one in replayed] == [False, False, True]


def test_a_ticket_that_is_not_inside_cannot_leave() -> None:
    assert outcomes(scan(1, "out"), scan(2), scan(3, "out"), scan(4, "out")) == [
        "not-checked-in",
        "admitted",
        "left",
        "not-checked-in",
    ]


def test_undone_and_void_scans_admit_nobody() -> None:
    undone, void = replace(scan(1), undone_at=DOORS), scan(2, outcome="code-replaced")

    assert replay([undone, void, scan(3)])[:2] == [undone, void]
    assert outcomes(undone, void, scan(3))[2] == "admitted"


def test_scans_of_one_time_have_one_order() -> None:
    same = [scan(1), replace(scan(2), scanned_at=scan(1).scanned_at)]

    assert {tuple(replay(order)) for order in permutations(same)} == {tuple(replay(same))}


@pytest.mark.parametrize("seed", range(50))
def test_the_order_of_arrival_does_not_matter(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (reproducible)
    scans = [scan(minute, chance.choice(["in", "in", "out"])) for minute in range(8)]
    expected = replay(scans)
    arrived: list[CheckIn] = []

    for one in chance.sample(scans, len(scans)):
        arrived = replay([*arrived, one])

    assert arrived == expected
    assert sum(one.is_inside for one in arrived) <= 1

"""The timeline of a ticket: which of its scans have admitted it, whatever the order in which they arrived."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from chalicelib.check_in.models import Direction, Outcome


@dataclass(frozen=True, kw_only=True)
class CheckIn:
    """A row of `check_ins`."""

    check_in_id: UUID
    ticket_id: UUID
    nonce: UUID
    direction: Direction
    outcome: Outcome
    scanned_at: datetime
    gate: str | None
    by_hand: bool
    left_at: datetime | None = None
    conflicts_with: UUID | None = None
    undone_at: datetime | None = None

    @property
    def is_admission(self) -> bool:
        return self.outcome == "admitted" and self.undone_at is None

    @property
    def is_inside(self) -> bool:
        return self.is_admission and self.left_at is None

    @property
    def is_on_timeline(self) -> bool:
        """Whether its outcome depends on the ticket's other scans."""
        return self.undone_at is None and self.outcome in _DEPENDENT


_DEPENDENT: frozenset[Outcome] = frozenset({"admitted", "left", "already-checked-in", "not-checked-in"})


def replay(scans: Iterable[CheckIn]) -> list[CheckIn]:
    """Return the scans of one ticket with their outcomes, in the order of their times.

    The earliest scan admits the ticket. Each later one conflicts with it, until a scan at the exit. Scans of
    one time are in the order of their nonces, so that the result does not depend on the order of arrival.
    """
    replayed: list[CheckIn] = []
    inside: int | None = None
    for scan in sorted(scans, key=lambda one: (one.scanned_at, one.nonce)):
        plain = replace(scan, left_at=None, conflicts_with=None)
        if not scan.is_on_timeline:
            replayed.append(scan)
        elif scan.direction == "in" and inside is None:
            inside = len(replayed)
            replayed.append(replace(plain, outcome="admitted"))
        elif scan.direction == "in":
            winner = replayed[inside].check_in_id if inside is not None else None
            replayed.append(replace(plain, outcome="already-checked-in", conflicts_with=winner))
        elif inside is None:
            replayed.append(replace(plain, outcome="not-checked-in"))
        else:
            replayed[inside] = replace(replayed[inside], left_at=scan.scanned_at)
            inside = None
            replayed.append(replace(plain, outcome="left"))
    return replayed

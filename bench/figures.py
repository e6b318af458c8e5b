"""Figures: what was measured, once in each run, and what it is to be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Target:
    sense: Literal["at least", "at most"]
    bound: float

    def reached_by(self, value: float) -> bool:
        return value >= self.bound if self.sense == "at least" else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.sense == 'at least' else '≤'} {self.bound:g}"


def at_least(bound: float) -> Target:
    return Target("at least", bound)


def at_most(bound: float) -> Target:
    return Target("at most", bound)


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a figure stands in the plot."""

    panel: str
    line: str
    clients: int


@dataclass(frozen=True, kw_only=True)
class Figure:
    name: str
    unit: str
    runs: tuple[float, ...]
    target: Target | None = None
    point: Point | None = None

    @property
    def median(self) -> float:
        return median(self.runs)

    @property
    def reached(self) -> bool | None:
        """None where nothing is asked for."""
        return None if self.target is None else self.target.reached_by(self.median)


@dataclass(frozen=True)
class Tally:
    """What a run of some clients came to."""

    seconds: float
    latencies: tuple[float, ...]
    """Seconds of each request, sorted."""
    cpu: float = 0.0
    """Seconds of the clients' processors, where they were counted."""

    @classmethod
    def of(cls, seconds: float, latencies: Iterable[float], cpu: float = 0.0) -> "Tally":
        return cls(seconds, tuple(sorted(latencies)), cpu)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        return self.latencies[min(int(len(self.latencies) * percent / 100), len(self.latencies) - 1)]


def ratios(of: Sequence[float], to: Sequence[float]) -> tuple[float, ...]:
    """Compare run by run: what disturbs the machine for a while disturbs both sides of a ratio."""
    return tuple(one / other for one, other in zip(of, to, strict=True))

"""Measured values, one per run, and the targets for their medians."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import nan
from statistics import median

_FACTORS = {"ms": 1e3, "µs": 1e6, "%": 100.0}
"""From seconds, or from a ratio, to the unit that a figure is shown in."""


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    runs: Sequence[float]
    """Seconds, ratios or counts."""
    least: float | None = None
    """Target for the median, in `unit`."""
    most: float | None = None
    """The same."""

    @property
    def values(self) -> list[float]:
        """The runs in `unit`."""
        return [run * _FACTORS.get(self.unit, 1) for run in self.runs]

    @property
    def target(self) -> str:
        if self.least is not None:
            return f"≥ {self.least:g}"
        return "" if self.most is None else f"≤ {self.most:g}"

    @property
    def missed(self) -> bool:
        middle = median(self.values)
        too_low = self.least is not None and not middle >= self.least
        return too_low or (self.most is not None and not middle <= self.most)


@dataclass(frozen=True)
class Tally:
    """The requests of one run."""

    seconds: float
    latencies: Sequence[float]
    """Seconds per request, sorted, without the requests of the warm-up."""
    calls: int
    """All requests, with those of the warm-up."""
    client_cpu: float = nan
    """CPU seconds of all clients per request."""
    database_cpu: float = nan
    """CPU seconds of PostgreSQL per request."""

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds > 0 else nan


def rates(tallies: Iterable[Tally]) -> list[float]:
    return [tally.rate for tally in tallies]


def percentile(ranked: Sequence[float], percent: float) -> float:
    """Return a percentile of sorted values, or NaN if there are none."""
    return ranked[min(int(len(ranked) * percent / 100), len(ranked) - 1)] if ranked else nan


def percentiles(tallies: Iterable[Tally], percent: float) -> list[float]:
    """Return a percentile of the latencies of each run."""
    return [percentile(tally.latencies, percent) for tally in tallies]


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Divide run by run, because a disturbance of the machine affects both sides of a run."""
    return [one / other if other else nan for one, other in zip(of, to, strict=True)]


def median_seconds(work: Callable[[], object], times: int) -> float:
    """Call something several times, and return the median of the seconds that a call takes."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)

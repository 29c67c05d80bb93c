"""Times of one operation, gathered over many rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timing:
    """The median and the 95th percentile of an operation, in milliseconds."""

    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing | None:
        """Sum times up; None of none."""
        if not seconds:
            return None
        ordered = sorted(seconds)
        at = min(len(ordered) - 1, int(0.95 * len(ordered)))
        return cls(round(statistics.median(ordered) * 1_000, 5), round(ordered[at] * 1_000, 5))


@dataclass(slots=True)
class Stopwatch:
    """Gathers the times of operations by name."""

    clock: Callable[[], float] = time.perf_counter
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, act: Callable[[], T]) -> T:
        """Do something and note how long it took."""
        began = self.clock()
        result = act()
        self.note(name, self.clock() - began)
        return result

    def note(self, name: str, seconds: float) -> None:
        """Note a time that was taken elsewhere."""
        self.seconds.setdefault(name, []).append(seconds)

    def drop_last(self, name: str) -> None:
        """Take back the last time of an operation that did not do what is measured."""
        self.seconds[name].pop()

    def timing(self, name: str) -> Timing | None:
        """Return the figures of an operation, or None where it was never timed."""
        return Timing.of(self.seconds.get(name, []))

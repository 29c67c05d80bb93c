"""What the tests of what stores keep have in common: a clock that ticks, and the look into a store."""

from __future__ import annotations

from semroute.stores import Store
from semroute.testing.entries import NOW


class TickingClock:
    """One second later at each look, so that what comes first is older."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        self.now += 1
        return self.now


def kept(store: Store) -> list[str]:
    """Return the questions of all entries that a store still has."""
    return sorted(entry.query for entry in store.scan())

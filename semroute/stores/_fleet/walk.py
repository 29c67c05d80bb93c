"""One scan over all shards of a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semroute.errors import StoreError

if TYPE_CHECKING:
    from semroute.entry import Entry
    from semroute.stores._fleet.fleet import Fleet


class Walk:
    """What a scan has seen, and which shards failed."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._seen: set[str] = set()
        self._failed: list[str] = []

    def is_new(self, entry: Entry) -> bool:
        before = len(self._seen)
        self._seen.add(entry.id)
        return len(self._seen) > before

    def skip(self, name: str) -> None:
        self._failed.append(name)

    def fail(self, name: str, error: StoreError) -> None:
        self._failed.append(name)
        self._fleet.shards[name].broke(str(error))

    def end(self) -> None:
        """Raise StoreError where an entry may have been on failed shards only."""
        if len(self._failed) >= self._fleet.placement.replicas:
            raise StoreError(f"entries are missing from this scan: {self._fleet.complaint(self._failed)}")

"""What lookups that missed have learnt, kept for the updates that follow them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semroute.trail import Trail


@dataclass(slots=True)
class _UnderWay:
    trail: Trail
    misses: int
    began_s: float


class Pending:
    """Trails of misses whose answers are under way, by exact key; bounded, the oldest goes first.

    While several misses of one key are under way the trail of the first serves them all: an update cannot tell which
    of them it belongs to, and an invalidation since the first must win over every one. Misses that no update follows
    (the model failed, a follower took its leader's answer) are forgotten at the first miss after `life_s`.
    """

    def __init__(
        self, *, limit: int = 1_024, life_s: float = 120.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._life_s = life_s
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: OrderedDict[str, _UnderWay] = OrderedDict()

    def __len__(self) -> int:
        return len(self._under_way)

    def add(self, trail: Trail) -> None:
        """Note a miss."""
        key, now_s = trail.address.exact, self._clock()
        with self._lock:
            known = self._under_way.pop(key, None)
            if known is None or now_s - known.began_s > self._life_s:
                known = _UnderWay(trail, 0, now_s)
            elif known.trail.vector is None and trail.vector is not None:
                known.trail = replace(trail, epoch=known.trail.epoch)
            known.misses += 1
            self._under_way[key] = known
            if len(self._under_way) > self._limit:
                self._under_way.popitem(last=False)

    def take(self, key: str) -> Trail | None:
        """Return what a miss of the key learnt, or None where none is known to be under way."""
        with self._lock:
            known = self._under_way.get(key)
            if known is None:
                return None
            known.misses -= 1
            if known.misses == 0:
                del self._under_way[key]
            return replace(known.trail, failures=[])

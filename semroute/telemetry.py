"""Events of the cache, and the counters that are always on. Exporters subscribe as listeners."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from semroute.request import Scope
from semroute.result import Hit, NotStored, Stored
from semroute.shadow import ShadowEvent

if TYPE_CHECKING:
    from semroute.breaker import State
    from semroute.entry import Answer
    from semroute.request import Request
    from semroute.result import Lookup, Update

logger = logging.getLogger("semroute")

_MEANING: Mapping[str, str] = {
    "open": "keeps failing and is left alone for a while",
    "half_open": "is tried again",
    "closed": "works again",
}


@dataclass(frozen=True, slots=True)
class LookupEvent:
    """One lookup has ended."""

    result: Lookup
    seconds: float
    scope: Scope = field(default_factory=Scope)


@dataclass(frozen=True, slots=True)
class UpdateEvent:
    """One update has ended."""

    result: Update


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A model was called, and answered."""

    request: Request
    answer: Answer
    """With what it cost, where its price or its provider tells."""


@dataclass(frozen=True, slots=True)
class FailureEvent:
    """A part failed; the request went on without it."""

    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class StateEvent:
    """A part's circuit breaker changed its state."""

    part: str
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """A person or a judge said whether a hit was right."""

    hit_id: str
    correct: bool
    removed: int


Event: TypeAlias = LookupEvent | UpdateEvent | CallEvent | FailureEvent | StateEvent | FeedbackEvent | ShadowEvent


class Listener(Protocol):
    """Receives every event, on the thread that caused it; it must be quick and must not raise."""

    def on(self, event: Event) -> None: ...


@dataclass(frozen=True, slots=True)
class Stats:
    """What a cache object has done since it was made; the counters of one process."""

    lookups: int = 0
    tiers: dict[str, int] = field(default_factory=dict)
    """Lookups by tier: l1, l1_alias, l2, miss, bypass."""
    stored: int = 0
    not_stored: dict[str, int] = field(default_factory=dict)
    """Updates that were not kept, by reason."""
    failures: dict[str, int] = field(default_factory=dict)
    """Failures by part: store, embedder, router, guard, lease."""
    wrong_reports: int = 0
    """Hits that `feedback` called wrong."""
    saved_tokens: int = 0
    saved_usd: float = 0.0
    saved_s: float = 0.0

    @property
    def hits(self) -> int:
        return sum(self.tiers.get(tier, 0) for tier in ("l1", "l1_alias", "l2"))

    @property
    def hit_rate(self) -> float:
        """Hits as a fraction of all lookups; 0.0 before the first."""
        return self.hits / self.lookups if self.lookups else 0.0


class Counters:
    """The listener that is always on: counts events, and logs once when a part goes down and once when it is back.

    A part that stays down is tried again every few seconds; those trials are logged for debugging only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tiers: Counter[str] = Counter()
        self._not_stored: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._stored = 0
        self._wrong = 0
        self._down: set[str] = set()
        self._tokens, self._usd, self._seconds = 0, 0.0, 0.0

    def on(self, event: Event) -> None:
        with self._lock:
            self._count(event)
            level = self._level(event) if isinstance(event, StateEvent) else logging.NOTSET
        if isinstance(event, StateEvent):
            logger.log(level, "the %s %s: %s", event.part, _MEANING[event.state], event.reason)

    def _level(self, event: StateEvent) -> int:
        was_down = event.part in self._down
        match event.state:
            case "open" if not was_down:
                self._down.add(event.part)
                return logging.WARNING
            case "closed" if was_down:
                self._down.discard(event.part)
                return logging.INFO
            case _:
                return logging.DEBUG

    def _count(self, event: Event) -> None:
        match event:
            case LookupEvent(result):
                self._tiers[result.tier] += 1
                if isinstance(result, Hit):
                    self._add_saving(result)
            case UpdateEvent(Stored()):
                self._stored += 1
            case UpdateEvent(NotStored(reason)):
                self._not_stored[reason] += 1
            case FailureEvent(part):
                self._failures[part] += 1
            case FeedbackEvent(correct=False):
                self._wrong += 1
            case _:
                pass

    def _add_saving(self, hit: Hit) -> None:
        saved = hit.explanation.saved
        if saved is None:
            return
        self._tokens += 0 if saved.tokens is None else saved.tokens
        self._usd += 0.0 if saved.usd is None else saved.usd
        self._seconds += 0.0 if saved.seconds is None else saved.seconds

    def stats(self) -> Stats:
        """Return a snapshot."""
        with self._lock:
            return Stats(
                lookups=self._tiers.total(),
                tiers=dict(self._tiers),
                stored=self._stored,
                not_stored=dict(self._not_stored),
                failures=dict(self._failures),
                wrong_reports=self._wrong,
                saved_tokens=self._tokens,
                saved_usd=self._usd,
                saved_s=self._seconds,
            )

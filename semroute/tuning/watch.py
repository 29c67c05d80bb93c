"""The drift monitor at work: it hears what a cache serves and what is said of it, and moves the cache's policy."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from semroute.result import Hit
from semroute.telemetry import FeedbackEvent, LookupEvent
from semroute.tuning.drift import DriftMonitor, Outcome

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.policy import TunedStrategy
    from semroute.telemetry import Event
    from semroute.tuning.drift import Watch

logger = logging.getLogger("semroute.tuning")

WAITS_FOR: Final = 1_000
"""How many later requests a hit waits for its label; then it counts as one that nobody complained of."""


class DriftWatch:
    """Watches the promise of a cache's tuned policy, by the feedback that its hits get.

        DriftWatch(cache, tightens=True, label_rate=0.05)   # one hit in twenty is judged, drawn at random

    With `tightens` the cache goes on with a stricter policy while the promise does not hold; without, a warning is
    logged once. `label_rate` is the share of hits that get `cache.feedback`: where only wrong hits are reported, but
    all of them, it is 1. One watch is about the requests that this process sees. Raises ConfigError for a policy
    without a promise.
    """

    def __init__(
        self,
        cache: SemanticCache,
        *,
        tightens: bool = False,
        label_rate: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._monitor = DriftMonitor(cache.rules.policy, tightens=tightens, label_rate=label_rate)
        self._clock = clock
        self._lock = threading.Lock()
        self._unlabelled: OrderedDict[int, tuple[str, Outcome]] = OrderedDict()
        self._latest: dict[str, deque[int]] = {}
        self._requests = 0
        self.last: Watch | None = None
        """How the promise stands; None before the first request."""
        cache.listen(self)

    def on(self, event: Event) -> None:
        """Take an event of the cache in."""
        with self._lock:
            match event:
                case LookupEvent(result=Hit() as hit):
                    self._note(hit)
                case LookupEvent():
                    self._observe(Outcome(self._clock()))
                case FeedbackEvent(hit_id=hit_id, correct=correct):
                    self._label(hit_id, correct)

    def _note(self, hit: Hit) -> None:
        """Keep a hit until its label comes, or nobody will say anything of it any more."""
        self._requests += 1
        told, decision = hit.explanation, hit.explanation.decision
        strategy: TunedStrategy = "standard"
        if decision is not None and decision.cache_strategy == "aggressive" and decision.intent != "analysis":
            strategy = "aggressive"
        sure = decision is None or decision.confidence >= self._monitor.policy.min_confidence
        outcome = Outcome(
            self._clock(),
            similarity=told.similarity,
            p_reusable=told.p_reusable,
            strategy=strategy,
            is_sure=sure,
            is_exact=hit.tier == "l1",
        )
        self._unlabelled[self._requests] = (hit.hit_id, outcome)
        self._latest.setdefault(hit.hit_id, deque()).append(self._requests)
        while self._unlabelled and next(iter(self._unlabelled)) <= self._requests - WAITS_FOR:
            self._observe(self._taken(next(iter(self._unlabelled))))

    def _label(self, hit_id: str, correct: bool) -> None:
        """Give the latest hit of an entry its label."""
        numbers = self._latest.get(hit_id)
        if numbers:
            outcome = self._taken(numbers[-1])
            self._observe(replace(outcome, at=self._clock(), is_right=correct))

    def _taken(self, number: int) -> Outcome:
        hit_id, outcome = self._unlabelled.pop(number)
        numbers = self._latest[hit_id]
        numbers.remove(number)
        if not numbers:
            del self._latest[hit_id]
        return outcome

    def _observe(self, outcome: Outcome) -> None:
        held = self.last is None or self.last.holds
        before = self._monitor.policy
        self.last = self._monitor.observe(outcome)
        if held and not self.last.holds:
            told = "policy %s no longer keeps its promise, seen after %d requests: tune it anew on fresh labels"
            logger.warning(told, before.version, self.last.requests)
        if self.last.policy is not before:
            logger.info("the cache goes on with policy %s", self.last.policy.version)
            self._cache.use_policy(self.last.policy)

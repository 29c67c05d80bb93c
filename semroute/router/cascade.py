"""The cascade: a quick router first, and a surer one where it is unsure and something hangs on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from semroute.breaker import Breaker, logged
from semroute.errors import ConfigError
from semroute.router import WaitingRouter
from semroute.router.budget import Budget

if TYPE_CHECKING:
    from semroute.entry import FloatVector
    from semroute.request import Request
    from semroute.router import Router
    from semroute.router.catalog import ModelCatalog
    from semroute.router.decision import CacheStrategy, RoutingDecision, Staleness
    from semroute.router.decision_log import DecisionLog

logger = logging.getLogger("semroute.router")

UNSURE_BELOW: Final = 0.8
"""A first decision with less confidence is worth a second look; the same as the default of the gate's policy."""
FRAME_TOKENS: Final = 2_000
"""About what a second look takes beside the text itself: instructions, examples, schema and reply."""

_CHARS_PER_TOKEN: Final = 4
_MOST_CHARS: Final = 4_000
"""Of a longer text a second router sees no more than its opening and its end."""
_SHORTEST_LIFE_FIRST: Final[tuple[Staleness, ...]] = ("realtime", "daily", "slow", "timeless")
_STRICTEST_FIRST: Final[tuple[CacheStrategy, ...]] = ("bypass", "standard", "aggressive")


@runtime_checkable
class Fitted(Protocol):
    """A router that reads the vectors of one embedder."""

    @property
    def embedder(self) -> str | None:
        """Identity of the embedder that it was fitted on; None for any."""
        ...


@dataclass(frozen=True, slots=True)
class CascadeCounts:
    """What a cascade has done since it was made; the figures of one process."""

    routed: int = 0
    """Requests that the first router decided about."""
    asked: int = 0
    """Second looks that were taken."""
    over_budget: int = 0
    """Second looks that would have been worth it, and that the budget did not allow."""
    failed: int = 0
    """Second looks that were taken and came to nothing: the first decision stood."""
    left_alone: int = 0
    """Second looks that were not taken, because the second router kept failing."""


class CascadeRouter:
    """Decides by the `first` router alone, and looks again with the `second` one where that is worth its cost.

    The flow asks for a second look only where it can change something: for a candidate that a surer decision might
    serve, or after a miss whose model is chosen by the decision; never for a clear hit. It is taken where the first
    decision's confidence is under `unsure_below` and the budget allows it; the two decisions are then merged (see
    `merged`). A second router that says that its decision is a fallback changes nothing; one that raises
    changes nothing either, and is left alone for a while where it keeps doing so.

    What the second router says is written to `log`, if there is one: `semroute router train` on that file teaches the
    first one. With a `catalog` the log also tells which tiers the second router takes to be good enough. `embedder` is
    the identity that goes with the first router's vectors, if it does not name one itself. `tokens` estimates what a
    second look at a request takes. Raises ConfigError for a confidence that cannot be.
    """

    def __init__(
        self,
        first: Router,
        second: Router,
        *,
        budget: Budget | None = None,
        log: DecisionLog | None = None,
        catalog: ModelCatalog | None = None,
        unsure_below: float = UNSURE_BELOW,
        embedder: str | None = None,
        tokens: Callable[[Request], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        given: object = unsure_below
        if not isinstance(given, int | float) or not 0.0 <= given <= 1.0:
            raise ConfigError(f"unsure_below={unsure_below!r} must be a confidence from 0 to 1")
        self.first = first
        self.second = second
        self.budget = Budget() if budget is None else budget
        self.log = log
        self._catalog = catalog
        self._unsure_below = unsure_below
        self._embedder = embedder
        self._tokens = estimated_tokens if tokens is None else tokens
        # Of its own: looks that the budget refuses would seem successes to whoever stands outside.
        self._breaker = Breaker("second router", logged(logger), clock=clock)
        self._lock = threading.Lock()
        self._counts = [0] * len(fields(CascadeCounts))

    def __repr__(self) -> str:
        return f"<CascadeRouter {self.first.name}, then {self.second.name}: {self.counts()}>"

    @property
    def name(self) -> str:
        return "cascade"

    @property
    def embedder(self) -> str | None:
        """Identity of the embedder that the first router was fitted on; None for any."""
        if self._embedder is None and isinstance(self.first, Fitted):
            return self.first.embedder
        return self._embedder

    def counts(self) -> CascadeCounts:
        """Return a snapshot."""
        with self._lock:
            return CascadeCounts(*self._counts)

    def route(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        """Decide by the first router alone. Raises RouterError."""
        self._count_request()
        return self.first.route(request, vector)

    async def aroute(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        """Do what `route` does, without ever blocking the event loop."""
        self._count_request()
        return await _aroute(self.first, request, vector)

    def reconsider(
        self, request: Request, vector: FloatVector | None, decision: RoutingDecision, similarity: float | None
    ) -> RoutingDecision:
        """Ask the second router where that is worth it, and merge what the two say. Raises RouterError."""
        if not self._may_ask(request, decision):
            return decision
        try:
            second = self.second.route(request, vector)
        except Exception as error:  # of any kind: a router may be the user's code, and is only counted here
            self._failed(f"{type(error).__name__}: {error}")
            raise
        return self._taken(request, decision, second)

    async def areconsider(
        self, request: Request, vector: FloatVector | None, decision: RoutingDecision, similarity: float | None
    ) -> RoutingDecision:
        """Do what `reconsider` does, without ever blocking the event loop."""
        if not self._may_ask(request, decision):
            return decision
        try:
            second = await _aroute(self.second, request, vector)
        except Exception as error:  # as above
            self._failed(f"{type(error).__name__}: {error}")
            raise
        return self._taken(request, decision, second)

    def _count_request(self) -> None:
        self.budget.count()
        self._count(_ROUTED)

    def _may_ask(self, request: Request, decision: RoutingDecision) -> bool:
        # Written so that a confidence that is not a number counts as none.
        if decision.confidence >= self._unsure_below:
            return False
        if not self._breaker.allows():
            self._count(_LEFT_ALONE)
            return False
        is_allowed = self.budget.take(self._tokens(request))
        self._count(_ASKED if is_allowed else _OVER_BUDGET)
        return is_allowed

    def _taken(self, request: Request, first: RoutingDecision, second: RoutingDecision) -> RoutingDecision:
        self._breaker.succeeded()
        # No failure to the breaker: texts that a router refuses to decide about must not close it to all others.
        if second.origin == "fallback":
            self._count(_FAILED)
            return first
        if self.log is not None:
            tier, good_tiers = self._tiers(second.model)
            self.log.add(request.query, second, tier=tier, good_tiers=good_tiers, embedder=self.embedder)
        return merged(first, second)

    def _tiers(self, model: str | None) -> tuple[int | None, tuple[int, ...] | None]:
        """Return the tier of a model, and those that are good enough where it is."""
        if self._catalog is None or model is None or model not in self._catalog:
            return None, None
        tier = self._catalog[model].tier
        return tier, tuple(each for each in self._catalog.tiers if each >= tier)

    def _failed(self, reason: str) -> None:
        self._breaker.failed(reason)
        self._count(_FAILED)

    def _count(self, what: int) -> None:
        with self._lock:
            self._counts[what] += 1


_ROUTED, _ASKED, _OVER_BUDGET, _FAILED, _LEFT_ALONE = range(5)


async def _aroute(router: Router, request: Request, vector: FloatVector | None) -> RoutingDecision:
    """Ask a router from an event loop: by its `aroute` where it waits for something."""
    return await router.aroute(request, vector) if isinstance(router, WaitingRouter) else router.route(request, vector)


def estimated_tokens(request: Request) -> int:
    """Estimate what a second look at a request takes, from the length of its query."""
    return FRAME_TOKENS + min(len(request.query), _MOST_CHARS) // _CHARS_PER_TOKEN


def merged(first: RoutingDecision, second: RoutingDecision) -> RoutingDecision:
    """Return what two decisions come to: the second's, made no milder than the first where an answer may be reused.

    Intent, complexity, model and confidence are the second's. Of two lives the shorter wins, and of two strategies the
    stricter, so that a bypass always does: a text that talks a model into something cannot make the cache bolder than
    the first router let it be. Where only the first reads a request as an error, it stays out of the cache.
    """
    strategies = [first.cache_strategy, second.cache_strategy]
    if first.intent == "analysis":  # never aggressive
        strategies.append("standard")
    strategy = min(strategies, key=_STRICTEST_FIRST.index)
    kept_out = first.intent == "error" != second.intent
    staleness = min(first.staleness, second.staleness, key=_SHORTEST_LIFE_FIRST.index)
    # What is read out of documents lives no longer than `slow`, whatever the second look calls it.
    if first.intent == "retrieval" != second.intent and staleness == "timeless":
        staleness = "slow"
    return second.model_copy(
        update={
            "cache_strategy": "bypass" if kept_out else strategy,
            "staleness": staleness,
            "origin": "cascade",
        }
    )

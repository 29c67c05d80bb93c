"""Outcomes out of a cache's own events: what is reported of its hits, and how the calls of models went."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError
from semroute.result import Hit
from semroute.telemetry import CallEvent, FeedbackEvent, LookupEvent

if TYPE_CHECKING:
    from semroute.entry import Answer
    from semroute.router.catalog import ModelCatalog
    from semroute.router.outcomes import Outcomes
    from semroute.telemetry import Event

DEFAULT_REMEMBER: Final = 10_000
_LARGEST_TIER: Final = 100


class OutcomeListener:
    """Notes outcomes as a cache tells its events; give it to the cache as a listener.

    A call counts as `answered` or, by its cost, as `overpriced`. `SemanticCache.feedback` counts as `right` or `wrong`
    for the tier of the model that answered, where the hit was one of the exact tier: an answer that was right for its
    own question and wrong for another is the cache's fault and no model's. The tier is the answer's own, or that of
    its model in the `catalog`. The latest `remember` hits are kept until somebody reports on them; reports on hits
    that another process served are none of this one's. A model that had to be replaced by another (`fell_back`) and
    what a judge says are not among the events: whoever sees them notes them in `outcomes` directly.
    """

    def __init__(
        self, outcomes: Outcomes, *, catalog: ModelCatalog | None = None, remember: int = DEFAULT_REMEMBER
    ) -> None:
        given: object = remember
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise ConfigError(f"remember={remember!r} is out of range: it must be a whole number of at least 1")
        self.outcomes = outcomes
        self._catalog = catalog
        self._remember = remember
        self._lock = threading.Lock()
        self._tiers: OrderedDict[str, int] = OrderedDict()

    def __repr__(self) -> str:
        return f"<OutcomeListener {self.outcomes!r}, {len(self._tiers)} hits remembered>"

    def on(self, event: Event) -> None:
        """Note what an event says of a tier, if anything."""
        match event:
            case LookupEvent(Hit() as hit):
                self._served(hit)
            case FeedbackEvent(hit_id, correct):
                with self._lock:
                    tier = self._tiers.pop(hit_id, None)
                if tier is not None:
                    self.outcomes.note(tier, "right" if correct else "wrong")
            case CallEvent(_, answer):
                self._called(answer)
            case _:
                pass

    def _served(self, hit: Hit) -> None:
        tier = self._tier(hit.answer) if hit.tier == "l1" else None
        with self._lock:
            # Forgotten where it is now served for other words too: a report could not tell which of them it is about.
            self._tiers.pop(hit.hit_id, None)
            if tier is None:
                return
            self._tiers[hit.hit_id] = tier
            if len(self._tiers) > self._remember:
                self._tiers.popitem(last=False)

    def _called(self, answer: Answer) -> None:
        tier = self._tier(answer)
        if tier is None:
            return
        if answer.usd is not None and answer.usd >= 0.0:
            self.outcomes.note_cost(tier, answer.usd)
        else:
            self.outcomes.note(tier, "answered")

    def _tier(self, answer: Answer) -> int | None:
        if answer.tier is None and self._catalog is not None and answer.model is not None:
            return self._catalog[answer.model].tier if answer.model in self._catalog else None
        # An answer out of a store may carry whatever tier another application gave it.
        return answer.tier if answer.tier is not None and 1 <= answer.tier <= _LARGEST_TIER else None

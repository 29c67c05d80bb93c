"""What a replay brought: the outcome of every request, and the figures that follow from them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from semroute.cli.plain_cosine import CosineHit
    from semroute.cli.stream import Row
    from semroute.entry import JSON
    from semroute.guards import Guard
    from semroute.ledger import Costs
    from semroute.result import Explanation, Saved

UNNAMED: Final = "(unnamed)"
"""Stands for models whose answers do not say which one they came from."""
_BUCKETS: Final = 10
"""Of equal width, between confidences of 0 and 1."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model's answer to a request that the cache could not serve."""

    model: str
    is_routed: bool
    """Whether the router chose the model; else the application had named it, or there was only one."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many decisions had a confidence of at least `low` and under `high`; the last bucket holds 1 too."""

    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Served:
    """Whose answer a hit brought: the row, or None for an entry that was there before, and whether it was wrong."""

    row: Row | None
    is_wrong: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request."""

    position: int
    row: Row
    is_reusable: bool
    explanation: Explanation | None
    """None where the call went past the cache."""
    served: Served | None
    """None where the model answered."""
    saved: Saved | None
    """What a right hit spared."""
    cache_s: float
    """How long the call took without the model's own time, as the application saw it."""
    call: ModelCall | None = None
    """None where no model answered, or where nothing was told of it."""

    @property
    def tier(self) -> str:
        return "bypass" if self.explanation is None else self.explanation.tier

    @property
    def is_hit(self) -> bool:
        return self.served is not None

    @property
    def is_wrong(self) -> bool:
        return self.served is not None and self.served.is_wrong

    @property
    def confidence(self) -> float | None:
        """Return how sure the router was, or None where it was not asked, as on a hit of the exact tier."""
        decision = None if self.explanation is None else self.explanation.decision
        return None if decision is None else decision.confidence

    @property
    def kind(self) -> str:
        kind = self.row.kind
        if kind is not None:
            return kind
        return "trap" if self.row.trap else "reusable" if self.is_reusable else "new"

    @property
    def refusal(self) -> str:
        """Say why the cache did not serve the request, or by which rule it did."""
        return "the call went past the cache" if self.explanation is None else self.explanation.reason


@dataclass(frozen=True, slots=True)
class KindCounts:
    """The requests of one kind."""

    requests: int
    reusable: int
    hits: int
    wrong_hits: int
    traps: int
    traps_refused: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> KindCounts:
        """Count what became of some requests."""
        return cls(
            requests=len(outcomes),
            reusable=sum(outcome.is_reusable for outcome in outcomes),
            hits=sum(outcome.is_hit for outcome in outcomes),
            wrong_hits=sum(outcome.is_wrong for outcome in outcomes),
            traps=sum(outcome.row.trap for outcome in outcomes),
            traps_refused=sum(outcome.row.trap and not outcome.is_wrong for outcome in outcomes),
        )


@dataclass(frozen=True)
class ReplayReport:
    """The figures of a replay; rates are fractions, times are named."""

    outcomes: tuple[Outcome, ...]
    guards: tuple[Guard, ...]
    """Those of the cache, to name what tells a trap from its look-alike."""
    cosine: tuple[CosineHit, ...]
    """What a plain cosine cache served on the same stream."""
    cosine_isolated: tuple[CosineHit, ...]
    """The same, with a space for each tenant and system prompt."""
    costs: Costs
    """What the cache's ledger has added up over the replay."""

    @cached_property
    def hits(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.is_hit)

    @cached_property
    def wrong(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.is_wrong)

    @cached_property
    def traps(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.row.trap)

    @cached_property
    def reusable(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.is_reusable)

    @property
    def right_hits(self) -> int:
        return len(self.hits) - len(self.wrong)

    @property
    def hit_share_of_reusable(self) -> float:
        """Right hits as a fraction of the requests that had a right earlier answer; 0.0 where none had."""
        served = sum(1 for outcome in self.reusable if outcome.is_hit and not outcome.is_wrong)
        return served / len(self.reusable) if self.reusable else 0.0

    @property
    def earlier_run_hits(self) -> int:
        """Hits on entries that were in the store before; they can only be judged by their text."""
        return sum(outcome.served is not None and outcome.served.row is None for outcome in self.hits)

    @cached_property
    def calls(self) -> tuple[ModelCall, ...]:
        return tuple(outcome.call for outcome in self.outcomes if outcome.call is not None)

    @property
    def calls_by_model(self) -> dict[str, int]:
        """Count the calls of each model that was called, in alphabetical order."""
        return dict(sorted(Counter(call.model for call in self.calls).items()))

    @property
    def routed_calls(self) -> int:
        """Calls whose model the router chose."""
        return sum(call.is_routed for call in self.calls)

    @cached_property
    def confidence(self) -> tuple[Bucket, ...]:
        """The decisions of the router by confidence, lowest first."""
        known = [outcome.confidence for outcome in self.outcomes if outcome.confidence is not None]
        counts = Counter(min(int(confidence * _BUCKETS), _BUCKETS - 1) for confidence in known)
        return tuple(Bucket(place / _BUCKETS, (place + 1) / _BUCKETS, counts[place]) for place in range(_BUCKETS))

    @property
    def spent_usd(self) -> float | None:
        """Dollars that the calls cost, or None where none of them has a price."""
        return None if self.costs.unpriced and not self.costs.spent_usd else self.costs.spent_usd

    @property
    def saved_by_routing_usd(self) -> float:
        """Dollars that asking the strongest model for every routed call would have cost more; 0.0 without a router."""
        return self.costs.saved_by_routing_usd

    @property
    def saved_usd(self) -> float | None:
        """Dollars that the right hits spared: what the calls had cost whose answers were served again.

        None where no hit knows its price. What routing saved is not among it.
        """
        return _sum(outcome.saved.usd for outcome in self.hits if outcome.saved is not None)

    @property
    def saved_s(self) -> float | None:
        """Seconds of model time that the right hits spared."""
        return _sum(outcome.saved.seconds for outcome in self.hits if outcome.saved is not None)

    @property
    def saved_tokens(self) -> int | None:
        tokens = _sum(outcome.saved.tokens for outcome in self.hits if outcome.saved is not None)
        return None if tokens is None else int(tokens)

    @property
    def cosine_wrong(self) -> tuple[CosineHit, ...]:
        return tuple(hit for hit in self.cosine if hit.is_wrong)

    @property
    def cosine_wrong_isolated(self) -> int:
        return sum(hit.is_wrong for hit in self.cosine_isolated)

    @property
    def traps_refused(self) -> int:
        """Traps that were not served another request's answer."""
        return sum(not outcome.is_wrong for outcome in self.traps)

    def count(self, *tiers: str) -> int:
        """Count the requests that ended in one of the tiers."""
        return sum(1 for outcome in self.outcomes if outcome.tier in tiers)

    def p50_ms(self, *tiers: str) -> float | None:
        """Return the median time that a call of these tiers took beside the model, in milliseconds."""
        times = [outcome.cache_s * 1_000 for outcome in self.outcomes if outcome.tier in tiers]
        return statistics.median(times) if times else None

    def by_kind(self) -> dict[str, KindCounts]:
        """Count by kind of request, in alphabetical order."""
        kinds: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            kinds.setdefault(outcome.kind, []).append(outcome)
        return {kind: KindCounts.of(kinds[kind]) for kind in sorted(kinds)}

    def as_dict(self) -> dict[str, JSON]:
        """Return the figures under the names that `semroute demo --json` prints."""
        return {
            "requests": len(self.outcomes),
            "reusable": len(self.reusable),
            "hits": len(self.hits),
            "hit_share_of_reusable": self.hit_share_of_reusable,
            "l1_hits": self.count("l1", "l1_alias"),
            "l1_alias_hits": self.count("l1_alias"),
            "l2_hits": self.count("l2"),
            "earlier_run_hits": self.earlier_run_hits,
            "misses": self.count("miss"),
            "bypasses": self.count("bypass"),
            "wrong_hits": len(self.wrong),
            "traps": len(self.traps),
            "traps_refused": self.traps_refused,
            "cosine_hits": len(self.cosine),
            "cosine_wrong_hits": len(self.cosine_wrong),
            "cosine_hits_isolated": len(self.cosine_isolated),
            "cosine_wrong_hits_isolated": self.cosine_wrong_isolated,
            "saved_calls": self.right_hits,
            "saved_tokens": self.saved_tokens,
            "saved_usd": self.saved_usd,
            "saved_by_hits_usd": self.saved_usd,
            "saved_by_routing_usd": self.saved_by_routing_usd,
            "spent_usd": self.spent_usd,
            "saved_s": self.saved_s,
            "models": dict(self.calls_by_model),
            "routed_calls": self.routed_calls,
            "confidence": [[bucket.low, bucket.high, bucket.count] for bucket in self.confidence],
            "p50_ms": {
                "l1": self.p50_ms("l1", "l1_alias"),
                "l2": self.p50_ms("l2"),
                "miss_overhead": self.p50_ms("miss"),
            },
            "by_kind": {kind: asdict(counts) for kind, counts in self.by_kind().items()},
            "wrong": [_told(outcome) for outcome in self.wrong],
        }


def _told(outcome: Outcome) -> dict[str, JSON]:
    served = None if outcome.served is None or outcome.served.row is None else outcome.served.row
    return {
        "request": outcome.position + 1,
        "kind": outcome.kind,
        "tier": outcome.tier,
        "similarity": None if outcome.explanation is None else outcome.explanation.similarity,
        "query": outcome.row.query,
        "served_query": None if served is None else served.query,
    }


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None

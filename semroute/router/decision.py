"""The router's decision: what kind of question this is, and how its answer may be cached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Intent: TypeAlias = Literal["retrieval", "chat", "analysis", "error"]
Complexity: TypeAlias = Literal["low", "medium", "high"]
CacheStrategy: TypeAlias = Literal["aggressive", "standard", "bypass"]
Staleness: TypeAlias = Literal["timeless", "slow", "daily", "realtime"]
Origin: TypeAlias = Literal["rules", "learned", "llm", "cascade", "fallback"]


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """One structured decision about a request."""

    intent: Intent = "retrieval"
    complexity: Complexity = "medium"
    model: str | None = None
    """A name out of the catalogue, or None to leave the choice to the caller."""
    cache_strategy: CacheStrategy = "standard"
    staleness: Staleness = "slow"
    """How soon a right answer to this question turns wrong."""
    confidence: float = 1.0
    """Calibrated, in [0, 1]."""
    origin: Origin = "rules"
    reason: str = ""

"""The router's decision: what kind of question this is, who answers it, and how its answer may be cached."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Intent: TypeAlias = Literal["retrieval", "chat", "analysis", "error"]
Complexity: TypeAlias = Literal["low", "medium", "high"]
CacheStrategy: TypeAlias = Literal["aggressive", "standard", "bypass"]
Staleness: TypeAlias = Literal["timeless", "slow", "daily", "realtime"]
Origin: TypeAlias = Literal["rules", "learned", "llm", "cascade", "fallback"]
Confidence: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class RoutingDecision(BaseModel):
    """One structured decision about a request; raises pydantic's ValidationError for values that cannot be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intent: Intent = "retrieval"
    complexity: Complexity = "medium"
    model: str | None = None
    """A name out of the catalogue, or None to leave the choice to what complexity and intent ask for."""
    cache_strategy: CacheStrategy = "standard"
    staleness: Staleness = "slow"
    """How soon a right answer to this question turns wrong."""
    confidence: Confidence = 1.0
    """Calibrated: how likely the decision is one that costs nobody a wrong answer."""
    origin: Origin = "rules"
    reason: str = ""

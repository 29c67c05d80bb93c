"""Everything that the flow decides by, in one object that can be exchanged between two requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from semroute.admission import AdmissionLimits
from semroute.cacheability import CacheabilityLimits
from semroute.freshness import LIFETIMES
from semroute.gate import Gate, Policy, open_gate

if TYPE_CHECKING:
    from semroute.cacheability import Judgement
    from semroute.guards import Estimator, Guard
    from semroute.request import Request
    from semroute.router.decision import RoutingDecision, Staleness


@dataclass(frozen=True, slots=True)
class Rules:
    """Policy, guards, limits and lifetimes."""

    policy: Policy
    guards: tuple[Guard, ...]
    cacheability: CacheabilityLimits = field(default_factory=CacheabilityLimits)
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    lifetimes: Mapping[Staleness, timedelta | None] = field(default_factory=lambda: LIFETIMES)
    verifier: Estimator | None = None
    """Asked last how likely a candidate's answer is right; it stands for the guards where the gate says so."""
    keeps_guards: bool = False
    """Ask the guards whatever the gate says: the application has chosen them."""
    require_scope: bool = False
    """Treat a request without any scope as Bypass."""
    k: int = 5
    """How many candidates the semantic tier looks at."""
    reconsiders: bool = False
    """Whether the router can take a second look at a request (see `semroute.router.Reconsidering`)."""

    @property
    def version(self) -> str:
        """Name what decides about a hit: an alias that was made under another version is looked at again."""
        return self.policy.version if self.verifier is None else f"{self.policy.version} {self.verifier.digest}"

    def gate(self, decision: RoutingDecision | None, embedder: str | None = None) -> Gate:
        """Return what a decision leads to; None stands for a router that failed.

        The verifier counts only for similarities of the embedder that it was fitted on.
        """
        return open_gate(decision, self.policy, has_verifier=self._estimates(embedder))

    def is_sure(self, decision: RoutingDecision) -> bool:
        """Say whether a decision counts in full; written so that a confidence that is not a number counts as none."""
        return decision.confidence >= self.policy.min_confidence

    def life(self, request: Request, judgement: Judgement, decision: RoutingDecision | None) -> timedelta | None:
        """Return how old an answer to a question may become, by wording and router; None where it is not to be kept."""
        stalenesses: list[Staleness] = [judgement.freshness.staleness]
        if decision is not None:
            stalenesses.append(decision.staleness)
        is_retrieval = bool(request.corpora) or (decision is not None and decision.intent == "retrieval")
        if is_retrieval and not request.is_versioned:  # what documents say may change: at most slow
            stalenesses.append("slow")
        lives = [life for life in map(self.lifetimes.get, stalenesses) if life is not None]
        return min(lives) if len(lives) == len(stalenesses) else None

    def asked(self, gate: Gate, embedder: str | None) -> tuple[Guard, ...]:
        """Return the guards that are asked about a candidate behind a gate, in turn."""
        guards = self.guards if gate.requires_guards or self.keeps_guards else ()
        return (*guards, self.verifier) if self.verifier is not None and self._estimates(embedder) else guards

    def has_another_verifier(self, embedder: str | None) -> bool:
        """Say whether a verifier stands, and not the one that the policy was tuned with.

        Without any the gate itself stays strict; another one's probabilities mean something else.
        """
        tuned_with = self.policy.verifier
        if tuned_with is None or self.verifier is None or not self._estimates(embedder):
            return False
        return self.verifier.digest != tuned_with

    def _estimates(self, embedder: str | None) -> bool:
        return self.verifier is not None and self.verifier.embedder in (None, embedder)

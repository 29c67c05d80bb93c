"""What one lookup learns on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from semroute.cacheability import Facts, Judgement, judge_cacheability
from semroute.result import Bypass, Explanation, Lookup, Miss, Nearest

if TYPE_CHECKING:
    from semroute.entry import Address, Entry, FloatVector
    from semroute.gate import Gate
    from semroute.request import Request
    from semroute.router.decision import RoutingDecision
    from semroute.rules import Rules


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was found out about a request before its lookup; no part of it is asked again."""

    decision: RoutingDecision | None = None
    vector: FloatVector | None = None
    embedder: str | None = None
    fits: bool | None = None
    """Whether the embedder takes the text; None where it was not asked, or failed."""


@dataclass(slots=True)
class Trail:
    """Kept for the update that follows a miss, and for the explanation."""

    address: Address
    judgement: Judgement | None = None
    epoch: int | None = None
    vector: FloatVector | None = None
    embedder: str | None = None
    fits: bool | None = None
    decision: RoutingDecision | None = None
    gate: Gate | None = None
    considered: list[Nearest] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_reconsidered: bool = False
    """Whether the router was asked for a second look."""
    serves: bool = True
    """Whether a hit is served; in shadow mode it leaves no alias."""
    entry: Entry | None = None
    """The entry behind a hit by meaning, or by an alias of one."""
    stored: Entry | None = None
    """The entry that the update after a miss has stored."""
    result: Lookup | None = None
    """What the lookup came to by the rules, whether or not it was served."""

    @classmethod
    def of(cls, address: Address, ahead: Ahead | None) -> Self:
        """Begin a trail, with what was found out before."""
        if ahead is None:
            return cls(address)
        return cls(address, vector=ahead.vector, embedder=ahead.embedder, fits=ahead.fits, decision=ahead.decision)

    @property
    def ahead(self) -> Ahead:
        """What a later lookup of the same words need not ask again."""
        return Ahead(self.decision, self.vector, self.embedder, self.fits)

    def judged(self, request: Request, rules: Rules) -> Judgement:
        """Return the cacheability rules' answer about the request, asked once."""
        if self.judgement is None:
            self.judgement = judge_cacheability(_facts_of(request), rules.cacheability)
        return self.judgement

    def miss(self, reason: str) -> Miss:
        """End the lookup with nothing to serve."""
        return Miss(self._explain("miss", reason))

    def bypass(self, reason: str) -> Bypass:
        """End the lookup of a request that is neither read nor stored."""
        return Bypass(self._explain("bypass", reason))

    def _explain(self, tier: Any, reason: str) -> Explanation:
        best = self.considered[0] if self.considered else None
        return Explanation(
            tier=tier,
            reason=reason,
            similarity=None if best is None else best.similarity,
            threshold=None if self.gate is None else self.gate.threshold,
            threshold_from=None if self.gate is None else self.gate.threshold_from,
            verdicts=() if best is None else best.verdicts,
            considered=tuple(self.considered),
            decision=self.decision,
            failures=tuple(self.failures),
        )


def _facts_of(request: Request) -> Facts:
    """Return what the cacheability rules ask of a request."""
    return Facts(
        query=request.query,
        names_user=request.scope.user is not None,
        has_attachments=request.has_attachments,
        temperature=request.temperature,
        is_users_turn=request.ends_with_user,
    )

"""What a lookup answers: Hit, Miss or Bypass, each with the explanation of how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from semroute.entry import JSON, Answer
    from semroute.router.decision import RoutingDecision
    from semroute.trail import Ahead

Tier: TypeAlias = Literal["l1", "l1_alias", "l2", "miss", "bypass"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A guard's answer about one candidate: may its answer be reused, and if not, what differs."""

    guard: str
    passed: bool
    why: str = ""
    """What differs, for a person: "2019 ≠ 2017". Empty when it passed."""
    p_reusable: float | None = None
    """Probability that the answer is reusable, from guards that estimate one."""

    def __str__(self) -> str:
        return f"{self.guard}: {'passed' if self.passed else self.why}"


def least_p(verdicts: Iterable[Verdict]) -> float | None:
    """Return the lowest probability that a guard estimated; None where none did."""
    return min((verdict.p_reusable for verdict in verdicts if verdict.p_reusable is not None), default=None)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a hit spared: tokens, US dollars and seconds, each None where the first call did not tell."""

    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Nearest:
    """A candidate that was looked at, with what the guards said of it."""

    id: str
    query: str
    similarity: float
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a lookup came to its result: the same object in results, response metadata and events."""

    tier: Tier
    reason: str
    """One sentence for a person."""
    hit_id: str | None = None
    similarity: float | None = None
    p_reusable: float | None = None
    threshold: float | None = None
    threshold_from: str | None = None
    age_s: float | None = None
    model: str | None = None
    saved: Saved | None = None
    verdicts: tuple[Verdict, ...] = ()
    """What the guards said of the candidate that was served, or of the best that was not."""
    considered: tuple[Nearest, ...] = ()
    """The candidates that were looked at, best first."""
    decision: RoutingDecision | None = None
    failures: tuple[str, ...] = ()
    """Parts that failed on the way; the request went on without them."""

    def as_dict(self) -> dict[str, JSON]:
        """Return the explanation in the form of `response_metadata["semroute"]`."""
        saved = self.saved
        return {
            "tier": self.tier,
            "hit_id": self.hit_id,
            "similarity": self.similarity,
            "p_reusable": self.p_reusable,
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
            "age_s": self.age_s,
            "model": self.model,
            "saved": None if saved is None else {"tokens": saved.tokens, "usd": saved.usd, "seconds": saved.seconds},
            "why": [str(verdict) for verdict in self.verdicts] or [self.reason],
            "decision": None if self.decision is None else self.decision.model_dump(),
        }

    def _repr_html_(self) -> str:
        from semroute.display import explanation_page

        return explanation_page(self)


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer out of the cache."""

    answer: Answer
    explanation: Explanation

    @property
    def tier(self) -> Tier:
        return self.explanation.tier

    @property
    def hit_id(self) -> str:
        """Name the entry that was served, for `SemanticCache.feedback`."""
        return str(self.explanation.hit_id)

    def _repr_html_(self) -> str:
        from semroute.display import result_page

        return result_page(self)


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing that may be served: ask the model, then `update`."""

    explanation: Explanation
    withheld: Hit | None = None
    """What would have been served, were it not for shadow mode or a canary's share."""
    learnt: Ahead | None = field(default=None, compare=False, repr=False)
    """What the lookup has found out on its way, such as the vector of the words, so that nobody need ask again."""

    @property
    def tier(self) -> Tier:
        return "miss"

    def _repr_html_(self) -> str:
        from semroute.display import result_page

        return result_page(self)


@dataclass(frozen=True, slots=True)
class Bypass:
    """A request that is neither read from the cache nor stored in it."""

    explanation: Explanation

    @property
    def tier(self) -> Tier:
        return "bypass"

    def _repr_html_(self) -> str:
        from semroute.display import result_page

        return result_page(self)


Lookup: TypeAlias = Hit | Miss | Bypass


@dataclass(frozen=True, slots=True)
class Stored:
    """An update that was kept: in both tiers, or in the exact one alone."""

    entry_id: str
    expires_at: float
    is_semantic: bool


@dataclass(frozen=True, slots=True)
class NotStored:
    """An update that was not kept, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Queued:
    """An update that is stored in the background."""


Update: TypeAlias = Stored | NotStored | Queued

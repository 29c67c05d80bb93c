"""Two stages: a quick verifier for every candidate, and a slow one where the quick one is not sure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from semroute.errors import ConfigError
from semroute.guards import Estimator, acheck
from semroute.result import Verdict

if TYPE_CHECKING:
    from semroute.entry import Candidate
    from semroute.guards import Guard


@dataclass(frozen=True, slots=True)
class GrayZone:
    """A guard of two stages: below `low` it refuses, from `high` on it accepts, in between the second stage decides.

    `low` and `high` are probabilities of the verifier's that the answer is reusable. What the verifier does not pass
    for a reason of its own (other numbers), or gives no probability, is refused unasked: no second stage may overrule
    a veto. What the second stage refuses, or cannot tell, is refused.
    What it accepts has the second stage's probability, or `high` where that gives none, since its yes lifts the
    candidate to the bar; so `high` is to be what the policy asks for at least. In the place of a cache's verifier it is
    an Estimator of its own: a policy that was tuned with the verifier alone does not fit it. Raises ConfigError unless
    0 <= low <= high <= 1.
    """

    verifier: Guard
    second: Guard
    low: float
    high: float
    name: str = "gray_zone"

    def __post_init__(self) -> None:
        # Written so that a bound that is not a number is refused.
        if not 0.0 <= self.low <= self.high <= 1.0:
            raise ConfigError(f"low={self.low!r} and high={self.high!r} must be probabilities, low at most high")

    @property
    def embedder(self) -> str | None:
        """Identity of the embedder that the verifier was fitted on; None for any."""
        return self.verifier.embedder if isinstance(self.verifier, Estimator) else None

    @property
    def digest(self) -> str:
        """Name the verifier's coefficients, the zone, and who decides in it."""
        first = self.verifier.digest if isinstance(self.verifier, Estimator) else self.verifier.name
        return f"{first} {self.low:g} {self.second.name} {self.high:g}"

    def check(self, query: str, candidate: Candidate) -> Verdict:
        """Ask the verifier, and the second stage where the verifier is not sure."""
        first = self.verifier.check(query, candidate)
        if not self._is_gray(first):
            return self._sure(first)
        return self._decided(first, self.second.check(query, candidate))

    async def acheck(self, query: str, candidate: Candidate) -> Verdict:
        """Do what `check` does, without ever blocking the event loop."""
        first = await acheck(self.verifier, query, candidate)
        if not self._is_gray(first):
            return self._sure(first)
        return self._decided(first, await acheck(self.second, query, candidate))

    def _is_gray(self, first: Verdict) -> bool:
        return first.passed and first.p_reusable is not None and self.low <= first.p_reusable < self.high

    def _sure(self, first: Verdict) -> Verdict:
        p = first.p_reusable
        if not first.passed or (p is not None and p >= self.high):
            return first
        return replace(first, passed=False, why="no probability" if p is None else f"P {p:.2f}, under {self.low:.2f}")

    def _decided(self, first: Verdict, second: Verdict) -> Verdict:
        if not second.passed:
            return replace(second, p_reusable=first.p_reusable)
        return replace(second, p_reusable=self.high if second.p_reusable is None else second.p_reusable)

"""The ledger of errors: every request brings an allowance, every hit costs the bound of its probability to be wrong.

The error rate counts wrong hits / all requests, so that requests with nothing to serve pay for those with something.
A per-request bound leaves that allowance unused; the ledger spends it where it buys most hits: on the candidates with
the lowest bounds of P(wrong) (the fractional knapsack's greedy solution), up to a price that is set so that all below
it costs what comes in. The price follows the candidates of recent requests and what is left over.

1. **If the bounds are none too low on average**, the wrong hits W up to request n are within max_error * n with the
   confidence asked for, for each n: the spending S, the sum of the bounds of all hits, is never let grow past S + x =
   max_error * n, and W exceeds S by x = l/3 + sqrt(l^2/9 + 2 l S) with a probability of at most exp(-l) = 1 -
   confidence (Freedman 1975, "On tail probabilities for martingales"; an outcome's variance is at most its P(wrong)).
   It asks neither for independence nor for an order of the stream, since every bound is told before its outcome.
2. **Whether they are is audited.** A share of the hits, drawn by chance alone, is not served, and its labels
   compared with their bounds. Each such label stands for (1 - share) / share hits, so that the sum of (wrong -
   bound) is an unbiased estimate of what S missed. What of it exceeds two standard deviations is charged as well.
   So whatever verifier and curves say, W <= max_error * n + O(sqrt(max_error * n / share)) with high probability: the
   excess over the promised rate vanishes with n, however wrong they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from semroute.errors import ConfigError

_STEPS: Final = 120
_LEAST: Final = 1e-4
_PER_STEP: Final = math.log(1.0 / _LEAST) / (_STEPS - 1)
_FADE: Final = 1.0 - 1.0 / 10_000
"""The candidates of the last 10,000 requests or so set the price."""
_RESCALE: Final = 5_000
_HORIZON: Final = 2_000
"""What is left over is spent in about this many requests."""
_DEVIATIONS: Final = 2.0


@dataclass(slots=True)
class Ledger:
    """What came in, what was spent, and at which price; all of it in wrong hits. A bound is one of P(wrong)."""

    max_error: float
    confidence: float
    audit_rate: float
    requests: int = 0
    spent: float = 0.0
    audited: float = 0.0
    """Sum of the bounds of all audits."""
    excess: float = 0.0
    """Sum of (wrong - bound) over all audits."""
    recent: float = 0.0
    """How many recent requests the costs below are of; older ones count for less."""
    costs: list[float] = field(default_factory=lambda: [0.0] * _STEPS)
    """Sums of the bounds of recent requests, by their height."""

    def __post_init__(self) -> None:
        for name in ("max_error", "confidence", "audit_rate"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ConfigError(f"{name} must be a share over 0 and under 1, not {value!r}")

    def arrive(self, bound: float | None) -> None:
        """Count a request, with the bound of its best candidate; None where it has none."""
        self.requests += 1
        self.recent = self.recent * _FADE + 1.0
        # Fading is put off: what is added weighs more instead, and all is scaled back from time to time.
        if self.requests % _RESCALE == 0:
            self.costs = [cost * _FADE**_RESCALE for cost in self.costs]
        if bound is not None:
            self.costs[_step(bound)] += bound * self._growth()

    def can_pay(self, bound: float) -> bool:
        """Say whether a hit is within the price and within what is left."""
        left = self._left()
        return bound <= left and bound <= self._price(left)

    def pay(self, bound: float) -> None:
        """Take down a hit."""
        self.spent += bound

    def audit(self, bound: float, *, is_right: bool) -> None:
        """Take down the label of an audit."""
        self.audited += bound
        self.excess += (0.0 if is_right else 1.0) - bound

    def missed(self) -> float:
        """Return how many wrong hits were surely not expected, by the audits."""
        surely = self.excess - _DEVIATIONS * math.sqrt(self.audited)
        return max(0.0, surely) * (1.0 - self.audit_rate) / self.audit_rate

    def _left(self) -> float:
        margin = overshoot(self.spent, self.confidence)
        return self.max_error * self.requests - self.missed() - self.spent - margin

    def _price(self, left: float) -> float:
        """Return the highest bound at which all that is cheaper costs no more than comes in and is left over."""
        budget = (self.max_error + left / _HORIZON) * self.recent * self._growth()
        total = 0.0
        for step, cost in enumerate(self.costs):
            total += cost
            if total > budget:
                return _height(step)
        return 1.0

    def _growth(self) -> float:
        return float(_FADE ** -(self.requests % _RESCALE))


def overshoot(spent: float, confidence: float) -> float:
    """Return by how much wrong hits exceed the sum of their probabilities at most, with this confidence."""
    doubt = -math.log(1.0 - confidence)
    return doubt / 3.0 + math.sqrt(doubt * doubt / 9.0 + 2.0 * doubt * spent)


def _step(bound: float) -> int:
    return int((_STEPS - 1) + math.log(max(bound, _LEAST)) / _PER_STEP)


def _height(step: int) -> float:
    """Return the lower edge of a step: below it everything can be paid."""
    return _LEAST * math.exp(step * _PER_STEP)

"""Drift: a watch over labelled outcomes that says when a policy's promise no longer holds, and tightens it if asked.

**Whether it holds** is tested by betting (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting", arXiv 2010.09686). A bettor with a capital of 1 bets before each request that it will be a wrong hit, at odds
that are fair when the error rate is `max_error`: the capital is multiplied by 1 + b (loss - max_error), where the loss
is 1 for a wrong hit, else 0, and b was fixed before. As long as the rate is within the bound, whatever happened
before, the capital is not expected to grow, and it ever reaches 1 / doubt with a probability of at most the doubt
(Ville's inequality): the alarm may be looked at after every request, for ever. The capital is spread over several
bets, for drifts of several sizes, and over several starts, one every `_BLOCK` requests, so that a drift after a long
calm is not drowned by what was lost to it.

**Tightening** has two reasons. A point of the tuned sequence against which the evidence has reached the alarm is out
for good. And the errors are a budget: of the promise's `requests`, max_error may be wrong, and what is left of that,
spread over the requests that are left, is the rate at which it may go on; points that had a higher rate when they
were tuned are not used until it allows them again. When the budget is used up only the highest score of all is
served. So where every hit is labelled before the next request, the wrong hits in each span of `requests` stay within
the budget whatever the drift, apart from those of the exact tier, which no threshold decides about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.errors import ConfigError
from semroute.policy import Cell, Policy, TunedStrategy

if TYPE_CHECKING:
    from semroute.tuning.scored import Floats

_BLOCK: Final = 500
_TIMES: Final = (1.25, 1.6, 2.5, 5.0)
"""Drifts that are bet on, as multiples of the promised rate."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: what the cache served for it, or would serve under a more lenient policy, and its label."""

    at: float
    """When, in seconds since the Unix epoch."""
    is_right: bool | None = None
    """The label; None where there is none. A request with nothing to serve needs none."""
    similarity: float | None = None
    """Of the candidate; None where there was none, which is a miss under every policy."""
    p_reusable: float | None = None
    passes_guards: bool = True
    strategy: TunedStrategy = "standard"
    is_sure: bool = True
    is_exact: bool = False
    """Whether the exact tier serves it, under every policy."""

    def is_served(self, cells: tuple[Cell, ...]) -> bool:
        """Say whether a policy with these cells serves it; in a cell without data nothing counts as served."""
        if self.is_exact:
            return True
        needs = next((cell for cell in cells if (cell.strategy, cell.is_sure) == (self.strategy, self.is_sure)), None)
        if needs is None or self.similarity is None or not self.similarity >= needs.threshold:
            return False
        if needs.min_p_reusable is not None and not (self.p_reusable or 0.0) >= needs.min_p_reusable:
            return False
        return self.passes_guards or not needs.requires_guards


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known after an outcome."""

    policy: Policy
    """The policy to go on with."""
    evidence: float
    """The capital of the bettor against the promise; over 1 / doubt the promise no longer holds."""
    broken_at: float | None
    """When the promise was found not to hold any more."""
    error_rate: float
    """Wrong hits / all requests since the watch began; where not all are labelled, an estimate."""
    requests: int

    @property
    def holds(self) -> bool:
        return self.broken_at is None


class DriftMonitor:
    """Watches the promise of a tuned policy over a stream of outcomes, in their order; it does no I/O.

    `label_rate` is the share of hits that get a label, drawn at random; without labels of all hits the budget is an
    estimate. With `tightens` the policy moves along its tuned sequence; without, it stays and only the alarm tells.
    Raises ConfigError for a policy without a promise.
    """

    def __init__(self, policy: Policy, *, tightens: bool = False, label_rate: float = 1.0) -> None:
        if policy.promise is None or not policy.cells:
            raise ConfigError(
                f"policy {policy.version} promises nothing that could be watched: tune one with `semroute tune`"
            )
        if not 0.0 < label_rate <= 1.0:
            raise ConfigError(f"label_rate must be a share over 0 and at most 1, not {label_rate!r}")
        self._promise = policy.promise
        self._tightens = tightens
        self._label_rate = label_rate
        self._policies = [policy]
        while self._policies[-1].stricter:
            self._policies.append(self._policies[-1].tightened())
        self._rates = [policy.promise.error_rate, *(point.error_rate for point in policy.stricter)]
        self._evidence = _Evidence(policy.promise.max_error, len(self._policies))
        self._convicted = np.zeros(len(self._policies), np.bool_)
        self._broken_at: float | None = None
        self._place = 0
        self._requests = self._in_span = 0
        self._wrong = self._wrong_in_span = 0.0

    @property
    def policy(self) -> Policy:
        """The policy to serve the next request with."""
        return self._policies[self._place]

    def observe(self, outcome: Outcome) -> Watch:
        """Take the next request in, and say how the promise stands."""
        is_known_wrong = outcome.is_right is False
        served = [is_known_wrong and outcome.is_served(policy.cells) for policy in self._policies]
        losses = np.array(served, np.float64) / self._label_rate
        self._evidence.bet(losses)
        self._convicted |= self._evidence.capital >= 1.0 / (1.0 - self._promise.confidence)
        if self._convicted[0] and self._broken_at is None:
            self._broken_at = outcome.at
        self._requests += 1
        self._wrong += float(losses[self._place])
        self._spend(float(losses[self._place]))
        if self._tightens:
            self._place = self._allowed_place()
        return Watch(
            policy=self.policy,
            evidence=float(self._evidence.capital[0]),
            broken_at=self._broken_at,
            error_rate=self._wrong / self._requests,
            requests=self._requests,
        )

    def _spend(self, loss: float) -> None:
        """Count a request of the present span; at its end a new one begins with a budget of its own."""
        self._in_span += 1
        self._wrong_in_span += loss
        if self._in_span >= self._promise.requests:
            self._in_span, self._wrong_in_span = 0, 0.0

    def _allowed_place(self) -> int:
        """Return the most lenient point that is neither convicted nor beyond what is left of the budget."""
        left = math.floor(self._promise.max_error * self._promise.requests + 1e-9) - self._wrong_in_span
        pace = left / (self._promise.requests - self._in_span)
        last = len(self._policies) - 1
        for place in range(last):
            if not self._convicted[place] and left >= 1.0 and self._rates[place] <= pace:
                return place
        return last


class _Evidence:
    """The bettor's capital against each point of the sequence."""

    def __init__(self, max_error: float, points: int) -> None:
        self._max_error = max_error
        rates = np.minimum(np.array(_TIMES) * max_error, (1.0 + max_error) / 2.0)
        # At this stake a bettor who is right about the rate gains fastest (Kelly): its capital is the likelihood ratio.
        self._stakes: Floats = ((rates / max_error - 1.0) / (1.0 - max_error))[:, None]
        self._capital: Floats = np.zeros((len(_TIMES), points))
        self._bets = 0

    @property
    def capital(self) -> Floats:
        """All capital against each point, with what is kept back for later starts."""
        return np.asarray(self._capital.mean(axis=0) + 1.0 / (self._blocks + 1))

    @property
    def _blocks(self) -> int:
        return -(-self._bets // _BLOCK)

    def bet(self, losses: Floats) -> None:
        """Take the losses of one request at each point in."""
        self._bets += 1
        if self._bets % _BLOCK == 1:  # the share 1 / (j (j + 1)) of the first capital goes to the j-th start
            self._capital += 1.0 / (self._blocks * (self._blocks + 1))
        self._capital *= 1.0 + self._stakes * (losses - self._max_error)

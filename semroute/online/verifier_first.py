"""Our online policy: it starts from the verifier, learns from every label of every entry, and keeps a ledger of errors.

Two layers turn the verifier's probability into a bound of P(wrong): the pooled curve, which recalibrates the verifier
and adds what the entry's own labels say (`pooled`), and bands, which correct the curve's shape and add what is not
known yet (`bands`). The ledger then serves the lowest bounds that the error budget pays for (`ledger`, with what is
promised and why).

**Assumptions**, plainly: a label is right; labels are seen on explored requests only, and every audit gets one (where
none can be had, report it as wrong); `uniform` is drawn by chance alone; and, for the first promise of the ledger, the
bounds are none too low on average over the hits. This one is not taken on trust: its failure is what audits charge
for. What nobody can promise is that a drift is seen before it has happened: after one, about 1 / audit_rate would-be
hits pass for each label that tells of it.

Entries that turned out to answer alike share one record (`Learned.own` is None), so that what was learnt about one
wording of a question serves all its wordings; a request whose label was wrong starts its own record with that label,
since a pair tells as much of its one half as of the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Final, Self

from semroute.errors import ConfigError, StoreError
from semroute.online.bands import Bands
from semroute.online.decisions import Decision, Explore, Learned, Serve
from semroute.online.ledger import Ledger
from semroute.online.logistic import sigmoid
from semroute.online.observations import Observation, Observations
from semroute.online.pooled import Pooled

if TYPE_CHECKING:
    from semroute.entry import JSON

VERSION: Final = 1
_WORTH_A_LABEL: Final = 0.05
"""A candidate less probable than this is not worth comparing answers: nothing like it will ever be served."""


@dataclass(slots=True)
class VerifierFirst:
    """Serves within `max_error` (wrong hits / all requests); the state is one per process, and not thread-safe."""

    ledger: Ledger
    bands: Bands
    pooled: Pooled = field(default_factory=Pooled)

    @classmethod
    def of(cls, max_error: float, *, confidence: float = 0.95, audit_rate: float = 0.05) -> Self:
        """Make a policy that has seen nothing yet. Raises ConfigError for shares that are not between 0 and 1."""
        return cls(Ledger(max_error, confidence, audit_rate), Bands.of(confidence))

    @classmethod
    def from_json(cls, stored: JSON) -> Self:
        """Read what `as_json` wrote. Raises StoreError for anything else."""
        if not isinstance(stored, Mapping) or stored.get("version") != VERSION:
            raise StoreError(f"no online policy of version {VERSION}: {str(stored)[:80]!r}; start a new one")
        terms = stored.get("ledger")
        if not isinstance(terms, Mapping):
            raise StoreError(f"the ledger of an online policy must be an object, not {str(terms)[:80]!r}")
        shares = [_number(terms.get(name), name) for name in ("max_error", "confidence", "audit_rate")]
        try:
            made = cls.of(shares[0], confidence=shares[1], audit_rate=shares[2])
        except ConfigError as error:
            raise StoreError(f"a stored online policy is damaged: {error}") from error
        for name, part in made._parts().items():
            _fill(part, stored.get(name), name)
        return made

    def as_json(self) -> dict[str, JSON]:
        """Return all that was learnt, and the ledger, as plain JSON with a version."""
        parts: dict[str, JSON] = {name: asdict(part) for name, part in self._parts().items()}
        return {"version": VERSION, **parts}

    def renewed(self, max_error: float, *, confidence: float = 0.95, audit_rate: float = 0.05) -> Self:
        """Return a policy with the same knowledge and a ledger of its own, for another bound. Raises ConfigError."""
        made, known = self.of(max_error, confidence=confidence, audit_rate=audit_rate), self.from_json(self.as_json())
        made.pooled = known.pooled
        made.bands.wrong, made.bands.expected = known.bands.wrong, known.bands.expected
        return made

    def probability(self, observations: Observations, similarity: float, p_prior: float | None) -> float:
        """Estimate P(right) by the pooled curve."""
        return sigmoid(self.pooled.log_odds(self.pooled.features(observations, similarity, p_prior)))

    def decide(self, observations: Observations, similarity: float, p_prior: float | None, uniform: float) -> Decision:
        """Serve what the ledger can pay, but for the share that is audited; explore everything else."""
        if not math.isfinite(similarity) or (p_prior is not None and not math.isfinite(p_prior)):
            self.skip()
            return Explore(1.0, 1.0, "similarity or probability is not a number", is_worth_a_label=False)
        log_odds = self.pooled.log_odds(self.pooled.features(observations, similarity, p_prior))
        bound = self.bands.p_wrong(log_odds)
        self.ledger.arrive(bound)
        if not self.ledger.can_pay(bound):
            worth = sigmoid(log_odds) >= _WORTH_A_LABEL
            return Explore(1.0, bound, f"P(wrong) up to {bound:.3f} costs too much", is_worth_a_label=worth)
        rate = self.ledger.audit_rate
        if uniform < rate:
            return Explore(rate, bound, f"an audit of P(wrong) up to {bound:.3f}", is_audit=True)
        self.ledger.pay(bound)
        return Serve(rate, bound, f"P(wrong) up to {bound:.3f} is within the error budget")

    def skip(self) -> None:
        """Count a request without a candidate: it brings its allowance."""
        self.ledger.arrive(None)

    def observe(
        self,
        observations: Observations,
        decision: Explore,
        similarity: float,
        p_prior: float | None,
        *,
        is_right: bool,
    ) -> Learned:
        """Learn from one label, for this entry and for all."""
        if decision.is_audit:
            self.ledger.audit(decision.p_wrong, is_right=is_right)
        features = self.pooled.features(observations, similarity, p_prior)
        self.bands.observe(self.pooled.log_odds(features), is_right=is_right)
        self.pooled.observe(features, is_right=is_right)
        seen = Observation(similarity, is_right, p_prior)
        own = None if is_right else Observations((seen,))
        return Learned(observations.with_one(seen), own)

    def _parts(self) -> dict[str, Ledger | Pooled | Bands]:
        return {"ledger": self.ledger, "pooled": self.pooled, "bands": self.bands}


def _fill(part: Ledger | Pooled | Bands, stored: JSON, name: str) -> None:
    """Put stored numbers in the place of fresh ones; what is stored must have their shape."""
    if not isinstance(stored, Mapping):
        raise StoreError(f"the {name} of an online policy must be an object, not {str(stored)[:80]!r}")
    for one in fields(part):
        setattr(part, one.name, _shaped(getattr(part, one.name), stored.get(one.name), f"{name}.{one.name}"))


def _shaped(fresh: object, stored: JSON, name: str) -> object:
    if not isinstance(fresh, list):
        number = _number(stored, name)
        return int(number) if isinstance(fresh, int) else number
    if not isinstance(stored, list) or len(stored) != len(fresh):
        raise StoreError(f"{name} of an online policy must be a list of {len(fresh)}, not {str(stored)[:80]!r}")
    return [_shaped(one, kept, name) for one, kept in zip(fresh, stored, strict=True)]


def _number(stored: JSON, name: str) -> float:
    if isinstance(stored, bool) or not isinstance(stored, int | float) or not math.isfinite(stored):
        raise StoreError(f"{name} of an online policy must be a finite number, not {str(stored)[:80]!r}")
    return float(stored)

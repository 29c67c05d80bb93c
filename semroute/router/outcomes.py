"""What became of the answers of each tier, and how far that moves the router's estimates: by small, bounded steps."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.entry import JSON

Outcome: TypeAlias = Literal["right", "wrong", "judged_good", "judged_bad", "answered", "fell_back", "overpriced"]
"""`right` and `wrong` are what people report of an answer, `judged_good` and `judged_bad` what a judge says of one;
`answered`, `fell_back` and `overpriced` say how a call went: well, not at all (its provider failed, and another model
had to be asked), or at a cost that a stronger tier seldom exceeds."""

DEFAULT_STEP: Final = 0.01
DEFAULT_LIMIT: Final = 0.15
DEFAULT_PRIOR: Final = 0.9

_OF_QUALITY: Final[Mapping[Outcome, float]] = {"right": 1.0, "wrong": 0.0, "judged_good": 1.0, "judged_bad": 0.0}
_OF_CALLS: Final[Mapping[Outcome, float]] = {"answered": 0.0, "fell_back": -1.0, "overpriced": -1.0}
_MOST_TIERS: Final = 100
_USUAL_SHARE: Final = 0.05
"""How much one call counts in what a tier usually costs."""


@dataclass(slots=True)
class _Estimate:
    """What is known of one tier."""

    quality: float = 0.0
    """How much more often its answers are right than was expected: between `-limit` and `limit`."""
    trouble: float = 0.0
    """`-limit` times the share of its calls that went badly: between `-limit` and 0."""
    usual_usd: float | None = None
    """What a call of it usually costs."""


class Outcomes:
    """Estimates for each tier how far outcomes depart from what the router expects; without one, nothing is learnt so.

    Give it to a router that estimates how likely each tier is good enough: `adjust` adds to each of its probabilities
    the offset of that tier. An offset is 0 at first. An answer that was right or wrong moves it towards how often the
    tier's answers are right beyond what was expected, a call that went well or badly towards how often its calls go
    badly; each outcome by at most `step`, and never further than `limit` from 0. What is expected is the router's own
    probability where whoever reports an outcome knows it, else `prior`: people report wrong answers sooner than right
    ones, so tell both. It may be shared by threads; each process has its own. Raises ConfigError for numbers that are
    out of range.
    """

    def __init__(
        self, *, step: float = DEFAULT_STEP, limit: float = DEFAULT_LIMIT, prior: float = DEFAULT_PRIOR
    ) -> None:
        for name, value in (("step", step), ("limit", limit), ("prior", prior)):
            if not _is_between(value, 0.0, 1.0):
                raise ConfigError(f"{name}={value!r} must be a number from 0 to 1")
        self._step = step
        self._limit = limit
        self._prior = prior
        self._lock = threading.Lock()
        self._estimates: dict[int, _Estimate] = {}
        self._counts: Counter[tuple[int, Outcome]] = Counter()

    def __repr__(self) -> str:
        offsets = ", ".join(f"tier {tier} {offset:+.3f}" for tier, offset in sorted(self.offsets().items()))
        return f"<Outcomes {offsets if offsets else 'nothing yet'}; step {self._step:g}, limit {self._limit:g}>"

    def note(self, tier: int, outcome: Outcome, *, expected: float | None = None) -> None:
        """Note what became of an answer or a call of a tier.

        `expected` is the probability, before any offset, with which the router took the tier to be good enough for
        this request. Raises ConfigError for what is no tier, no outcome or no probability.
        """
        given: object = tier
        if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= _MOST_TIERS:
            raise ConfigError(f"tier={tier!r} must be a whole number from 1 to {_MOST_TIERS}")
        if outcome not in get_args(Outcome):
            raise ConfigError(f"outcome={outcome!r} is none; known are {', '.join(get_args(Outcome))}")
        if expected is not None and not _is_between(expected, 0.0, 1.0):
            raise ConfigError(f"expected={expected!r} must be a probability from 0 to 1")
        with self._lock:
            self._note(tier, outcome, self._prior if expected is None else expected)

    def note_cost(self, tier: int, usd: float) -> Outcome:
        """Note what a call of a tier cost, in US dollars, and return the outcome that this comes to.

        A weak model that thinks long, or asks again and again, may cost what a stronger one does, and then nothing
        speaks for it: a call is `overpriced` where it cost at least what calls of the next stronger tier that is known
        usually cost, else `answered`. Raises ConfigError for what is no amount.
        """
        if not _is_between(usd, 0.0, sys.float_info.max):
            raise ConfigError(f"usd={usd!r} must be a number of US dollars, 0 or more")
        with self._lock:
            stronger = self._usual_usd_above(tier)
        outcome: Outcome = "answered" if stronger is None or usd < stronger else "overpriced"
        self.note(tier, outcome)
        with self._lock:
            estimate = self._of(tier)
            usual = usd if estimate.usual_usd is None else estimate.usual_usd
            estimate.usual_usd = usual + _USUAL_SHARE * (usd - usual)
        return outcome

    def adjust(self, p_by_tier: Mapping[int, float]) -> dict[int, float]:
        """Return the probabilities that tiers are good enough, each with its tier's offset, within [0, 1].

        What is not a number becomes 0.
        """
        with self._lock:
            return {tier: _within(p + self._offset(tier), 0.0, 1.0) for tier, p in p_by_tier.items()}

    def offsets(self) -> dict[int, float]:
        """Return how far each tier's probability is moved now; tiers without any outcome are left out."""
        with self._lock:
            return {tier: self._offset(tier) for tier in self._estimates}

    def as_dict(self) -> dict[str, JSON]:
        """Return everything that is known, as plain JSON."""
        with self._lock:
            tiers: dict[str, JSON] = {str(tier): self._told(tier) for tier in sorted(self._estimates)}
        return {"step": self._step, "limit": self._limit, "prior": self._prior, "tiers": tiers}

    def reset(self) -> None:
        """Forget everything: the router's own probabilities hold again."""
        with self._lock:
            self._estimates.clear()
            self._counts.clear()

    def _note(self, tier: int, outcome: Outcome, expected: float) -> None:
        self._counts[tier, outcome] += 1
        estimate = self._of(tier)
        if outcome in _OF_QUALITY:
            surplus = _OF_QUALITY[outcome] - expected
            estimate.quality = self._moved(estimate.quality, surplus, self._limit)
        else:
            estimate.trouble = self._moved(estimate.trouble, self._limit * _OF_CALLS[outcome], 0.0)

    def _moved(self, estimate: float, towards: float, most: float) -> float:
        """Move an estimate a step of the way to what was seen, which is never further than 1 away."""
        return _within(estimate + self._step * _within(towards - estimate, -1.0, 1.0), -self._limit, most)

    def _of(self, tier: int) -> _Estimate:
        return self._estimates.setdefault(tier, _Estimate())

    def _offset(self, tier: int) -> float:
        estimate = self._estimates.get(tier)
        return 0.0 if estimate is None else _within(estimate.quality + estimate.trouble, -self._limit, self._limit)

    def _usual_usd_above(self, tier: int) -> float | None:
        known = [
            (each, estimate.usual_usd)
            for each, estimate in self._estimates.items()
            if each > tier and estimate.usual_usd is not None
        ]
        return min(known)[1] if known else None

    def _told(self, tier: int) -> JSON:
        estimate = self._estimates[tier]
        return {
            "offset": self._offset(tier),
            "quality": estimate.quality,
            "trouble": estimate.trouble,
            "usual_usd": estimate.usual_usd,
            "outcomes": {outcome: n for outcome in get_args(Outcome) if (n := self._counts[tier, outcome])},
        }


def _is_between(value: object, least: float, most: float) -> bool:
    """Say whether something is a number within bounds; what is not a number in itself (NaN) is within none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _within(value: float, least: float, most: float) -> float:
    """Return the nearest number within bounds; what is not a number counts as the least."""
    # Written so that a value that is not a number fails the first comparison.
    return most if value > most else value if value >= least else least

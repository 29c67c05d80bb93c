"""The gate: a routing decision turned into the similarity that a semantic hit needs, or into a bypass.

Low confidence only ever makes it stricter, and a bypass always wins.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.router.decision import RoutingDecision


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers of the gate; all are fractions in [0, 1], the thresholds on the scale of similarity.

    `version` names where the numbers come from; "default" is the built-in policy. Raises ConfigError for numbers
    that are out of range or contradict one another.
    """

    version: str = "default"
    threshold: float = 0.88
    """Needed where the lexical guards stand behind the gate and no learned verifier; evals/README.md says why."""
    verified_threshold: float = 0.85
    """Needed where a learned verifier looks at every candidate."""
    strict_threshold: float = 0.95
    """Needed when the router is unsure or has failed."""
    aggressive_step: float = 0.03
    """How much the strategy `aggressive` lowers a threshold."""
    floor: float = 0.80
    """No threshold is lowered below it."""
    min_confidence: float = 0.80
    """A decision with less confidence is treated as unsure."""

    @classmethod
    def fixed(cls, threshold: float) -> Self:
        """Return the policy of one threshold; where the router is unsure it stays at least as strict as the default."""
        default = cls()
        return cls(
            version=f"threshold {threshold:g}",
            threshold=threshold,
            verified_threshold=threshold,
            strict_threshold=max(threshold, default.strict_threshold),
            floor=min(threshold, default.floor),
        )

    def __post_init__(self) -> None:
        if not self.version.strip():
            raise ConfigError("version must name the policy, not be empty")
        for field in fields(self):
            if field.name != "version":
                _check_fraction(field.name, getattr(self, field.name))
        for name in ("threshold", "verified_threshold"):
            value: float = getattr(self, name)
            if not self.floor <= value <= self.strict_threshold:
                raise ConfigError(
                    f"{name} must lie between floor ({self.floor:g}) and strict_threshold "
                    f"({self.strict_threshold:g}), not {value!r}"
                )


@dataclass(frozen=True, slots=True)
class Gate:
    """What a semantic hit needs: a least similarity, or None for a request that is neither read nor stored."""

    threshold: float | None
    threshold_from: str
    """Which rule set the threshold, for a person."""

    @property
    def is_bypass(self) -> bool:
        return self.threshold is None


def open_gate(decision: RoutingDecision | None, policy: Policy, *, has_verifier: bool) -> Gate:
    """Turn a decision into a gate; None stands for a router that failed."""
    if decision is None:
        return Gate(policy.strict_threshold, "router failed")
    bypass = _reason_to_bypass(decision)
    if bypass is not None:
        return Gate(None, bypass)
    # Written so that a confidence that is not a number counts as none.
    if not decision.confidence >= policy.min_confidence:
        return Gate(policy.strict_threshold, "low confidence")
    threshold = policy.verified_threshold if has_verifier else policy.threshold
    origin = "default" if policy.version == "default" else f"policy {policy.version}"
    if decision.cache_strategy == "aggressive" and decision.intent != "analysis":
        return Gate(max(policy.floor, round(threshold - policy.aggressive_step, 6)), "strategy aggressive")
    return Gate(threshold, origin)


def _reason_to_bypass(decision: RoutingDecision) -> str | None:
    if decision.cache_strategy == "bypass":
        return "strategy bypass"
    if decision.intent == "error":
        return "intent error"
    if decision.staleness == "realtime":
        return "staleness realtime"
    return None


def _check_fraction(name: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # A comparison with NaN is false, so NaN is refused too.
    if not (is_number and 0.0 <= value <= 1.0):  # type: ignore[operator]  # narrowed by is_number
        raise ConfigError(f"{name} must be a number in [0, 1], not {value!r}")

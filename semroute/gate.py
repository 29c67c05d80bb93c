"""The gate: a routing decision turned into what a semantic hit needs, or into a bypass.

Low confidence only ever makes it stricter, and a bypass always wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from semroute.policy import Policy as Policy  # the gate's numbers: the two are asked for together
from semroute.result import Verdict, least_p

if TYPE_CHECKING:
    from semroute.entry import Candidate
    from semroute.policy import Cell, TunedStrategy
    from semroute.router.decision import RoutingDecision


@dataclass(frozen=True, slots=True)
class Gate:
    """What a semantic hit needs: a least similarity, or None for a request that is neither read nor stored."""

    threshold: float | None
    threshold_from: str
    """Which rule set the threshold, for a person."""
    min_p_reusable: float | None = None
    """The least P(reusable) of the learned verifier; None where there is none."""
    requires_guards: bool = True
    """Whether the lexical guards must pass."""

    @property
    def is_bypass(self) -> bool:
        return self.threshold is None

    def reaches(self, similarity: float) -> bool:
        """Say whether a candidate is near enough; written so that a similarity that is not a number is under it."""
        return self.threshold is not None and similarity >= self.threshold

    def lets_through(self, candidate: Candidate, verdicts: tuple[Verdict, ...]) -> bool:
        """Say whether a candidate, of which the guards said this, may be served."""
        return self.reaches(candidate.similarity) and all(verdict.passed for verdict in self.held(verdicts))

    def held(self, verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
        """Hold what the guards said against the least probability: too low a one, or none, becomes a refusal."""
        if self.min_p_reusable is None or not all(verdict.passed for verdict in verdicts):
            return verdicts
        if least_p(verdicts) is None:
            return (*verdicts, Verdict("verifier", passed=False, why="unverifiable: no probability was estimated"))
        return tuple([_held(verdict, self.min_p_reusable) for verdict in verdicts])


def _held(verdict: Verdict, least: float) -> Verdict:
    # Written so that a probability that is not a number is under every other.
    if verdict.p_reusable is None or verdict.p_reusable >= least:
        return verdict
    why = f"P(reusable) {verdict.p_reusable:.2f}, under {least:.2f}"
    return replace(verdict, passed=False, why=f"{verdict.why}; {why}" if verdict.why else why)


def open_gate(decision: RoutingDecision | None, policy: Policy, *, has_verifier: bool) -> Gate:
    """Turn a decision into a gate; None stands for a router that failed."""
    strict = Gate(policy.strict_threshold, "router failed", policy.strict_p_reusable if has_verifier else None)
    if decision is None:
        return strict
    bypass = _reason_to_bypass(decision)
    if bypass is not None:
        return Gate(None, bypass)
    strategy: TunedStrategy = "standard"
    if decision.cache_strategy == "aggressive" and decision.intent != "analysis":
        strategy = "aggressive"
    if policy.cells:
        sure = _tuned(policy.cell(strategy, is_sure=True), policy, strict, has_verifier)
    else:
        sure = _default(strategy, policy, has_verifier)
    # Written so that a confidence that is not a number counts as none.
    if decision.confidence >= policy.min_confidence:
        return sure
    unsure = _tuned(policy.cell(strategy, is_sure=False), policy, strict, has_verifier)
    return _stricter(sure, unsure, "low confidence")


def _default(strategy: TunedStrategy, policy: Policy, has_verifier: bool) -> Gate:
    """Return what the policy's plain numbers ask for."""
    threshold = policy.verified_threshold if has_verifier else policy.threshold
    origin = "default" if policy.version == "default" else f"policy {policy.version}"
    if strategy == "aggressive":
        threshold, origin = max(policy.floor, round(threshold - policy.aggressive_step, 6)), "strategy aggressive"
    p_reusable = policy.min_p_reusable if has_verifier else None
    return Gate(threshold, origin, p_reusable, not has_verifier or policy.verified_requires_guards)


def _tuned(cell: Cell | None, policy: Policy, strict: Gate, has_verifier: bool) -> Gate:
    """Return what a tuned cell asks for; a cell without data, or without the verifier it relies on, stays strict."""
    if cell is None:
        return Gate(strict.threshold, f"policy {policy.version} has no data for this", strict.min_p_reusable)
    if cell.min_p_reusable is not None and not has_verifier:
        return Gate(strict.threshold, f"policy {policy.version} needs its verifier", None)
    p_reusable = cell.min_p_reusable
    if has_verifier and p_reusable is None:
        p_reusable = policy.min_p_reusable
    return Gate(cell.threshold, f"policy {policy.version}", p_reusable, cell.requires_guards)


def _stricter(one: Gate, other: Gate, origin: str) -> Gate:
    """Return the gate that lets through only what both let through."""
    thresholds = [gate.threshold for gate in (one, other) if gate.threshold is not None]
    least = [gate.min_p_reusable for gate in (one, other) if gate.min_p_reusable is not None]
    return Gate(
        max(thresholds),
        origin,
        max(least, default=None),
        one.requires_guards or other.requires_guards,
    )


def _reason_to_bypass(decision: RoutingDecision) -> str | None:
    if decision.cache_strategy == "bypass":
        return "strategy bypass"
    if decision.intent == "error":
        return "intent error"
    if decision.staleness == "realtime":
        return "staleness realtime"
    return None

"""The gate: which similarity a decision asks for."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.gate import Gate, Policy, open_gate
from semroute.router.decision import CacheStrategy, Complexity, Intent, RoutingDecision, Staleness

POLICY = Policy()


def decisions(**fixed: st.SearchStrategy[object]) -> st.SearchStrategy[RoutingDecision]:
    fields: dict[str, st.SearchStrategy[object]] = {
        "intent": st.sampled_from(get_args(Intent)),
        "complexity": st.sampled_from(get_args(Complexity)),
        "cache_strategy": st.sampled_from(get_args(CacheStrategy)),
        "staleness": st.sampled_from(get_args(Staleness)),
        "confidence": st.floats(0.0, 1.0),
    }
    return st.builds(RoutingDecision, **{**fields, **fixed})


def test_a_confident_decision_needs_less_behind_a_verifier() -> None:
    assert open_gate(RoutingDecision(), POLICY, has_verifier=True) == Gate(0.85, "default")
    assert open_gate(RoutingDecision(), POLICY, has_verifier=False) == Gate(0.88, "default")


@pytest.mark.parametrize("confidence", [0.79, 0.0, math.nan])
def test_low_confidence_makes_the_gate_strict(confidence: float) -> None:
    decision = RoutingDecision(confidence=confidence, cache_strategy="aggressive")

    assert open_gate(decision, POLICY, has_verifier=True) == Gate(0.95, "low confidence")


def test_confidence_at_the_bound_is_enough() -> None:
    assert open_gate(RoutingDecision(confidence=0.8), POLICY, has_verifier=True).threshold == 0.85


def test_a_failed_router_makes_the_gate_strict() -> None:
    assert open_gate(None, POLICY, has_verifier=True) == Gate(0.95, "router failed")


def test_the_aggressive_strategy_lowers_the_threshold_by_a_step() -> None:
    decision = RoutingDecision(cache_strategy="aggressive")

    assert open_gate(decision, POLICY, has_verifier=True) == Gate(0.82, "strategy aggressive")
    assert open_gate(decision, POLICY, has_verifier=False) == Gate(0.85, "strategy aggressive")


def test_the_aggressive_strategy_never_goes_under_the_floor() -> None:
    policy = Policy(version="7", verified_threshold=0.81)

    assert open_gate(RoutingDecision(cache_strategy="aggressive"), policy, has_verifier=True).threshold == 0.80


def test_analysis_is_never_aggressive() -> None:
    decision = RoutingDecision(intent="analysis", cache_strategy="aggressive")

    assert open_gate(decision, POLICY, has_verifier=True) == Gate(0.85, "default")


def test_a_tuned_policy_is_named() -> None:
    policy = Policy(version="support-desk-3", threshold=0.88)

    assert open_gate(RoutingDecision(), policy, has_verifier=False) == Gate(0.88, "policy support-desk-3")


@pytest.mark.parametrize(
    ("decision", "origin"),
    [
        (RoutingDecision(cache_strategy="bypass"), "strategy bypass"),
        (RoutingDecision(intent="error"), "intent error"),
        (RoutingDecision(staleness="realtime"), "staleness realtime"),
    ],
)
def test_what_must_not_be_cached_has_no_threshold(decision: RoutingDecision, origin: str) -> None:
    gate = open_gate(decision, POLICY, has_verifier=True)

    assert gate.is_bypass
    assert gate.threshold_from == origin


@given(decisions(), st.floats(0.0, 1.0), st.booleans())
def test_the_threshold_never_falls_when_confidence_falls(
    decision: RoutingDecision, other: float, has_verifier: bool
) -> None:
    surer, less_sure = (
        open_gate(
            RoutingDecision(
                intent=decision.intent,
                cache_strategy=decision.cache_strategy,
                staleness=decision.staleness,
                confidence=confidence,
            ),
            POLICY,
            has_verifier=has_verifier,
        )
        for confidence in sorted((decision.confidence, other), reverse=True)
    )
    if surer.threshold is None or less_sure.threshold is None:
        assert surer.threshold is less_sure.threshold
    else:
        assert surer.threshold <= less_sure.threshold


@given(decisions(cache_strategy=st.just("bypass")), st.booleans())
def test_a_bypass_always_wins(decision: RoutingDecision, has_verifier: bool) -> None:
    assert open_gate(decision, POLICY, has_verifier=has_verifier).is_bypass


@given(decisions(), st.booleans())
def test_every_threshold_lies_between_the_floor_and_one(decision: RoutingDecision, has_verifier: bool) -> None:
    gate = open_gate(decision, POLICY, has_verifier=has_verifier)

    assert gate.threshold is None or POLICY.floor <= gate.threshold <= 1.0


@pytest.mark.parametrize(
    "field", ["threshold", "verified_threshold", "strict_threshold", "aggressive_step", "floor", "min_confidence"]
)
@pytest.mark.parametrize("value", [-0.1, 1.5, 85, math.nan, "0.9", True, None])
def test_a_number_out_of_range_is_refused_with_field_value_and_range(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} must be a number in \[0, 1\], not {value!r}$"):
        Policy(**{field: value})  # type: ignore[arg-type]  # wrong on purpose


def test_thresholds_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^threshold must lie between floor \(0\.8\) and strict_threshold"):
        Policy(threshold=0.97)
    with pytest.raises(ConfigError, match=r"^verified_threshold must lie between"):
        Policy(verified_threshold=0.5)


def test_a_policy_without_a_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="version"):
        Policy(version=" ")

"""The gate: which similarity a decision asks for."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.gate import Gate, Policy, open_gate
from semroute.policy import Cell, Point
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
    assert open_gate(RoutingDecision(), POLICY, has_verifier=True) == Gate(0.75, "default", 0.83, requires_guards=False)
    assert open_gate(RoutingDecision(), POLICY, has_verifier=False) == Gate(0.88, "default")


@pytest.mark.parametrize("confidence", [0.79, 0.0, math.nan])
def test_low_confidence_makes_the_gate_strict(confidence: float) -> None:
    decision = RoutingDecision(cache_strategy="aggressive").model_copy(update={"confidence": confidence})

    assert open_gate(decision, POLICY, has_verifier=True) == Gate(0.95, "low confidence", 0.95)


def test_confidence_at_the_bound_is_enough() -> None:
    assert open_gate(RoutingDecision(confidence=0.8), POLICY, has_verifier=True).threshold == 0.75


def test_a_failed_router_makes_the_gate_strict() -> None:
    assert open_gate(None, POLICY, has_verifier=True) == Gate(0.95, "router failed", 0.95)


def test_the_aggressive_strategy_lowers_the_threshold_by_a_step() -> None:
    decision = RoutingDecision(cache_strategy="aggressive")

    assert open_gate(decision, POLICY, has_verifier=True) == Gate(
        0.72, "strategy aggressive", 0.83, requires_guards=False
    )
    assert open_gate(decision, POLICY, has_verifier=False) == Gate(0.85, "strategy aggressive")


def test_the_aggressive_strategy_never_goes_under_the_floor() -> None:
    policy = Policy(version="7", verified_threshold=0.73)

    assert open_gate(RoutingDecision(cache_strategy="aggressive"), policy, has_verifier=True).threshold == 0.72


def test_analysis_is_never_aggressive() -> None:
    decision = RoutingDecision(intent="analysis", cache_strategy="aggressive")

    assert open_gate(decision, POLICY, has_verifier=True) == Gate(0.75, "default", 0.83, requires_guards=False)


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


FRACTIONS = st.floats(0.0, 1.0)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies of any numbers, tuned or not, whatever their cells say of one another."""
    floor, low, high, strict = sorted(draw(st.tuples(FRACTIONS, FRACTIONS, FRACTIONS, FRACTIONS)))
    least, strict_least = sorted(draw(st.tuples(FRACTIONS, FRACTIONS)))
    chances = st.none() | FRACTIONS
    cells = draw(
        st.lists(
            st.builds(
                Cell, st.sampled_from(["standard", "aggressive"]), st.booleans(), FRACTIONS, chances, st.booleans()
            ),
            max_size=4,
            unique_by=lambda cell: (cell.strategy, cell.is_sure),
        )
    )
    return Policy(
        version="any",
        threshold=high,
        verified_threshold=low,
        strict_threshold=strict,
        min_p_reusable=least,
        strict_p_reusable=strict_least,
        verified_requires_guards=draw(st.booleans()),
        aggressive_step=draw(FRACTIONS),
        floor=floor,
        min_confidence=draw(FRACTIONS),
        cells=tuple(cells),
    )


@given(decisions(), FRACTIONS, policies(), st.booleans())
def test_nothing_is_easier_to_serve_when_confidence_falls(
    decision: RoutingDecision, other: float, policy: Policy, has_verifier: bool
) -> None:
    confidences = sorted((decision.confidence, other), reverse=True)
    surer, less_sure = (
        open_gate(decision.model_copy(update={"confidence": confidence}), policy, has_verifier=has_verifier)
        for confidence in confidences
    )
    if surer.threshold is None or less_sure.threshold is None:
        assert surer.threshold is less_sure.threshold
        return
    assert surer.threshold <= less_sure.threshold
    assert surer.requires_guards <= less_sure.requires_guards
    assert (surer.min_p_reusable is None) == (less_sure.min_p_reusable is None)
    if surer.min_p_reusable is not None and less_sure.min_p_reusable is not None:
        assert surer.min_p_reusable <= less_sure.min_p_reusable


@given(decisions(), policies())
def test_without_a_verifier_no_probability_is_asked_for_and_with_one_it_always_is(
    decision: RoutingDecision, policy: Policy
) -> None:
    assert open_gate(decision, policy, has_verifier=False).min_p_reusable is None
    with_one = open_gate(decision, policy, has_verifier=True)
    assert with_one.is_bypass or with_one.min_p_reusable is not None


TUNED = Policy(
    version="desk-1",
    cells=(
        Cell("standard", True, 0.7, 0.9, requires_guards=False),
        Cell("standard", False, 0.6, 0.97),
        Cell("aggressive", False, 0.5, 0.5),
    ),
)


def test_a_tuned_cell_says_what_is_needed() -> None:
    gate = open_gate(RoutingDecision(), TUNED, has_verifier=True)
    assert gate == Gate(0.7, "policy desk-1", 0.9, requires_guards=False)


def test_where_the_router_is_unsure_the_stricter_of_both_cells_holds() -> None:
    gate = open_gate(RoutingDecision(confidence=0.1), TUNED, has_verifier=True)
    assert gate == Gate(0.7, "low confidence", 0.97, requires_guards=True)


@pytest.mark.parametrize("confidence", [1.0, 0.1])
def test_a_cell_without_data_stays_strict(confidence: float) -> None:
    decision = RoutingDecision(cache_strategy="aggressive", confidence=confidence)
    gate = open_gate(decision, TUNED, has_verifier=True)
    assert (gate.threshold, gate.min_p_reusable, gate.requires_guards) == (0.95, 0.95, True)


def test_a_policy_that_relies_on_a_verifier_stays_strict_without_one() -> None:
    gate = open_gate(RoutingDecision(), TUNED, has_verifier=False)
    assert gate == Gate(0.95, "policy desk-1 needs its verifier", None, requires_guards=True)


def test_a_policy_tuned_without_a_verifier_asks_one_that_is_there_for_the_default_probability() -> None:
    policy = Policy(version="plain", cells=(Cell("standard", True, 0.83),))
    assert open_gate(RoutingDecision(), policy, has_verifier=True) == Gate(0.83, "policy plain", 0.83)


def test_tightening_walks_along_the_tuned_sequence_and_stays_at_its_end() -> None:
    points = tuple(Point((Cell("standard", True, threshold),), 0.1, 0.001) for threshold in (0.9, 0.95))
    policy = Policy(version="desk-1", cells=(Cell("standard", True, 0.85),), stricter=points)
    once, twice = policy.tightened(), policy.tightened().tightened()
    assert [one.cells[0].threshold for one in (policy, once, twice, twice.tightened())] == [0.85, 0.9, 0.95, 0.95]
    assert [once.version, twice.version] == ["desk-1 tightened 1", "desk-1 tightened 2"]


@given(decisions(cache_strategy=st.just("bypass")), st.booleans())
def test_a_bypass_always_wins(decision: RoutingDecision, has_verifier: bool) -> None:
    assert open_gate(decision, POLICY, has_verifier=has_verifier).is_bypass


@given(decisions(), st.booleans())
def test_every_threshold_lies_between_the_floor_and_one(decision: RoutingDecision, has_verifier: bool) -> None:
    gate = open_gate(decision, POLICY, has_verifier=has_verifier)

    assert gate.threshold is None or POLICY.floor <= gate.threshold <= 1.0


@pytest.mark.parametrize(
    "field",
    [
        *("threshold", "verified_threshold", "strict_threshold", "aggressive_step", "floor", "min_confidence"),
        *("min_p_reusable", "strict_p_reusable"),
    ],
)
@pytest.mark.parametrize("value", [-0.1, 1.5, 85, math.nan, "0.9", True, None])
def test_a_number_out_of_range_is_refused_with_field_value_and_range(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} must be a number in \[0, 1\], not {value!r}$"):
        Policy(**{field: value})  # type: ignore[arg-type]  # wrong on purpose


def test_thresholds_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^threshold must lie between floor \(0\.72\) and strict_threshold"):
        Policy(threshold=0.97)
    with pytest.raises(ConfigError, match=r"^verified_threshold must lie between"):
        Policy(verified_threshold=0.5)


def test_a_policy_without_a_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="version"):
        Policy(version=" ")


def test_probabilities_and_cells_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^min_p_reusable \(0\.995\) must not be over strict_p_reusable \(0\.95\)$"):
        Policy(min_p_reusable=0.995)
    with pytest.raises(ConfigError, match="twice"):
        Policy(cells=(Cell("standard", True, 0.9), Cell("standard", True, 0.8)))
    with pytest.raises(ConfigError, match="strategy of a cell must be one of aggressive, standard, not 'bypass'"):
        Cell("bypass", True, 0.9)  # type: ignore[arg-type]  # wrong on purpose


def test_a_notebook_shows_thresholds_and_promise() -> None:
    assert "0.7" in TUNED._repr_html_()
    assert "desk-1" in TUNED._repr_html_()
    assert "0.88" in POLICY._repr_html_()

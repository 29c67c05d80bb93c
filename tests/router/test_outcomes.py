"""Outcomes: bounded in every step and in the sum, inspectable, and gone in one call."""

from __future__ import annotations

import json
import threading
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.router.outcomes import Outcome, Outcomes

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
TIERS = st.integers(1, 4)
PROBABILITIES = st.floats(0.0, 1.0)
NOTES = st.lists(st.tuples(TIERS, st.sampled_from(OUTCOMES), st.none() | PROBABILITIES), max_size=120)


def offset(outcomes: Outcomes, tier: int = 1) -> float:
    return outcomes.offsets().get(tier, 0.0)


class TestBounds:
    @given(notes=NOTES, step=PROBABILITIES, limit=PROBABILITIES, prior=PROBABILITIES)
    def test_each_outcome_moves_one_tier_by_at_most_a_step_and_none_beyond_the_limit(
        self, notes: list[tuple[int, Outcome, float | None]], step: float, limit: float, prior: float
    ) -> None:
        outcomes = Outcomes(step=step, limit=limit, prior=prior)
        for tier, outcome, expected in notes:
            before = outcomes.offsets()
            outcomes.note(tier, outcome, expected=expected)
            after = outcomes.offsets()
            assert abs(after[tier] - before.get(tier, 0.0)) <= step + 1e-12
            assert abs(after[tier]) <= limit
            assert {each: moved for each, moved in after.items() if each != tier} == {
                each: moved for each, moved in before.items() if each != tier
            }

    @given(notes=NOTES, ps=st.dictionaries(TIERS, st.floats(-1.0, 2.0) | st.just(float("nan"))))
    def test_what_is_adjusted_stays_a_probability_of_the_same_tiers_near_what_it_was(
        self, notes: list[tuple[int, Outcome, float | None]], ps: dict[int, float]
    ) -> None:
        outcomes = Outcomes(step=0.2, limit=0.1)
        for tier, outcome, expected in notes:
            outcomes.note(tier, outcome, expected=expected)
        adjusted = outcomes.adjust(ps)
        assert adjusted.keys() == ps.keys()
        assert all(0.0 <= p <= 1.0 for p in adjusted.values())
        assert all(abs(adjusted[tier] - p) <= 0.1 + 1e-12 for tier, p in ps.items() if 0.0 <= p <= 1.0)

    @given(costs=st.lists(st.tuples(TIERS, st.floats(0.0, 1e6)), max_size=60))
    def test_costs_are_as_bounded_as_all_else(self, costs: list[tuple[int, float]]) -> None:
        outcomes = Outcomes(step=0.05, limit=0.1)
        for tier, usd in costs:
            before = offset(outcomes, tier)
            outcomes.note_cost(tier, usd)
            assert abs(offset(outcomes, tier) - before) <= 0.05
            assert -0.1 <= offset(outcomes, tier) <= 0.0

    @given(notes=NOTES, ps=st.dictionaries(TIERS, PROBABILITIES))
    def test_nothing_is_left_after_a_reset(
        self, notes: list[tuple[int, Outcome, float | None]], ps: dict[int, float]
    ) -> None:
        outcomes = Outcomes()
        for tier, outcome, expected in notes:
            outcomes.note(tier, outcome, expected=expected)
        outcomes.reset()
        assert outcomes.adjust(ps) == ps
        assert outcomes.as_dict() == Outcomes().as_dict()


class TestDirection:
    def test_without_outcomes_the_probabilities_are_the_routers_own(self) -> None:
        assert Outcomes().adjust({1: 0.25, 2: 0.75}) == {1: 0.25, 2: 0.75}

    @pytest.mark.parametrize(("good", "bad"), [("right", "wrong"), ("judged_good", "judged_bad")])
    def test_right_answers_raise_a_tier_and_wrong_ones_lower_it(self, good: Outcome, bad: Outcome) -> None:
        outcomes = Outcomes()
        outcomes.note(1, good)
        outcomes.note(2, bad)
        assert offset(outcomes, 1) > 0.0 > offset(outcomes, 2)

    def test_a_tier_that_is_right_as_often_as_expected_settles_where_it_was(self) -> None:
        outcomes = Outcomes(step=0.02, prior=0.5)
        for _ in range(2_000):
            outcomes.note(1, "right")
            outcomes.note(1, "wrong")
        assert offset(outcomes) == pytest.approx(0.0, abs=0.02)

    def test_a_tier_that_is_right_less_often_than_expected_settles_at_the_difference(self) -> None:
        outcomes = Outcomes(step=0.01, limit=0.3)
        for _ in range(500):
            for outcome in ("right", "right", "right", "wrong"):
                outcomes.note(1, outcome, expected=0.9)  # type: ignore[arg-type]  # the words are outcomes
        assert offset(outcomes) == pytest.approx(-0.15, abs=0.02)

    def test_calls_that_fail_lower_a_tier_and_calls_that_go_well_bring_it_back_but_never_above(self) -> None:
        outcomes = Outcomes(step=0.1)
        for _ in range(5):
            outcomes.note(1, "fell_back")
        low = offset(outcomes)
        for _ in range(500):
            outcomes.note(1, "answered")
        assert low < -0.05
        assert offset(outcomes) == pytest.approx(0.0, abs=1e-6)
        assert offset(outcomes) <= 0.0

    def test_a_weak_tier_that_costs_what_a_strong_one_does_is_overpriced(self) -> None:
        outcomes = Outcomes()
        assert outcomes.note_cost(1, 0.010) == "answered"
        assert outcomes.note_cost(3, 0.050) == "answered"
        assert outcomes.note_cost(2, 0.020) == "answered"
        assert outcomes.note_cost(1, 0.015) == "answered"
        assert outcomes.note_cost(1, 0.020) == "overpriced"
        assert outcomes.note_cost(3, 9.000) == "answered"
        assert offset(outcomes, 1) < 0.0 == offset(outcomes, 3)

    def test_one_dear_call_of_the_strong_tier_hardly_moves_what_it_usually_costs(self) -> None:
        outcomes = Outcomes()
        for _ in range(20):
            outcomes.note_cost(2, 1.0)
        outcomes.note_cost(2, 11.0)
        assert outcomes.as_dict()["tiers"]["2"]["usual_usd"] == pytest.approx(1.5)  # type: ignore[index,call-overload]  # JSON


class TestInspection:
    def test_everything_that_is_known_is_plain_json(self) -> None:
        outcomes = Outcomes(step=0.5, limit=0.2, prior=0.8)
        outcomes.note(2, "wrong")
        outcomes.note(2, "wrong")
        outcomes.note_cost(1, 0.5)
        assert json.loads(json.dumps(outcomes.as_dict())) == {
            "step": 0.5,
            "limit": 0.2,
            "prior": 0.8,
            "tiers": {
                "1": {"offset": 0.0, "quality": 0.0, "trouble": 0.0, "usual_usd": 0.5, "outcomes": {"answered": 1}},
                "2": {"offset": -0.2, "quality": -0.2, "trouble": 0.0, "usual_usd": None, "outcomes": {"wrong": 2}},
            },
        }

    def test_it_shows_its_state(self) -> None:
        outcomes = Outcomes()
        assert repr(outcomes) == "<Outcomes nothing yet; step 0.01, limit 0.15>"
        outcomes.note(2, "wrong", expected=0.5)
        assert repr(outcomes) == "<Outcomes tier 2 -0.005; step 0.01, limit 0.15>"


def test_threads_lose_no_outcome() -> None:
    outcomes = Outcomes()

    def note() -> None:
        for _ in range(500):
            outcomes.note(1, "right")
            outcomes.adjust({1: 0.5})

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tiers = outcomes.as_dict()["tiers"]
    assert tiers["1"]["outcomes"] == {"right": 2_000}  # type: ignore[index,call-overload]  # JSON


class TestWrongInput:
    @pytest.mark.parametrize("name", ["step", "limit", "prior"])
    @pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), True, "0.1"])
    def test_numbers_out_of_range_are_refused(self, name: str, value: object) -> None:
        with pytest.raises(ConfigError, match=f"{name}=.* from 0 to 1"):
            Outcomes(**{name: value})  # type: ignore[arg-type]  # wrong on purpose

    @pytest.mark.parametrize("tier", [0, 101, 1.0, True, None])
    def test_what_is_no_tier_is_refused(self, tier: object) -> None:
        with pytest.raises(ConfigError, match=r"tier=.* from 1 to 100"):
            Outcomes().note(tier, "right")  # type: ignore[arg-type]  # wrong on purpose

    def test_what_is_no_outcome_is_refused_with_those_that_are(self) -> None:
        with pytest.raises(ConfigError, match="outcome='good' is none; known are right, wrong"):
            Outcomes().note(1, "good")  # type: ignore[arg-type]  # wrong on purpose

    @pytest.mark.parametrize("expected", [-0.1, 1.1, float("nan")])
    def test_what_is_no_probability_is_refused(self, expected: float) -> None:
        with pytest.raises(ConfigError, match=r"expected=.* from 0 to 1"):
            Outcomes().note(1, "right", expected=expected)

    @pytest.mark.parametrize("usd", [-1.0, float("inf"), float("nan"), None])
    def test_what_is_no_amount_is_refused(self, usd: object) -> None:
        with pytest.raises(ConfigError, match="usd="):
            Outcomes().note_cost(1, usd)  # type: ignore[arg-type]  # wrong on purpose

"""Our online policy: it keeps its bound whatever the verifier says, and serves more the more it knows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from semroute.errors import ConfigError, StoreError
from semroute.online import Explore, Observation, Observations, Serve, VCacheRule, VerifierFirst

from .worlds import Served, breaking, overconfident, run, stream, useless

SEEDS = range(8)
Told = Callable[[int, float], float]


def honest(at: int, log_odds: float) -> float:
    return log_odds


def runs(max_error: float, told: Told) -> list[Served]:
    return [run(VerifierFirst.of(max_error), stream(seed, told=told)) for seed in SEEDS]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("max_error", [0.02, 0.05])
@pytest.mark.parametrize("told", [honest, overconfident, useless])
def test_the_error_rate_is_within_the_bound_for_good_and_bad_verifiers(max_error: float, told: Told) -> None:
    rates = [served.error_rate for served in runs(max_error, told)]
    assert mean(rates) <= max_error
    assert sum(rate > max_error for rate in rates) <= 1


def test_after_a_verifier_has_turned_into_its_contrary_it_comes_back_under_the_bound_and_still_serves() -> None:
    served = run(VerifierFirst.of(0.05), stream(1, requests=6000, told=breaking))
    assert sum(served.wrong[3000:]) / 3000 <= 0.05
    assert sum(served.hits[3000:]) / 3000 > 0.05
    assert served.error_rate <= 0.05


def test_it_serves_from_the_first_hundreds_of_requests_on_where_the_vcache_rule_still_explores() -> None:
    requests = stream(3, requests=600)
    ours, other = run(VerifierFirst.of(0.05), requests), run(VCacheRule(0.05), requests)
    assert ours.hit_rate > 0.1 > other.hit_rate


def test_what_entries_tell_of_themselves_serves_more_within_the_same_bound() -> None:
    streams = [stream(seed, spread=2.0) for seed in SEEDS]
    knowing = [run(VerifierFirst.of(0.02), one) for one in streams]
    blind = [run(VerifierFirst.of(0.02), one, remembers=False) for one in streams]
    assert mean([one.hit_rate for one in knowing]) > 1.1 * mean([one.hit_rate for one in blind])


def test_a_better_verifier_serves_more_within_the_same_bound() -> None:
    good, bad = runs(0.02, honest), runs(0.02, useless)
    assert mean([one.hit_rate for one in good]) > 1.2 * mean([one.hit_rate for one in bad])


def test_requests_without_a_candidate_pay_for_those_with_one() -> None:
    few = [run(VerifierFirst.of(0.02), stream(seed, share=0.25)) for seed in SEEDS]
    many = [run(VerifierFirst.of(0.02), stream(seed, share=1.0)) for seed in SEEDS]
    assert mean([one.hit_rate / 0.25 for one in few]) > 1.1 * mean([one.hit_rate for one in many])


def test_the_same_requests_and_lots_give_the_same_decisions() -> None:
    requests = stream(4)
    assert run(VerifierFirst.of(0.03), requests) == run(VerifierFirst.of(0.03), requests)


def test_a_share_of_what_could_be_served_is_audited_and_no_more() -> None:
    served = run(VerifierFirst.of(0.05, audit_rate=0.2), stream(5, requests=4000))
    would_be = served.audits + sum(served.hits)
    assert served.audits / would_be == pytest.approx(0.2, abs=0.03)


def test_an_entry_that_was_wrong_is_less_probable_and_one_that_was_right_more() -> None:
    policy = VerifierFirst.of(0.05)
    none = policy.probability(Observations(), 0.9, 0.7)
    was_wrong, was_right = (Observations((Observation(0.92, right, 0.7),) * 3) for right in (False, True))
    assert policy.probability(was_wrong, 0.9, 0.7) < none < policy.probability(was_right, 0.9, 0.7)
    assert none == pytest.approx(0.67, abs=0.03)


def test_a_right_answer_joins_the_record_and_a_wrong_one_starts_a_record_with_that_label() -> None:
    policy = VerifierFirst.of(0.05)
    explored = policy.decide(Observations(), 0.9, 0.5, 0.5)
    assert isinstance(explored, Explore)
    right = policy.observe(Observations(), explored, 0.9, 0.5, is_right=True)
    wrong = policy.observe(right.candidate, explored, 0.8, 0.4, is_right=False)
    assert right.own is None
    assert right.candidate == Observations((Observation(0.9, True, 0.5),))
    assert wrong.own == Observations((Observation(0.8, False, 0.4),))
    assert len(wrong.candidate.items) == 2


def test_nothing_is_served_before_the_budget_holds_one_wrong_answer() -> None:
    policy = VerifierFirst.of(0.01)
    decisions = [policy.decide(Observations(), 0.99, 0.99, 0.999) for _ in range(100)]
    assert not any(isinstance(decision, Serve) for decision in decisions)


@pytest.mark.parametrize(("similarity", "p_prior"), [(math.nan, 0.9), (0.9, math.nan), (math.inf, None)])
def test_what_is_no_number_is_explored_and_teaches_nothing(similarity: float, p_prior: float | None) -> None:
    policy = VerifierFirst.of(0.5)
    decision = policy.decide(Observations(), similarity, p_prior, 0.999)
    assert isinstance(decision, Explore)
    assert not decision.is_worth_a_label
    assert policy.ledger.requests == 1


def test_without_a_verifier_it_learns_from_similarity_alone() -> None:
    requests = [replace(one, p_prior=0.5) for one in stream(6, requests=4000)]
    served = run(VerifierFirst.of(0.05), requests)
    assert served.hit_rate > 0.02
    assert served.error_rate <= 0.05


def test_a_policy_goes_on_from_its_json_text_as_if_nothing_had_happened() -> None:
    first, second = stream(7)[:1000], stream(7)[1000:]
    policy = VerifierFirst.of(0.04, confidence=0.9, audit_rate=0.1)
    run(policy, first)
    copy = VerifierFirst.from_json(json.loads(json.dumps(policy.as_json(), allow_nan=False)))
    assert run(copy, second) == run(policy, second)


def test_another_bound_keeps_the_knowledge_and_starts_a_ledger_of_its_own() -> None:
    policy = VerifierFirst.of(0.04)
    run(policy, stream(8))
    other = policy.renewed(0.01)
    assert other.ledger == VerifierFirst.of(0.01).ledger
    assert (other.pooled, other.bands) == (policy.pooled, policy.bands)
    assert other.pooled.means is not policy.pooled.means


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"ledger": None},
        {"ledger": {"max_error": 2.0, "confidence": 0.9, "audit_rate": 0.1}},
        {"ledger": {"max_error": 0.1, "confidence": 0.9, "audit_rate": 0.1}},
        {"bands": {"wrong": [1.0], "expected": [1.0]}},
        {"pooled": {"means": [0.0, 1.0, 0.0, float("nan")], "covariance": [[0.0] * 4] * 4}},
        {"pooled": []},
    ],
)
def test_a_damaged_state_is_a_store_error(damage: dict[str, object]) -> None:
    stored = {**VerifierFirst.of(0.02).as_json(), **damage}
    with pytest.raises(StoreError, match="online policy"):
        VerifierFirst.from_json(stored)  # type: ignore[arg-type]  # what a damaged store may hold


@pytest.mark.parametrize("shares", [(0.0, 0.9, 0.1), (0.1, 1.0, 0.1), (0.1, 0.9, 0.0), (math.nan, 0.9, 0.1)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    max_error, confidence, audit_rate = shares
    with pytest.raises(ConfigError, match="share over 0 and under 1"):
        VerifierFirst.of(max_error, confidence=confidence, audit_rate=audit_rate)

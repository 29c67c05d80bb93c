"""The vCache rule: an entry explores until its own labels let it serve."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semroute.errors import ConfigError
from semroute.online import Explore, Observation, Observations, Serve, VCacheRule
from semroute.online.vcache import explore_probability


def record(*labels: tuple[float, bool]) -> Observations:
    return Observations(tuple(Observation(similarity, is_right) for similarity, is_right in labels))


MANY = record(*((0.95, True),) * 20, *((0.6, False),) * 20)


def test_an_entry_of_few_observations_is_always_explored() -> None:
    known = record((0.9, True), (0.95, True), (0.99, True))
    assert VCacheRule(0.5).decide(known, 1.0, None, 0.999) == Explore(
        1.0, 1.0, "5 observations with the two seeds, 6 are needed"
    )


def test_a_request_nearer_than_all_right_ones_is_served_for_most_lots() -> None:
    rule = VCacheRule(0.05)
    served = rule.decide(MANY, 0.99, None, 0.999)
    assert isinstance(served, Serve)
    assert isinstance(rule.decide(MANY, 0.5, None, 0.9), Explore)


def test_the_share_of_lots_that_explore_is_the_explore_probability() -> None:
    rule = VCacheRule(0.1)
    decision = rule.decide(MANY, 0.85, None, 0.0)
    assert 0.0 < decision.explore_probability < 1.0
    below, above = decision.explore_probability - 1e-9, decision.explore_probability + 1e-9
    assert isinstance(rule.decide(MANY, 0.85, None, below), Explore)
    assert isinstance(rule.decide(MANY, 0.85, None, above), Serve)


@pytest.mark.parametrize("p_wrong", [0.0, 0.01, 0.02, 0.3, 1.0])
def test_exploring_keeps_the_chance_of_a_wrong_answer_within_the_bound(p_wrong: float) -> None:
    assert (1.0 - explore_probability(p_wrong, 0.02)) * p_wrong <= 0.02 + 1e-12


def test_more_labels_of_the_same_kind_explore_less() -> None:
    rule = VCacheRule(0.05)
    few, many = (
        record(*((0.95, True), (0.9, True), (0.7, False), (0.92, False), (0.75, True)) * times) for times in (2, 12)
    )
    assert (
        rule.decide(many, 0.99, None, 0.0).explore_probability < rule.decide(few, 0.99, None, 0.0).explore_probability
    )


def test_where_nearer_requests_are_no_righter_nothing_is_served() -> None:
    known = record(*((0.2, True), (0.97, False)) * 10)
    assert isinstance(VCacheRule(0.3).decide(known, 0.98, None, 0.999), Explore)


def test_a_similarity_that_is_no_number_is_explored_and_teaches_nothing() -> None:
    decision = VCacheRule(0.3).decide(MANY, math.nan, None, 0.999)
    assert isinstance(decision, Explore)
    assert not decision.is_worth_a_label


def test_labels_go_to_the_candidate_and_the_new_entry_starts_from_nothing() -> None:
    rule = VCacheRule(0.02)
    learned = rule.observe(record(), Explore(1.0, 1.0, ""), 0.8, 0.5, is_right=True)
    assert learned.candidate.items == (Observation(0.8, True, 0.5),)
    assert learned.own == Observations()


@pytest.mark.parametrize("max_error", [0.0, 1.0, -0.1, math.nan])
def test_a_bound_that_is_no_share_is_refused(max_error: float) -> None:
    with pytest.raises(ConfigError, match="max_error"):
        VCacheRule(max_error)


@pytest.mark.parametrize("max_error", [0.05, 0.1])
def test_over_many_entries_the_error_rate_stays_within_the_bound(max_error: float) -> None:
    rng = np.random.default_rng(5)
    rule, wrong, hits, requests = VCacheRule(max_error), 0, 0, 0
    for _ in range(60):
        threshold, slope, known = rng.uniform(0.7, 0.9), rng.uniform(15.0, 60.0), Observations()
        for similarity in rng.uniform(0.5, 1.0, 60).tolist():
            is_right = bool(rng.random() < 1.0 / (1.0 + math.exp(-slope * (similarity - threshold))))
            requests += 1
            match rule.decide(known, similarity, None, float(rng.random())):
                case Serve():
                    hits, wrong = hits + 1, wrong + (not is_right)
                case Explore() as explored:
                    known = rule.observe(known, explored, similarity, None, is_right=is_right).candidate
    assert wrong <= max_error * requests
    assert hits > 0.1 * requests

"""Tuning: what is chosen, what is said about it, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from semroute.errors import ConfigError
from semroute.policy import Policy
from semroute.tuning.bounds import clopper_pearson_upper
from semroute.tuning.paths import Family, Path, families
from semroute.tuning.scored import CELLS, Fate, ScoredPairs, served
from semroute.tuning.tune import NothingToServe, TooFewPairs, Tuning, choose_path, split, tune

from .simulated import CASES, in_cells, smooth, verified


def pairs_of(case: str, n: int = 6_000, seed: int = 1) -> ScoredPairs:
    return CASES[case](n, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def tuned() -> Tuning:
    return tune(pairs_of("smooth"), max_error=0.02)


def test_the_figures_are_those_of_the_pairs_that_had_no_part_in_the_choice(tuned: Tuning) -> None:
    pairs = pairs_of("smooth")
    _, tested = split(pairs, 0.25, 0)
    test = pairs.take(tested)
    hits = served(tuned.policy, test)
    assert tuned.promise.hit_rate == pytest.approx(hits.mean())
    assert tuned.promise.error_rate == pytest.approx((hits & ~test.is_right).mean())
    assert tuned.right_hits == pytest.approx(hits[test.is_right].mean())
    assert (tuned.promise.n, tuned.learned_on, tuned.n) == (4_500, 1_500, 6_000)
    assert tuned.positives == int(pairs.is_right.sum())


def test_the_bound_lies_between_what_was_measured_and_what_is_promised(tuned: Tuning) -> None:
    wrong = tuned.promise.error_rate * 4_500
    assert tuned.error_bound == pytest.approx(clopper_pearson_upper(wrong, 4_500, 0.95))
    assert tuned.promise.error_rate <= tuned.allowed < tuned.error_bound < tuned.promise.max_error


def test_one_right_hit_more_would_cost_more_than_is_allowed(tuned: Tuning) -> None:
    pairs = pairs_of("smooth")
    test = pairs.take(split(pairs, 0.25, 0)[1])
    (cell,) = tuned.policy.cells
    is_open = test.passes_guards | (not cell.requires_guards)
    refused = test.similarity[is_open & test.is_right & (test.similarity < cell.threshold)]
    assert (is_open & ~test.is_right & (test.similarity >= refused.max())).mean() > tuned.allowed


def test_the_stricter_points_get_stricter_down_to_the_highest_score(tuned: Tuning) -> None:
    thresholds = [cells[0].threshold for cells in (tuned.policy.cells, *(p.cells for p in tuned.policy.stricter))]
    assert len(thresholds) > 5
    assert thresholds == sorted(set(thresholds))
    assert thresholds[-1] == 1.0
    rates = [tuned.promise.error_rate, *(point.error_rate for point in tuned.policy.stricter)]
    assert rates == sorted(rates, reverse=True)


def test_a_smaller_budget_a_larger_confidence_and_a_longer_promise_never_serve_more() -> None:
    pairs = pairs_of("smooth")
    rates = [tune(pairs, max_error=bound).promise.hit_rate for bound in (0.05, 0.02, 0.01, 0.005)]
    assert rates == sorted(rates, reverse=True)
    sure = [tune(pairs, max_error=0.02, confidence=level).promise.hit_rate for level in (0.8, 0.95, 0.999)]
    assert sure == sorted(sure, reverse=True)
    spans = [tune(pairs, max_error=0.02, requests=requests).promise.hit_rate for requests in (100_000, 1_000, 200)]
    assert spans == sorted(spans, reverse=True)


def test_a_promise_for_a_single_request_is_still_one_for_the_long_run() -> None:
    # That one request goes wrong in 1 of 20 cases at most would allow an error rate of 0.05.
    assert tune(pairs_of("smooth"), max_error=0.01, requests=100).error_bound < 0.01


def test_the_version_changes_with_the_numbers_and_with_nothing_else() -> None:
    pairs = pairs_of("smooth")
    same = [tune(pairs, max_error=0.02, name="desk").policy.version for _ in range(2)]
    assert same[0] == same[1]
    assert same[0].startswith("desk-")
    assert tune(pairs, max_error=0.03, name="desk").policy.version != same[0]


def test_guards_that_only_cost_hits_are_dropped_and_guards_that_keep_errors_out_are_kept() -> None:
    random = np.random.default_rng(0)
    pairs = smooth(8_000, random)
    useless = ScoredPairs(pairs.similarity, pairs.is_right, random.random(8_000) < 0.5)
    perfect = ScoredPairs(pairs.similarity, pairs.is_right, pairs.is_right.copy())
    assert not tune(useless, max_error=0.02).policy.cells[0].requires_guards
    assert tune(perfect, max_error=0.02).policy.cells[0].requires_guards


def test_guards_that_make_no_difference_are_kept() -> None:
    pairs = pairs_of("smooth")
    idle = ScoredPairs(pairs.similarity, pairs.is_right, np.ones(len(pairs), np.bool_))
    assert tune(idle, max_error=0.02).policy.cells[0].requires_guards


def test_behind_a_verifier_its_probability_is_what_is_tuned() -> None:
    pairs = verified(6_000, np.random.default_rng(2))
    with_one = tune(pairs, max_error=0.02, embedder="e", verifier="v")
    without = tune(ScoredPairs(pairs.similarity, pairs.is_right, pairs.passes_guards), max_error=0.02)
    (cell,) = with_one.policy.cells
    assert cell.min_p_reusable is not None
    assert 0.1 < cell.min_p_reusable < 1.0
    assert cell.threshold in {family.floor for family in families(pairs)}
    assert (with_one.policy.embedder, with_one.policy.verifier) == ("e", "v")
    assert with_one.promise.hit_rate > without.promise.hit_rate


def test_each_cell_gets_a_threshold_of_its_own_and_the_unsure_one_is_never_lower() -> None:
    policy = tune(in_cells(20_000, np.random.default_rng(4)), max_error=0.02).policy
    cells = {(cell.strategy, cell.is_sure): cell.threshold for cell in policy.cells}
    # The same similarity is worth least where the router is unsure, and most where it is aggressive.
    assert cells["aggressive", True] < cells["standard", True] < cells["standard", False]


def test_an_unsure_cell_that_looks_better_is_held_to_the_sure_one() -> None:
    random = np.random.default_rng(4)
    cell = random.choice(2, 20_000).astype(np.uint8)
    similarity = random.beta(5, 2, 20_000)
    is_right = random.random(20_000) < 1 / (1 + np.exp(-20 * (similarity - np.array([0.85, 0.6])[cell])))
    pairs = ScoredPairs(similarity.astype(np.float32), is_right, np.ones(20_000, np.bool_), cell=cell)
    sure, unsure = tune(pairs, max_error=0.02).policy.cells
    assert (sure.is_sure, unsure.is_sure) == (True, False)
    assert unsure.threshold >= sure.threshold


def test_a_cell_with_hardly_any_pairs_gets_no_threshold() -> None:
    pairs = pairs_of("smooth")
    cell = np.zeros(len(pairs), np.uint8)
    cell[:40] = CELLS.index(("aggressive", True))
    policy = tune(ScoredPairs(pairs.similarity, pairs.is_right, pairs.passes_guards, cell=cell), max_error=0.02).policy
    assert [(one.strategy, one.is_sure) for one in policy.cells] == [("standard", True)]


def test_what_the_gate_serves_is_what_was_counted_in_every_cell() -> None:
    random = np.random.default_rng(9)
    pairs = in_cells(8_000, random)
    cell = np.where(random.random(8_000) < 0.005, 3, pairs.cell).astype(np.uint8)
    fate = random.choice([Fate.GATED, Fate.NEVER, Fate.ALWAYS], 8_000, p=[0.9, 0.08, 0.02]).astype(np.uint8)
    right = pairs.is_right | (fate == Fate.ALWAYS)
    mixed = ScoredPairs(pairs.similarity, right, pairs.passes_guards, cell=cell, fate=fate)
    tuned = tune(mixed, max_error=0.03)
    test = mixed.take(split(mixed, 0.25, 0)[1])
    assert served(tuned.policy, test).mean() == pytest.approx(tuned.promise.hit_rate, abs=1e-9)
    assert served(tuned.policy, test)[test.fates(Fate.ALWAYS)].all()
    assert not served(tuned.policy, test)[test.fates(Fate.NEVER)].any()


def test_wrong_answers_of_the_exact_tier_are_part_of_the_error() -> None:
    pairs = pairs_of("smooth")
    fate = np.full(len(pairs), Fate.GATED, np.uint8)
    fate[~pairs.is_right & (np.cumsum(~pairs.is_right) <= 100)] = Fate.ALWAYS
    with pytest.raises(NothingToServe, match="no threshold serves anything"):
        tune(ScoredPairs(pairs.similarity, pairs.is_right, pairs.passes_guards, fate=fate), max_error=0.01)


def test_pairs_of_one_unit_stay_on_one_side() -> None:
    pairs = pairs_of("in_clusters")
    mine, theirs = split(pairs, 0.3, 5)
    assert set(pairs.units[mine]).isdisjoint(pairs.units[theirs])
    assert len(mine) + len(theirs) == len(pairs)
    assert 0.2 < len(mine) / len(pairs) < 0.4


def test_clusters_make_the_sample_worth_less() -> None:
    pairs = pairs_of("in_clusters", 20_000)
    alone = ScoredPairs(pairs.similarity, pairs.is_right, pairs.passes_guards)
    clustered, independent = tune(pairs, max_error=0.05), tune(alone, max_error=0.05)
    assert clustered.effective_n < 0.5 * independent.effective_n
    assert clustered.allowed < independent.allowed


def test_weights_stand_for_requests_that_were_not_labelled() -> None:
    random = np.random.default_rng(5)
    every = smooth(40_000, random)
    # Of what is far from any hit, one in ten is labelled and stands for ten.
    kept = (every.similarity > 0.6) | (random.random(40_000) < 0.1)
    weight = np.where(every.similarity > 0.6, 1.0, 10.0)
    some = ScoredPairs(every.similarity, every.is_right, every.passes_guards, weight=weight).take(kept)
    weighted, full = tune(some, max_error=0.02), tune(every, max_error=0.02)
    assert weighted.promise.hit_rate == pytest.approx(full.promise.hit_rate, abs=0.02)
    assert weighted.promise.requests == pytest.approx(40_000, rel=0.02)


@pytest.mark.parametrize("n", [12, 100, 599])
def test_too_few_pairs_are_refused_with_the_number_that_is_needed(n: int) -> None:
    pairs = pairs_of("smooth", n)
    with pytest.raises(TooFewPairs, match=rf"^{n} pairs are too few .* at least 600 are needed$") as refused:
        tune(pairs, max_error=0.01)
    assert refused.value.needed == 600


def test_the_number_that_is_needed_is_enough_where_no_hit_is_wrong() -> None:
    is_right = np.arange(600) % 2 == 0
    pairs = ScoredPairs(np.where(is_right, 0.95, 0.2).astype(np.float32), is_right, np.ones(600, np.bool_))
    assert tune(pairs, max_error=0.01).promise.hit_rate == pytest.approx(0.5, abs=0.05)


def test_clusters_that_leave_too_little_are_told_with_what_they_are_worth() -> None:
    pairs = pairs_of("in_clusters", 2_000)
    with pytest.raises(TooFewPairs, match=r"weights and clusters make worth \d+") as refused:
        tune(pairs, max_error=0.01)
    assert refused.value.needed > 2_000


def test_errors_at_the_top_leave_nothing_to_serve_and_no_number_of_pairs_helps() -> None:
    similarity = np.linspace(0, 1, 4_000).astype(np.float32)
    is_right = (similarity < 0.9) & (similarity > 0.6)
    with pytest.raises(NothingToServe, match="look at the labels of what is most similar") as refused:
        tune(ScoredPairs(np.round(similarity, 1), is_right, np.ones(4_000, np.bool_)), max_error=0.005)
    assert refused.value.needed is None


def test_an_error_just_under_the_bound_says_how_many_pairs_would_show_it() -> None:
    is_right = np.arange(4_000) % 2 == 0
    wrong = np.zeros(4_000, np.bool_)
    wrong[3::124] = True  # 0.008 of all, and as similar as what is right
    pairs = ScoredPairs(np.where(is_right | wrong, 0.9, 0.1).astype(np.float32), is_right, np.ones(4_000, np.bool_))
    with pytest.raises(NothingToServe, match="which takes about") as refused:
        tune(pairs, max_error=0.01)
    assert refused.value.needed is not None
    assert refused.value.needed > 4_000


def test_no_error_is_spent_on_hits_that_are_all_wrong() -> None:
    is_right = np.arange(4_000) % 2 == 0
    similarity = np.where(is_right, 0.9, np.where(np.arange(4_000) % 200 == 1, 0.7, 0.1)).astype(np.float32)
    tuned = tune(ScoredPairs(similarity, is_right, np.ones(4_000, np.bool_)), max_error=0.02)
    assert tuned.promise.error_rate == 0.0
    assert tuned.policy.cells[0].threshold > 0.7


def test_labels_that_are_the_wrong_way_round_are_asked_about() -> None:
    is_right = np.arange(4_000) % 2 == 0
    similarity = np.where(is_right, 0.1, 0.9).astype(np.float32)
    with pytest.raises(NothingToServe, match="every hit is labelled wrong; is 1 the label of a right answer"):
        tune(ScoredPairs(similarity, is_right, ~is_right), max_error=0.02)


def test_pairs_that_the_rules_all_keep_out_leave_nothing_to_serve() -> None:
    pairs = pairs_of("smooth")
    fate = np.full(len(pairs), Fate.NEVER, np.uint8)
    with pytest.raises(NothingToServe, match="the rules let no pair through"):
        tune(ScoredPairs(pairs.similarity, pairs.is_right, pairs.passes_guards, fate=fate), max_error=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_error": 0.0}, "max_error must be a number between 0 and 1"),
        ({"max_error": float("nan")}, "max_error must be a number between 0 and 1"),
        ({"max_error": 0.01, "confidence": 1.0}, "confidence must be a number between 0 and 1"),
        ({"max_error": 0.01, "requests": 0}, "requests must be at least 1"),
    ],
)
def test_what_cannot_be_promised_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(pairs_of("smooth", 2_000), **arguments)  # type: ignore[arg-type]  # numbers of either kind


@pytest.mark.parametrize(("label", "said"), [(True, "1 alone"), (False, "0 alone")])
def test_labels_of_one_kind_are_refused(label: bool, said: str) -> None:
    pairs = pairs_of("smooth", 2_000)
    one_kind = ScoredPairs(pairs.similarity, np.full(2_000, label), pairs.passes_guards)
    with pytest.raises(ConfigError, match=said):
        tune(one_kind, max_error=0.01)


def test_scores_that_are_no_numbers_and_columns_of_other_lengths_are_refused() -> None:
    good = np.full(3, 0.5, np.float32)
    flags = np.ones(3, np.bool_)
    with pytest.raises(ConfigError, match=r"similarity must be in \[0, 1\]"):
        ScoredPairs(np.array([0.5, np.nan, 0.5], np.float32), flags, flags)
    with pytest.raises(ConfigError, match=r"p_reusable must be in \[0, 1\]"):
        ScoredPairs(good, flags, flags, p_reusable=np.array([0.5, 1.5, 0.5], np.float32))
    with pytest.raises(ConfigError, match=r"is_right must have the shape \(3,\)"):
        ScoredPairs(good, flags[:2], flags)
    with pytest.raises(ConfigError, match="weights must be finite"):
        ScoredPairs(good, flags, flags, weight=np.array([1.0, np.inf, 1.0]))


def test_the_sets_along_a_path_are_nested_in_every_cell() -> None:
    pairs = in_cells(6_000, np.random.default_rng(6))
    path = Path.learn(Family(requires_guards=True, uses_verifier=False), pairs, Policy())
    before = np.zeros(len(pairs), np.bool_)
    for level in np.linspace(6, -6, 25):
        now = served(Policy(version="at a level", cells=path.cells(float(level))), pairs)
        assert not (before & ~now).any()
        assert (now == (path.rank(pairs) >= level)).mean() > 0.999
        before = now
    assert before.mean() > 0.9


def test_the_strictest_family_is_chosen_where_nothing_tells_them_apart() -> None:
    pairs = pairs_of("verified")
    same = np.ones(len(pairs), np.float32)
    level = ScoredPairs(same, pairs.is_right, np.ones(len(pairs), np.bool_), p_reusable=pairs.p_reusable)
    chosen = choose_path(families(level), level, Policy(), 0.01).family
    assert chosen == families(level)[0]


def test_the_curve_can_be_drawn_and_the_notebook_shows_it(tuned: Tuning) -> None:
    curve = tuned.curve
    assert len(curve.levels) <= 400
    assert np.all(np.diff(curve.levels) < 0)
    assert np.all(np.diff(curve.hit_rate) >= 0)
    assert np.all(np.diff(curve.error_rate) >= 0)
    page = tuned._repr_html_()
    assert "<polyline" in page
    assert tuned.policy.version in page
    assert f"{tuned.promise.hit_rate:.4f}" in page

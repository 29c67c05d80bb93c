"""Which pairs are chosen, and whether their labels speak for all of the log."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.result import Verdict
from semroute.review.choosing import Population, most_informative, telling
from semroute.shadow import ShadowRecord

from .records import make_record


def traffic(count: int, *, seed: int = 0) -> list[ShadowRecord]:
    """Return a log like real ones: most candidates far below the bar, few near it, some far above."""
    chance = random.Random(seed)
    records = []
    for number in range(count):
        p = min(max(chance.betavariate(0.25, 1.2), 1e-4), 1 - 1e-4)
        stored = f"stored {chance.randrange(count // 4)}"
        records.append(make_record(number, candidate=stored, p_reusable=p, needed_p=0.7, would_serve=p >= 0.7))
    return records


def is_right(record: ShadowRecord) -> bool:
    """Return the truth about a record, drawn with the probability that it says."""
    assert record.p_reusable is not None
    return random.Random(record.query).random() < record.p_reusable


def test_of_the_candidates_of_one_request_only_the_foremost_is_asked_about() -> None:
    """Labels speak for requests: so does the promise of a policy."""
    near, served = make_record(1, p_reusable=0.6), make_record(2, p_reusable=0.97)
    served = replace(served, request=near.request, at=near.at)
    other = replace(make_record(3, p_reusable=0.5), at=near.at + 1.0)
    population = Population([near, served, other])
    assert {choice.pair for choice in population.order} == {served.pair, other.pair}
    assert sum(choice.weight for choice in population.weighted(population.order)) == 2


class TestWhatComesFirst:
    def test_pairs_near_the_bar_tell_more_than_pairs_far_from_it(self) -> None:
        at_bar, below, far_below, above = (
            telling(make_record(p_reusable=p, needed_p=0.9, would_serve=p >= 0.9)) for p in (0.9, 0.5, 0.02, 0.9999)
        )
        assert at_bar > far_below
        assert at_bar > above
        assert below > far_below

    def test_without_probabilities_what_counts_is_the_distance_of_the_similarity_from_its_threshold(self) -> None:
        at_bar, below, above = (telling(make_record(similarity=s, threshold=0.85)) for s in (0.85, 0.6, 1.0))
        assert at_bar > above > 0
        assert at_bar > below > 0

    def test_what_a_guard_has_refused_tells_less(self) -> None:
        refused = make_record(similarity=0.9, verdicts=(Verdict("numbers", False, "1 ≠ 2"),))
        assert telling(refused) < telling(replace(refused, verdicts=()))

    def test_would_be_hits_that_are_served_often_are_chosen_before_rare_ones(self) -> None:
        def is_often_first(seed: int) -> bool:
            often = [replace(make_record(1, p_reusable=0.9), at=float(second)) for second in range(30)]
            rare = [make_record(number, p_reusable=0.9) for number in range(2, 22)]
            return most_informative([*rare, *often], 5, seed=seed)[0].pair == often[0].pair

        assert sum(is_often_first(seed) for seed in range(50)) > 25

    def test_the_chosen_are_mostly_from_the_gray_zone_though_it_is_a_small_part_of_the_log(self) -> None:
        records = traffic(3_000)
        chosen = most_informative(records, 300)

        def share_of_gray(of: list[ShadowRecord]) -> float:
            return sum(0.2 < (record.p_reusable or 0) < 0.98 for record in of) / len(of)

        assert share_of_gray([choice.record for choice in chosen]) > 2 * share_of_gray(records)


class TestOnce:
    def test_a_pair_that_stands_in_the_log_many_times_is_chosen_once_with_its_latest_record(self) -> None:
        records = [replace(make_record(1), request=f"r{number}", number=number) for number in range(7)]
        (choice,) = most_informative(records, 10)
        assert (choice.times, choice.record.number, choice.weight) == (7, 6, 7.0)

    def test_pairs_of_equal_words_need_no_label(self) -> None:
        assert most_informative([make_record(query="same", candidate="same")], 5) == []

    def test_pairs_of_one_stored_question_are_spread(self) -> None:
        families = [make_record(n, candidate=f"stored {n % 10}", p_reusable=0.8) for n in range(400)]
        chosen = most_informative(families, 40)
        assert max(Counter(choice.record.candidate for choice in chosen).values()) <= 8
        assert len({choice.record.candidate for choice in chosen}) == 10

    def test_the_same_log_gives_the_same_choice_in_whatever_order_it_was_written(self) -> None:
        records = traffic(200)
        shuffled = random.Random(1).sample(records, len(records))
        assert [c.pair for c in most_informative(records, 50)] == [c.pair for c in most_informative(shuffled, 50)]

    def test_another_seed_gives_another_choice(self) -> None:
        records = traffic(200)
        first, second = ({c.pair for c in most_informative(records, 50, seed=seed)} for seed in (0, 1))
        assert first != second


class TestWeights:
    @given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60), st.integers(1, 60))
    @settings(deadline=None)
    def test_the_chances_of_all_pairs_add_up_to_the_size_of_the_sample(self, ps: list[float], n: int) -> None:
        population = Population(make_record(number, p_reusable=p) for number, p in enumerate(ps))
        certain = population.certain_from(n)
        expected = sum(1.0 if certain <= one.measure else one.measure / certain for one in population.order)
        assert math.isclose(expected, min(n, len(ps)), rel_tol=1e-9)

    @given(st.integers(1, 120), st.integers(0, 5))
    @settings(deadline=None, max_examples=25)
    def test_the_weights_add_up_to_the_records_of_the_log(self, n: int, seed: int) -> None:
        records = [*traffic(100, seed=seed), *traffic(30, seed=seed)]
        total = sum(choice.weight for choice in most_informative(records, n))
        assert math.isclose(total, len(records), rel_tol=1e-9)

    def test_when_everything_is_chosen_a_label_speaks_for_its_own_records_alone(self) -> None:
        assert {choice.weight for choice in most_informative(traffic(50), 50)} == {1.0}

    def test_estimates_from_chosen_labels_are_right_on_average_and_nearer_than_from_random_ones(self) -> None:
        records = traffic(1_500)
        wrong = {record.query: record.would_serve and not is_right(record) for record in records}
        truth = sum(wrong.values()) / len(records)
        chosen_estimates, random_estimates = [], []
        for seed in range(60):
            chosen = most_informative(records, 200, seed=seed)
            total = sum(choice.weight for choice in chosen)
            chosen_estimates.append(sum(c.weight * wrong[c.record.query] for c in chosen) / total)
            drawn = random.Random(seed).sample(records, 200)
            random_estimates.append(sum(wrong[record.query] for record in drawn) / 200)
        spread = spread_of(chosen_estimates, truth)
        assert abs(sum(chosen_estimates) / 60 - truth) < 4 * spread / math.sqrt(60)
        assert truth > 0
        assert spread < 0.6 * spread_of(random_estimates, truth)

    def test_every_beginning_of_the_order_is_a_sample_of_its_own(self) -> None:
        records = traffic(1_000)
        share = sum(record.would_serve for record in records) / 1_000
        estimates = []
        for seed in range(60):
            chosen = most_informative(records, 60, seed=seed)
            total = sum(choice.weight for choice in chosen)
            estimates.append(sum(choice.weight for choice in chosen if choice.record.would_serve) / total)
        assert abs(sum(estimates) / 60 - share) < 4 * spread_of(estimates, share) / math.sqrt(60)


def spread_of(estimates: list[float], truth: float) -> float:
    return math.sqrt(sum((estimate - truth) ** 2 for estimate in estimates) / len(estimates))


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one_pair_cannot_be_chosen(n: int) -> None:
    with pytest.raises(ConfigError, match="choose at least 1 pair"):
        most_informative([make_record()], n)


def test_fewer_pairs_than_asked_for_are_all_chosen() -> None:
    assert len(most_informative(traffic(10), 300)) == 10

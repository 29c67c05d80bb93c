"""The stream that online policies are measured on: who sees which label, and who shares a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evals.online import Stream, hindsight, serve
from semroute.evaluation.neighbours import Neighbours
from semroute.online import Decision, Explore, Learned, Observation, Observations, Serve


def stream(rows: Sequence[tuple[int, float, bool]]) -> Stream:
    """Make a stream of (nearest earlier request or -1, similarity, whether its answer is right)."""
    places, similarities, is_right = zip(*rows, strict=True)
    near = Neighbours(np.array(places, np.int32)[:, None], np.array(similarities, np.float32)[:, None])
    return Stream(near, np.full((len(rows), 1), 0.5, np.float32), np.array(is_right)[:, None])


@dataclass
class Scripted:
    """Serves the requests that it is told to, and takes down what it is asked and told."""

    serves: Sequence[bool]
    asked: list[Observations] = field(default_factory=list)
    labels: list[bool] = field(default_factory=list)
    skipped: int = 0

    def probability(self, observations: Observations, similarity: float, p_prior: float | None) -> float:
        return similarity

    def decide(self, observations: Observations, similarity: float, p_prior: float | None, uniform: float) -> Decision:
        self.asked.append(observations)
        return Serve(0.0, 0.0, "told to") if self.serves[len(self.asked) - 1] else Explore(1.0, 1.0, "told to")

    def skip(self) -> None:
        self.skipped += 1

    def observe(
        self, observations: Observations, decision: Explore, similarity: float, p_prior: float | None, *, is_right: bool
    ) -> Learned:
        self.labels.append(is_right)
        seen = Observation(round(similarity, 3), is_right)
        return Learned(observations.with_one(seen), None if is_right else Observations((seen,)))


def test_labels_are_seen_of_explored_requests_only_and_wrong_hits_are_counted() -> None:
    policy = Scripted(serves=[False, True, True])
    run = serve(stream([(-1, 0.0, False), (0, 0.9, True), (0, 0.8, False), (0, 0.95, True)]), policy, seed=0)
    assert (policy.skipped, policy.labels) == (1, [True])
    assert run.served.tolist() == [False, False, True, True]
    assert run.wrong.tolist() == [False, False, True, False]


def test_requests_that_answer_alike_share_a_record_and_others_start_with_their_label() -> None:
    policy = Scripted(serves=[False] * 4)
    serve(stream([(-1, 0.0, False), (0, 0.9, True), (0, 0.8, False), (1, 0.85, True), (2, 0.95, True)]), policy, seed=0)
    right, wrong = Observation(0.9, True), Observation(0.8, False)
    assert [record.items for record in policy.asked] == [(), (right,), (right, wrong), (wrong,)]


def test_what_is_too_far_away_is_no_candidate() -> None:
    policy = Scripted(serves=[])
    serve(stream([(-1, 0.0, False), (0, 0.5, True)]), policy, seed=0)
    assert policy.skipped == 2


def test_the_best_threshold_in_hindsight_stays_within_the_bound() -> None:
    rows = [(-1, 0.0, False), (0, 0.99, True), (0, 0.97, True), (0, 0.9, False), (0, 0.85, True)]
    point = hindsight(stream(rows), 0.1)
    assert point is not None
    assert (point.hit_rate, point.error_rate) == (0.4, 0.0)

"""A stream of questions through an empty cache: hit rate against error rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from semroute.entry import Answer
from semroute.evaluation.flows import Asked, Flows, open_policy, plain_request, score_of
from semroute.evaluation.metrics import OperatingPoint, best_behind, best_operating_point
from semroute.evaluation.neighbours import Neighbours, nearest_earlier
from semroute.evaluation.stream_records import RememberedGuards, RememberedVerifier, StreamRecords
from semroute.evaluation.tables import Row, text_of
from semroute.evaluation.vectors import AheadEmbedder, Track, untracked
from semroute.result import Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.entry import Entry
    from semroute.gate import Policy

Insert: TypeAlias = Literal["always", "miss"]

LEAST_SIMILARITY: Final = 0.5
"""Nothing less similar is looked at: no useful operating point lies below."""
LEAST: Final = (LEAST_SIMILARITY, *(round(0.70 + step / 200, 3) for step in range(60)))
"""With insert="always" each of these is tried as least similarity, and behind it every threshold on P(reusable)."""
NEIGHBOURS_KEPT: Final = 64
"""With insert="miss" candidates come out of this many nearest earlier requests: those of them that were inserted."""
THRESHOLDS: Final = (0.50, 0.60, 0.70, 0.75, *(round(0.80 + step / 100, 2) for step in range(20)), 0.995, 1.0)
"""With insert="miss" what is stored depends on the threshold, so that the stream runs once for each of these."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request of a stream, with the class of all requests that its answer is right for."""

    text: str
    answer_class: str


@dataclass(frozen=True, slots=True)
class Point:
    """What could be had, and what the policy really brings, at one bound on the error rate."""

    max_error: float
    best: OperatingPoint | None
    static: OperatingPoint | None
    promised: OperatingPoint | None


def questions_of(rows: Sequence[Row], *, text: str, answer_class: str) -> list[Question]:
    """Read questions out of rows, in their order. Raises ConfigError."""
    return [Question(text_of(row, text), text_of(row, answer_class)) for row in rows]


def evaluate_stream(
    questions: Sequence[Question],
    max_errors: Sequence[float],
    embedder: Embedder,
    policy: Policy,
    *,
    insert: Insert = "always",
    track: Track = untracked,
) -> list[Point]:
    """Send questions through an empty cache in their order, and report one point for each bound on the error.

    A hit is right when the classes are equal; error_rate = wrong hits / all requests. With insert="always" every
    request is stored after it was asked (the protocol of vCache and CacheVerifier), with "miss" only those that were
    not served. Requests that the rules keep out of the cache are neither served nor stored.

    - `best`: the highest hit rate within the bound over all policies of two thresholds, one on P(reusable) and one on
      the similarity of the first of k = 5 candidates that every guard lets pass; the same words are always served.
      With insert="miss", and where no verifier stands, it is one threshold on the similarity. They are chosen on this
      very stream: it says what the scores could do.
    - `static`: the same for the plain cosine of the nearest neighbour, on the same vectors, without any rule. A text
      over the embedder's limit has no neighbour.
    - `promised`: what the policy, fixed beforehand, really does; it is the same for every bound.
    """
    ahead = AheadEmbedder(embedder)
    ahead.prepare((question.text for question in questions), track)
    stream = _Stream(questions, ahead, policy, insert, track)
    if insert == "always":
        ours, plain = stream.scores(), stream.plain_scores()
        best = [best_behind(LEAST, ours.similarity, ours.score, ours.is_right, bound) for bound in max_errors]
        static = [best_operating_point(*plain, bound) for bound in max_errors]
    else:
        sweep = [stream.serve(open_policy(threshold)) for threshold in track(THRESHOLDS, "thresholds")]
        plain_sweep = stream.sweep_plain()
        best = [_best_of(sweep, bound) for bound in max_errors]
        static = [_best_of(plain_sweep, bound) for bound in max_errors]
    promised = stream.serve(policy)
    return [
        Point(bound, ours_at, plain_at, promised)
        for bound, ours_at, plain_at in zip(max_errors, best, static, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Served:
    score: float
    similarity: float
    is_right: bool


@dataclass(frozen=True, slots=True)
class _Scores:
    """What every request would be served; a score of 0 is nothing. All arrays have the shape (requests,)."""

    score: NDArray[np.float64]
    similarity: NDArray[np.float64]
    is_right: NDArray[np.bool_]


class _Stream:
    """A stream with all that does not depend on what the cache holds: judgements, entries, neighbours."""

    def __init__(
        self, questions: Sequence[Question], ahead: AheadEmbedder, policy: Policy, insert: Insert, track: Track
    ) -> None:
        self._classes = [question.answer_class for question in questions]
        self._insert = insert
        self._track = track
        self._records = StreamRecords()
        self._flows = Flows(self._records, ahead, policy)
        rules = self._flows.rules
        verifier = None if rules.verifier is None else RememberedVerifier(rules.verifier)
        self._flows.rules = replace(rules, guards=(RememberedGuards(rules.guards),), verifier=verifier)
        requests = [plain_request(question.text) for question in questions]
        self._asked = [self._flows.ask(request) for request in track(requests, "judging")]
        self._records.entries = [self._entry(asked) for asked in track(self._asked, "admitting")]
        self._vectors = _vectors(self._asked, ahead)
        may_serve = np.array([entry is not None and entry.vector is not None for entry in self._records.entries])
        self._records.neighbours = nearest_earlier(
            self._vectors, self._kept(self._flows.rules.k), may_serve=may_serve, track=track
        )

    def scores(self) -> _Scores:
        """Return what every request would be served by, and whether that is right; every request is stored."""
        n = len(self._asked)
        found = _Scores(np.zeros(n), np.zeros(n), np.zeros(n, np.bool_))
        flows = self._flows.under(open_policy(LEAST_SIMILARITY))
        for position, served in self._pass(flows, self._track(self._asked, "scoring")):
            if served is not None:
                found.score[position], found.similarity[position] = served.score, served.similarity
                found.is_right[position] = served.is_right
        return found

    def plain_scores(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the cosine of every request's nearest earlier one, and whether their classes are equal."""
        nearest = self._plain_neighbours(1)
        positions, similarities = nearest.positions[:, 0], nearest.similarities[:, 0]
        classes = np.array(self._classes, dtype=object)
        is_right = (classes[positions] == classes) & (positions >= 0)
        return np.where(similarities >= LEAST_SIMILARITY, similarities, 0.0).astype(np.float64), is_right

    def serve(self, policy: Policy) -> OperatingPoint:
        """Return what a policy does on the stream."""
        served = [one for _, one in self._pass(self._flows.under(policy), self._asked) if one is not None]
        return OperatingPoint.of(hits=len(served), wrong=sum(not one.is_right for one in served), n=len(self._asked))

    def sweep_plain(self) -> list[OperatingPoint]:
        """Return what plain cosine thresholds do when only misses are stored."""
        nearest = self._plain_neighbours(self._kept(1))
        neighbours = [nearest.of(position) for position in range(len(self._classes))]
        return [self._serve_plain(neighbours, limit) for limit in self._track(THRESHOLDS, "plain thresholds")]

    def _serve_plain(self, neighbours: Sequence[Sequence[tuple[int, float]]], threshold: float) -> OperatingPoint:
        is_stored = [False] * len(neighbours)
        hits = wrong = 0
        for position, near in enumerate(neighbours):
            served = next((at for at, similarity in near if similarity >= threshold and is_stored[at]), None)
            is_stored[position] = served is None
            if served is not None:
                hits, wrong = hits + 1, wrong + (self._classes[served] != self._classes[position])
        return OperatingPoint.of(hits=hits, wrong=wrong, n=len(neighbours))

    def _plain_neighbours(self, k: int) -> Neighbours:
        return nearest_earlier(self._vectors, k, track=self._track, what="neighbours, plain cosine")

    def _pass(self, flows: Flows, asked: Iterable[Asked]) -> Iterator[tuple[int, _Served | None]]:
        """Send the stream through an empty cache, and yield what each request was served."""
        records = self._records
        records.reset()
        for position, one in enumerate(asked):
            records.current = position
            result = flows.lookup(one)
            served = None
            if isinstance(result, Hit):
                maker = records.position_of(result.hit_id)
                similarity = result.explanation.similarity
                is_right = self._classes[maker] == self._classes[position]
                served = _Served(score_of(result), 1.0 if similarity is None else similarity, is_right)
            yield position, served
            if served is None or self._insert == "always":
                records.insert(position)

    def _entry(self, asked: Asked) -> Entry | None:
        self._flows.update(asked, Answer("the answer"))
        return self._records.taken()

    def _kept(self, k: int) -> int:
        return NEIGHBOURS_KEPT if self._insert == "miss" else k


def _vectors(asked: Sequence[Asked], ahead: AheadEmbedder) -> NDArray[np.float32]:
    """Return one row for each request; zeros, which are near to nothing, where a text has no vector."""
    vectors = np.zeros((len(asked), ahead.dimensions), np.float32)
    for position, one in enumerate(asked):
        if ahead.fits(one.words):
            vectors[position] = ahead.embed([one.words])[0]
    return vectors


def _best_of(points: Sequence[OperatingPoint], max_error: float) -> OperatingPoint | None:
    """Return the point of the highest hit rate within the bound; None where nothing is served within it."""
    allowed = [point for point in points if point.error_rate <= max_error and point.hit_rate > 0]
    return max(allowed, key=lambda point: (point.hit_rate, -point.error_rate), default=None)

"""From labelled pairs to scores: each pair goes through the shipped rules, and a few numbers of it are kept.

Pairs are taken in chunks: their texts and vectors are gone before the next chunk is read, so that memory grows by
about 30 bytes a pair (150 while components are found) and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.cache import SemanticCache
from semroute.config import Settings
from semroute.entry import Answer, Candidate
from semroute.errors import ConfigError
from semroute.evaluation.flows import Flows, LoneRecords, open_policy, plain_request
from semroute.evaluation.vectors import AheadEmbedder
from semroute.guards import verdicts_of
from semroute.guards.lexical import lexical_guards
from semroute.policy import Policy
from semroute.request import fold
from semroute.result import Hit
from semroute.tuning.components import components
from semroute.tuning.scored import Fate, ScoredPairs, cell_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.guards import Estimator
    from semroute.tuning.reading import LabelledPair

CHUNK: Final = 2_048
"""Pairs in memory at once: enough that texts which come back soon are embedded once."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scored pairs, with the digests of their questions."""

    pairs: ScoredPairs
    stored: NDArray[np.uint64]
    asked: NDArray[np.uint64]

    def on_both_sides(self, learning: NDArray[np.int64], testing: NDArray[np.int64]) -> int:
        """Return how many distinct questions stand on both sides of a split."""
        one, other = (np.unique(np.concatenate([self.stored[side], self.asked[side]])) for side in (learning, testing))
        return len(np.intersect1d(one, other, assume_unique=True))


def score_pairs(
    pairs: Iterable[LabelledPair],
    n: int,
    embedder: Embedder,
    verifier: Estimator | None = None,
    *,
    has_groups: bool = False,
    has_weights: bool = False,
    base: Policy | None = None,
) -> Scored:
    """Score n pairs, the candidates by a verifier as well where one stands that goes with the embedder.

    Pairs of one group are a unit, or without groups those that share a question, however far apart. Raises ConfigError
    when there are more or fewer than n, and EmbedderError.
    """
    kept = _Columns(n, verifier is not None, has_groups, has_weights)
    scorer = _Scorer(embedder, verifier, Policy() if base is None else base)
    start = 0
    for chunk in _chunks(pairs):
        if start + len(chunk) > n:
            raise ConfigError(f"the file grew while it was read: it held {n} rows")
        scorer.score(chunk, kept, start)
        start += len(chunk)
    if start < n:
        raise ConfigError(f"the file shrank while it was read: it held {n} rows, then {start}")
    unit = components(kept.stored, kept.asked) if kept.group is None else np.unique(kept.group, return_inverse=True)[1]
    scored = ScoredPairs(
        similarity=kept.similarity,
        is_right=kept.is_right,
        passes_guards=kept.passes_guards,
        p_reusable=kept.p_reusable,
        fate=kept.fate,
        cell=kept.cell,
        unit=unit.astype(np.int64),
        weight=kept.weight,
    )
    return Scored(scored, kept.stored, kept.asked)


def shipped_verifier(embedder: Embedder) -> Estimator | None:
    """Return the verifier that a cache with this embedder asks as it ships, or None. Raises EmbedderError."""
    verifier = SemanticCache("memory://", embedder=embedder, settings=Settings()).rules.verifier
    return verifier if verifier is not None and verifier.embedder in (None, embedder.identity) else None


class _Columns:
    """The numbers that are kept of each pair."""

    def __init__(self, n: int, has_verifier: bool, has_groups: bool, has_weights: bool) -> None:
        self.similarity = np.zeros(n, np.float32)
        self.p_reusable = np.zeros(n, np.float32) if has_verifier else None
        self.passes_guards = np.zeros(n, np.bool_)
        self.is_right = np.zeros(n, np.bool_)
        self.fate = np.full(n, Fate.NEVER, np.uint8)
        self.cell = np.zeros(n, np.uint8)
        self.weight = np.ones(n, np.float64) if has_weights else None
        self.stored = np.zeros(n, np.uint64)
        self.asked = np.zeros(n, np.uint64)
        self.group = np.zeros(n, np.uint64) if has_groups else None


class _Scorer:
    def __init__(self, embedder: Embedder, verifier: Estimator | None, base: Policy) -> None:
        self._embedder = embedder
        self._verifier = verifier
        self._base = base
        self._guards = lexical_guards()

    def score(self, chunk: Sequence[LabelledPair], kept: _Columns, start: int) -> None:
        """Score one chunk, and keep its numbers from a position on."""
        ahead = AheadEmbedder(self._embedder)
        ahead.prepare(text for pair in chunk for text in (pair.stored, pair.asked))
        records = LoneRecords()
        flows = Flows(records, ahead, open_policy())
        # The gate is wide open and nothing looks: what is left is the similarity of what could be served.
        flows.rules = replace(flows.rules, guards=(), verifier=None)
        for position, pair in enumerate(chunk, start=start):
            kept.is_right[position] = pair.is_right
            kept.stored[position], kept.asked[position] = _digest(fold(pair.stored)), _digest(fold(pair.asked))
            if kept.weight is not None:
                kept.weight[position] = pair.weight
            if kept.group is not None:
                kept.group[position] = 0 if pair.group is None else _digest(pair.group)
            records.forget()
            flows.update(flows.ask(plain_request(pair.stored)), Answer("the answer"))
            result = flows.lookup(flows.ask(plain_request(pair.asked)))
            if isinstance(result, Hit):
                self._keep(pair, result, kept, position)

    def _keep(self, pair: LabelledPair, hit: Hit, kept: _Columns, position: int) -> None:
        why = hit.explanation
        if why.tier != "l2" or why.similarity is None or why.decision is None:
            kept.fate[position] = Fate.ALWAYS
            return
        query, candidate = fold(pair.asked), Candidate("", fold(pair.stored), why.similarity)
        kept.fate[position] = Fate.GATED
        kept.cell[position] = cell_of(why.decision, self._base.min_confidence)
        kept.similarity[position] = why.similarity
        kept.passes_guards[position] = all(one.passed for one in verdicts_of(self._guards, query, candidate))
        if self._verifier is not None and kept.p_reusable is not None:
            told = self._verifier.check(query, candidate).p_reusable
            kept.p_reusable[position] = 0.0 if told is None else told


def _chunks(pairs: Iterable[LabelledPair]) -> Iterator[list[LabelledPair]]:
    rest = iter(pairs)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")

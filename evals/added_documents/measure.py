"""How near the added documents are to the questions, and what rules make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from evals.added_documents.sets import Corpus, Document
from semroute.documents.nearness import passages

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder

Matrix: TypeAlias = "NDArray[np.float32]"
Drops: TypeAlias = "NDArray[np.bool_]"
Rows: TypeAlias = "NDArray[np.float32] | NDArray[np.bool_] | NDArray[np.int64]"
"""Counts or shares, a row for each document or answer."""

TOP_K: Final = 2
"""How many documents an answer was made from: what a LlamaIndex retriever returns unless told otherwise."""
_SAMPLES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One corpus in figures; a row of a matrix for each question, a column for each added document."""

    corpus: Corpus
    whole: Matrix
    """Cosine of the question to the whole document."""
    best: Matrix
    """The greatest cosine of the question to a passage of the document."""
    score: Matrix
    """One column: the greatest cosine of the question to one of the whole documents its answer was made from."""
    reach: Matrix
    """One column: likewise to their passages."""
    last: Matrix
    """One column: the cosine of the question to the least of those documents, which a new one has to pass."""
    changed: Drops

    @property
    def unchanged(self) -> Drops:
        """The questions whose answers no added document changes."""
        never: Drops = np.logical_not(np.any(self.changed, axis=1))
        return never


Rule: TypeAlias = Callable[[Measured], Drops]


def measure(corpus: Corpus, embedder: Embedder) -> Measured:
    """Embed a corpus with its questions, and compare."""
    questions = embedder.embed([question.text for question in corpus.questions])
    whole = _compared(questions, corpus.documents, embedder, _whole)
    by_passage = _compared(questions, corpus.documents, embedder, passages)
    sources = np.argsort(-whole, axis=1)[:, :TOP_K]
    return Measured(
        corpus,
        whole=_compared(questions, corpus.added, embedder, _whole),
        best=_compared(questions, corpus.added, embedder, passages),
        score=np.take_along_axis(whole, sources, axis=1).max(axis=1, keepdims=True),
        reach=np.take_along_axis(by_passage, sources, axis=1).max(axis=1, keepdims=True),
        last=np.take_along_axis(whole, sources, axis=1).min(axis=1, keepdims=True),
        changed=np.array([[question.id in one.changes for one in corpus.added] for question in corpus.questions]),
    )


def plain(similarities: Callable[[Measured], Matrix], at_least: float) -> Rule:
    """Return the rule of one threshold for all questions."""
    return lambda measured: similarities(measured) >= at_least


def shared(reach: Callable[[Measured], Matrix], share: float) -> Rule:
    """Return the rule that asks for a share of what the sources of the answer come to themselves."""
    return lambda measured: measured.best >= share * reach(measured)


def found_again(rule: Rule) -> Rule:
    """Return a rule that removes of what another one does only those answers whose retriever finds the document."""
    return lambda measured: rule(measured) & (measured.whole > measured.last)


def everything(measured: Measured) -> Drops:
    """Drop all answers of the corpus, whatever is added."""
    return np.ones_like(measured.changed)


def caught(half: Sequence[Measured], rule: Rule) -> Rows:
    """Return for each added document how many of the answers it changes are dropped, and how many it changes."""
    return np.array(
        [
            (np.count_nonzero(drops & changed), np.count_nonzero(changed))
            for measured in half
            for drops, changed in zip(rule(measured).T, measured.changed.T, strict=True)
        ]
    )


def others_a_document(half: Sequence[Measured], rule: Rule) -> Rows:
    """Return for each added document the share of the answers it does not change that are dropped."""
    return np.array(
        [
            np.count_nonzero(drops & ~changed) / np.count_nonzero(~changed)
            for measured in half
            for drops, changed in zip(rule(measured).T, measured.changed.T, strict=True)
        ]
    )


def others_at_once(half: Sequence[Measured], rule: Rule) -> Drops:
    """Return for each answer that no document changes whether one of those added to its corpus drops it."""
    return np.concatenate([np.any(rule(measured), axis=1)[measured.unchanged] for measured in half])


def others_by_count(half: Sequence[Measured], rule: Rule, counts: Sequence[int]) -> dict[int, float]:
    """Return the share of unchanged answers that are dropped when so many documents are added to a corpus at once."""
    random = np.random.default_rng(0)
    shares: dict[int, list[float]] = {count: [] for count in counts}
    for measured in half:
        drops, changed = rule(measured), measured.changed
        for count in counts:
            for _ in range(100):
                some = random.choice(drops.shape[1], count, replace=False)
                others = ~changed[:, some].any(axis=1)
                shares[count].append(float(drops[others][:, some].any(axis=1).mean()))
    return {count: float(np.mean(found)) for count, found in shares.items()}


def interval(rows: Rows, figure: Callable[[Rows], float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a figure over rows: documents, or answers."""
    random = np.random.default_rng(0)
    figures = [figure(rows[random.integers(0, len(rows), len(rows))]) for _ in range(_SAMPLES)]
    low, high = np.quantile(figures, (0.025, 0.975))
    return float(low), float(high)


def ratio(rows: Rows) -> float:
    """Return the sum of the first column as a share of that of the second."""
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def mean(rows: Rows) -> float:
    """Return the mean."""
    return float(rows.mean())


def by_kind(half: Sequence[Measured], rows: Rows) -> Mapping[str, Rows]:
    """Part the rows of the added documents by their kind."""
    kinds = np.array([one.kind for measured in half for one in measured.corpus.added])
    return {str(kind): rows[kinds == kind] for kind in dict.fromkeys(kinds)}


def _whole(content: str, fits: Callable[[str], bool]) -> list[str]:
    """Return a document as one text, without the last words of one that is too long."""
    words = content.split()
    while not fits(" ".join(words)):
        words.pop()
    return [" ".join(words)]


def _compared(
    questions: Matrix,
    documents: Sequence[Document],
    embedder: Embedder,
    parts: Callable[[str, Callable[[str], bool]], list[str]],
) -> Matrix:
    """Return the greatest cosine of each question to a part of each document; shape (questions, documents)."""
    parted = [parts(document.content, embedder.fits) for document in documents]
    vectors = embedder.embed([part for document in parted for part in document])
    starts = np.cumsum([0, *map(len, parted[:-1])])
    greatest: Matrix = np.maximum.reduceat(questions @ vectors.T, starts, axis=1)
    return greatest

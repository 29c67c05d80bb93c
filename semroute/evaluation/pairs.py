"""Labelled pairs: is a stored question served for another one, and should it be?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semroute.entry import Answer
from semroute.evaluation.flows import Flows, LoneRecords, open_policy, plain_request, score_of
from semroute.evaluation.metrics import PairOutcome
from semroute.evaluation.tables import Row, Texts, label_of, text_of
from semroute.evaluation.vectors import AheadEmbedder, Track, untracked
from semroute.result import Bypass, Hit

if TYPE_CHECKING:
    from semroute.embedders import Embedder
    from semroute.gate import Policy
    from semroute.guards import Estimator


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions: the first is stored, the second asked."""

    stored: str
    asked: str
    is_positive: bool = True
    group: str | None = None


def pairs_of(
    rows: Sequence[Row], *, q1: str, q2: str, label: str | None, group: str | None = None, texts: Texts | None = None
) -> list[Pair]:
    """Read pairs out of rows; without a label column all are positive. Raises ConfigError."""

    def question(row: Row, column: str) -> str:
        return text_of(row, column) if texts is None else texts.of(row, column)

    return [
        Pair(
            stored=question(row, q1),
            asked=question(row, q2),
            is_positive=True if label is None else label_of(row, label),
            group=None if group is None else text_of(row, group),
        )
        for row in rows
    ]


def evaluate_pairs(
    pairs: Sequence[Pair],
    embedder: Embedder,
    policy: Policy,
    track: Track = untracked,
    verifier: Estimator | None = None,
) -> list[PairOutcome]:
    """Store the first question of each pair in a fresh context and ask the second, by the rules as shipped;
    `verifier` may stand for the one that ships.

    The score of a pair is P(reusable), or its similarity where no verifier stands, when the flow would serve it under
    a gate that is wide open, which means that every guard passed, else 0; a request that bypasses the cache scores 0
    and counts as a miss. The same words score 1.0: the exact tier serves them.
    """
    ahead = AheadEmbedder(embedder)
    ahead.prepare((text for pair in pairs for text in (pair.stored, pair.asked)), track)
    records = LoneRecords()
    flows = Flows(records, ahead, policy, verifier)
    wide_open = flows.under(open_policy())
    outcomes: list[PairOutcome] = []
    for number, pair in enumerate(track(pairs, "asking")):
        records.forget()
        namespace = f"pair {number}"
        flows.update(flows.ask(plain_request(pair.stored, namespace=namespace)), Answer(f"answer {number}"))
        asked = flows.ask(plain_request(pair.asked, namespace=namespace))
        result, score = flows.lookup(asked), score_of(wide_open.lookup(asked))
        outcomes.append(
            PairOutcome(pair.is_positive, isinstance(result, Hit), isinstance(result, Bypass), score, pair.group)
        )
    return outcomes

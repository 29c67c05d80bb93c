"""What probabilities bring when the shipped flow serves by them: figures per set, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semroute.entry import Answer, Candidate
from semroute.evaluation.flows import Flows, LoneRecords, plain_request
from semroute.evaluation.metrics import (
    PairFigures,
    PairOutcome,
    best_pair_point,
    expected_calibration_error,
    reliability,
)
from semroute.evaluation.vectors import AheadEmbedder, Track
from semroute.policy import Policy
from semroute.request import fold
from semroute.result import Bypass, Hit, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.entry import JSON

LabelledTexts = tuple[str, str, bool]


class Foretold:
    """An estimator that knows the probability of every pair before it is asked: those of the folds."""

    name = "verifier"
    embedder = None
    digest = "out of fold"

    def __init__(self, told: Mapping[tuple[str, str], float]) -> None:
        self._told = told

    def check(self, query: str, candidate: Candidate) -> Verdict:
        """Return the probability that was foretold for the pair."""
        return Verdict(self.name, True, p_reusable=self._told[candidate.query, query])


@dataclass(frozen=True, slots=True)
class SetFigures:
    """The figures of one set at the operating point."""

    n: int
    positives: int
    hit_rate: float | None
    false_hit_rate: float | None
    p_chr_auc: float | None
    best_hits_1: float | None
    """The highest hit rate at a false-hit rate of at most 1 %, over all thresholds of P(reusable)."""
    best_hits_5: float | None
    """The same at 5 %."""
    ece: float | None
    """Over all pairs, 10 bins."""


@dataclass(frozen=True, slots=True)
class Table:
    """The figures of every set."""

    least_p: float
    least_similarity: float
    sets: Mapping[str, SetFigures]

    def as_json(self) -> dict[str, JSON]:
        """Return the figures by set, rounded to what the sizes of the sets can tell."""
        return {
            name: {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(one).items()}
            for name, one in self.sets.items()
        }

    def page(self, left_out: Table | None) -> str:
        """Return the figures as a table in Markdown, with those of fits that never saw the set beside them."""
        head = ["set", "pairs", "hit rate", "false-hit rate", "P-CHR AUC", "hits at <= 1 %", "at <= 5 %", "ECE"]
        head += [] if left_out is None else ["hit rate, set left out", "false-hit rate, set left out"]
        lines = [head, ["---"] * len(head)]
        for name, one in self.sets.items():
            line = [
                name,
                f"{one.n:,}",
                *map(
                    _said, (one.hit_rate, one.false_hit_rate, one.p_chr_auc, one.best_hits_1, one.best_hits_5, one.ece)
                ),
            ]
            if left_out is not None:
                other = left_out.sets.get(name)
                line += ["–", "–"] if other is None else map(_said, (other.hit_rate, other.false_hit_rate))
            lines.append(line)
        point = f"P(reusable) >= {self.least_p:g} and similarity >= {self.least_similarity:g}\n\n"
        return point + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def operating_points(tables: Sequence[Table]) -> str:
    """Return hit rate / false-hit rate of each set at several operating points as a table in Markdown."""
    sets = list(tables[0].sets)
    lines = [["P(reusable)", *sets], ["---"] * (len(sets) + 1)]
    for table in tables:
        rates = [(one.hit_rate, one.false_hit_rate) for one in table.sets.values()]
        said = [" / ".join(f"{rate:.4f}" for rate in both if rate is not None) for both in rates]
        lines.append([f"{table.least_p:g}", *said])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measure(
    pairs: Sequence[LabelledTexts],
    names: NDArray[np.str_],
    p: NDArray[np.float64],
    embedder: Embedder,
    least_p: float,
    least_similarity: float,
    track: Track,
) -> Table:
    """Send every pair through the shipped flow, which serves by the probabilities and the similarity."""
    policy = replace(
        Policy(),
        version="operating point",
        verified_threshold=least_similarity,
        floor=min(Policy().floor, least_similarity),
        min_p_reusable=least_p,
        verified_requires_guards=False,
    )
    ahead = AheadEmbedder(embedder)
    ahead.prepare(text for pair in pairs for text in pair[:2])
    records = LoneRecords()
    flows = Flows(records, ahead, policy)
    told = {(fold(pair[0]), fold(pair[1])): float(one) for pair, one in zip(pairs, p, strict=True)}
    flows.rules = replace(flows.rules, verifier=Foretold(told))
    outcomes = []
    for (stored, asked, is_right), one in zip(track(pairs, "asking"), p.tolist(), strict=True):
        records.forget()
        flows.update(flows.ask(plain_request(stored)), Answer("the answer"))
        result = flows.lookup(flows.ask(plain_request(asked)))
        # The exact tier serves the same words whatever a verifier would say of them.
        score = 1.0 if isinstance(result, Hit) and result.explanation.tier == "l1" else one
        outcomes.append(PairOutcome(is_right, isinstance(result, Hit), isinstance(result, Bypass), score))
    by_set = {
        str(name): [outcome for outcome, other in zip(outcomes, names, strict=True) if other == name]
        for name in dict.fromkeys(names.tolist())
    }
    return Table(least_p, least_similarity, {name: _figures(of_set) for name, of_set in by_set.items()})


def _figures(outcomes: Sequence[PairOutcome]) -> SetFigures:
    found = PairFigures.of(outcomes)
    scores, labels = [one.score for one in outcomes], [one.is_positive for one in outcomes]
    ece = expected_calibration_error(reliability(scores, labels))
    best = [best_pair_point(scores, labels, bound) for bound in (0.01, 0.05)]
    at_1, at_5 = (None if point is None else point.hit_rate for point in best)
    return SetFigures(found.n, found.positives, found.hit_rate, found.false_hit_rate, found.p_chr_auc, at_1, at_5, ece)


def _said(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.4f}"

"""`semroute tune`: from labelled pairs and an error budget to a policy file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, check_out, page, print_json, progress, waiting
from semroute.cli.evaluate import FileArgument, VerifierOption, usage_errors

if TYPE_CHECKING:
    from semroute.evaluation.tables import Texts
    from semroute.guards.verifier import Verifier
    from semroute.policy import Policy
    from semroute.tuning.reading import Columns
    from semroute.tuning.scoring import Scored
    from semroute.tuning.tune import CannotPromise, Tuning


_BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Bounds on the error rate that may be advised."""


@if_interrupted("no policy was written, and what was there before is there still: the same call begins anew")
def tune_command(
    file: FileArgument,
    q1: Annotated[str, typer.Option("--q1", metavar="C", help="Column of the question that is stored.")],
    q2: Annotated[str, typer.Option("--q2", metavar="C", help="Column of the question that is asked.")],
    label: Annotated[str, typer.Option("--label", metavar="C", help="Column of labels, 1 (right answer) or 0.")],
    max_error: Annotated[
        float, typer.Option("--max-error", metavar="D", help="Bound on wrong hits / all requests, such as 0.01.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="POLICY", help="The policy file to write (JSON).")],
    confidence: Annotated[float, typer.Option("--confidence", help="How often the promise is to hold.")] = 0.95,
    texts: Annotated[
        str | None, typer.Option("--texts", metavar="FILE:ID:TEXT", help="Where --q1 and --q2 hold ids: their texts.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="C", help="Column of what must stay on one side of every split.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option("--weight", metavar="C", help="Column of how many requests a pair stands for.")
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests", metavar="N", help="Promise it for the next N requests (default: as many as pairs stand for)."
        ),
    ] = None,
    verifier: VerifierOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the policy with the most hits whose error rate is promised to stay within a bound on new requests."""
    from semroute.evaluation.tables import Texts
    from semroute.guards.verifier import Verifier
    from semroute.policy_file import write_policy
    from semroute.tuning.reading import Columns
    from semroute.tuning.tune import LEARNING_SHARE, CannotPromise, split

    columns, wanted = Columns(q1, q2, label, group, weight), _Wanted(max_error, confidence, requests)
    with usage_errors():
        wanted.check()
        check_out(out)
        joined = None if texts is None else Texts.read(texts)
        own = None if verifier is None else Verifier.load(verifier)
        n = _count(file, columns)
    try:
        if weight is None:
            wanted.check_size(n)
        scored, parts = _score(file, columns, joined, n, own)
        tuned = _tune(scored, parts, wanted, out.stem)
    except CannotPromise as error:
        if as_json:
            print_json(_refusal(wanted, n, error))
        if error.needed is None:  # its message says already what to do
            raise
        advice = wanted.way_out(n, error.needed, weight)
        raise CannotPromise(f"{error}; {advice}", error.needed) from error
    write_policy(tuned.policy, out)
    both = scored.on_both_sides(*split(scored.pairs, LEARNING_SHARE, 0))
    if as_json:
        print_json({"out": str(out), **_figures(tuned), "questions_on_both_sides": both})
    else:
        _print(tuned, out, both, verifier)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The promise that is asked for."""

    max_error: float
    confidence: float
    requests: int | None
    """None: as many as the pairs stand for."""

    def check(self) -> None:
        """Raise ConfigError for what cannot be promised."""
        from semroute.tuning.tune import check_terms

        check_terms(self.max_error, self.confidence, self.requests)

    def check_size(self, n: int) -> None:
        """Raise TooFewPairs where n pairs cannot be enough for it."""
        from semroute.tuning.tune import check_size

        check_size(n, self.max_error, self.confidence, self.requests)

    def way_out(self, n: int, needed: int, weight: str | None) -> str:
        """Say what to do where there are n pairs, some in a column with their weights, and more are needed."""
        from semroute.tuning.bounds import pairs_needed
        from semroute.tuning.tune import LEARNING_SHARE

        more = f"label {needed - n:,} more (`semroute review` asks about those that tell most)"

        def needs(max_error: float) -> float:
            share = 1.0 - LEARNING_SHARE
            at_least = pairs_needed(max_error, self.confidence, share=share, requests=self.requests)
            return math.inf if at_least is None else at_least

        # Of pairs with weights, or in clusters, their number alone does not tell what they can promise.
        if weight is not None or needs(self.max_error) <= n:
            return f"{more}, or allow more with --max-error"
        within = next((bound for bound in _BOUNDS if bound > self.max_error and needs(bound) <= n), None)
        return more if within is None else f"{more}, or allow more: {n:,} can do for --max-error {within:g}"


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts that a policy is tuned with, by their identities."""

    embedder: str
    verifier: str | None


def _count(file: Path, columns: Columns) -> int:
    from semroute.tuning.reading import survey

    with waiting(f"reading {file.name}"):
        return survey(file, columns).n


def _score(file: Path, columns: Columns, texts: Texts | None, n: int, own: Verifier | None) -> tuple[Scored, _Parts]:
    """Score the pairs of a file with the parts that a cache has as it ships, or with a verifier of one's own."""
    from semroute.embedders.onnx import OnnxEmbedder
    from semroute.tuning.reading import each_pair
    from semroute.tuning.scoring import score_pairs, shipped_verifier

    embedder = OnnxEmbedder()
    with usage_errors():
        if own is not None:
            own.require(embedder.identity)
        verifier = shipped_verifier(embedder) if own is None else own
        pairs = progress(each_pair(file, columns, texts), "embedding and asking", n)
        scored = score_pairs(
            pairs,
            n,
            embedder,
            verifier,
            has_groups=columns.group is not None,
            has_weights=columns.weight is not None,
        )
    return scored, _Parts(embedder.identity, None if verifier is None else verifier.digest)


def _tune(scored: Scored, parts: _Parts, wanted: _Wanted, name: str) -> Tuning:
    from semroute.tuning.tune import tune

    with waiting("tuning"):
        return tune(
            scored.pairs,
            max_error=wanted.max_error,
            confidence=wanted.confidence,
            requests=wanted.requests,
            name=name,
            embedder=parts.embedder,
            verifier=parts.verifier,
        )


def _refusal(wanted: _Wanted, n: int, error: CannotPromise) -> dict[str, object]:
    return {
        "policy": None,
        "max_error": wanted.max_error,
        "confidence": wanted.confidence,
        "n": n,
        "n_needed": error.needed,
        "reason": str(error),
    }


def _figures(tuned: Tuning) -> dict[str, object]:
    promise = tuned.promise
    return {
        "policy": asdict(tuned.policy),
        "max_error": promise.max_error,
        "confidence": promise.confidence,
        "requests": promise.requests,
        "error_rate": promise.error_rate,
        "error_bound": tuned.error_bound,
        "hit_rate": promise.hit_rate,
        "right_hits": tuned.right_hits,
        "n": tuned.n,
        "positives": tuned.positives,
        "learned_on": tuned.learned_on,
        "tested_on": promise.n,
        "effective_n": tuned.effective_n,
        "n_needed": None,
        "is_approximate": tuned.is_approximate,
    }


def _print(tuned: Tuning, out: Path, both: int, verifier: Path | None) -> None:
    page().print(_cells(tuned.policy))
    for line in (*_promised(tuned, both), f"Written to {out}.", *_usage(out, verifier)):
        page().print(line, markup=False, emoji=False, soft_wrap=True)


def _cells(policy: Policy) -> Table:
    table = Table(title=f"policy {policy.version}")
    for column in ("requests", "similarity", "P(reusable)", "lexical guards"):
        table.add_column(column, justify="left" if column == "requests" else "right")
    for cell in policy.cells:
        table.add_row(
            f"{cell.strategy}, router {'sure' if cell.is_sure else 'unsure'}",
            f">= {cell.threshold:g}",
            "–" if cell.min_p_reusable is None else f">= {cell.min_p_reusable:g}",
            "must pass" if cell.requires_guards else "not asked",
        )
    return table


def _promised(tuned: Tuning, both: int) -> tuple[str, ...]:
    """Say what is promised and what to expect; `both` questions stand on both sides of the split."""
    promise = tuned.promise
    expected = f"{promise.hit_rate:.4f} of all requests, on {tuned.right_hits:.4f} of those with a right answer"
    sides = f"{both:,} questions stand on both sides" if both else "no question stands on both sides"
    approximate = (
        ("The labels have weights, so this is approximate and no exact bound.",) if tuned.is_approximate else ()
    )
    return (
        f"Promise with confidence {promise.confidence:g}: at most {promise.max_error:g} of all requests are wrong hits",
        f"in the long run, and among the next {promise.requests:,} requests that are like these pairs.",
        *approximate,
        f"Expect hits on {expected}.",
        f"Measured error rate {promise.error_rate:.4f}, upper bound {tuned.error_bound:.4f}.",
        f"{tuned.n:,} pairs: {tuned.learned_on:,} chose the path, {promise.n:,} tested it; {sides}.",
    )


def _usage(out: Path, verifier: Path | None) -> tuple[str, ...]:
    """Say with which verifier the policy holds, where that is one of the user's own."""
    if verifier is None:
        return ()
    return (
        "It holds with this verifier only, and where that was fitted on other pairs than these:",
        f"SemanticCache(policy={str(out)!r}, verifier={str(verifier)!r})",
    )

"""`semroute eval`: the rules measured on labelled questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, UsageError, page, print_json, progress, there
from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.evaluation.metrics import PairFigures
    from semroute.evaluation.stream import Point
    from semroute.gate import Policy

T = TypeVar("T")

app = typer.Typer(help="Measure the rules on labelled questions.", no_args_is_help=True)

_NOTHING_KEPT = "nothing was measured to the end, and nothing is kept: the same call begins anew"
DEFAULT_MAX_ERRORS = (0.005, 0.01, 0.02, 0.03, 0.05)


class InsertWhen(StrEnum):
    """Which requests of a stream are stored."""

    ALWAYS = "always"
    MISS = "miss"


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="CSV, CSV.gz, JSONL or JSONL.gz.", callback=there)]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy", metavar="P", help="A threshold in [0, 1], or a JSON file; default: the policy as shipped."
    ),
]
VerifierOption = Annotated[
    Path | None,
    typer.Option("--verifier", metavar="FILE", help="A verifier (`semroute verifier train`); default: as shipped."),
]
LimitOption = Annotated[int | None, typer.Option("--limit", metavar="N", help="Take the first N rows only.")]


@app.command()
@if_interrupted(_NOTHING_KEPT)
def pairs(
    file: FileArgument,
    q1: Annotated[str, typer.Option("--q1", metavar="C", help="Column of the question that is stored.")],
    q2: Annotated[str, typer.Option("--q2", metavar="C", help="Column of the question that is asked.")],
    label: Annotated[
        str | None, typer.Option("--label", metavar="C", help="Column of labels, 1 or 0; without it all are 1.")
    ] = None,
    texts: Annotated[
        str | None, typer.Option("--texts", metavar="FILE:ID:TEXT", help="Where --q1 and --q2 hold ids: their texts.")
    ] = None,
    group: Annotated[str | None, typer.Option("--group", metavar="C", help="Also figures per value of C.")] = None,
    policy: PolicyOption = None,
    verifier: VerifierOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store one question of each pair in a fresh context, ask the other, and count what is served."""
    from semroute.embedders.onnx import OnnxEmbedder
    from semroute.evaluation.metrics import PairFigures
    from semroute.evaluation.pairs import evaluate_pairs, pairs_of
    from semroute.evaluation.policies import read_policy
    from semroute.evaluation.tables import Texts, read_rows
    from semroute.guards.verifier import Verifier

    embedder = OnnxEmbedder()
    with usage_errors():
        chosen = read_policy(policy)
        own = None if verifier is None else Verifier.load(verifier, embedder=embedder.identity)
        columns = {column for column in (q1, q2, label, group) if column is not None}
        joined = None if texts is None else Texts.read(texts)
        rows = read_rows(file, columns=columns, limit=limit)
        asked = pairs_of(rows, q1=q1, q2=q2, label=label, group=group, texts=joined)
    outcomes = evaluate_pairs(asked, embedder, chosen, _track, own)
    overall = PairFigures.of(outcomes)
    names = sorted({outcome.group for outcome in outcomes if outcome.group is not None})
    groups = {name: PairFigures.of([o for o in outcomes if o.group == name]) for name in names}
    if as_json:
        by_group = {} if group is None else {"groups": {name: asdict(figures) for name, figures in groups.items()}}
        print_json({**asdict(overall), **_needs_of(chosen), **by_group})
        return
    _print_pairs({**groups, "all": overall}, f"{file.name}, policy {chosen.version}")


@app.command()
@if_interrupted(_NOTHING_KEPT)
def conversations(
    file: FileArgument,
    turns: Annotated[
        Path | None,
        typer.Option("--turns", metavar="FILE", help="FILE holds pairs (id_a, id_b) of the turns in this one."),
    ] = None,
    history: Annotated[str, typer.Option("--history", metavar="C", help="Column of the earlier turns.")] = "history",
    query: Annotated[
        str | None, typer.Option("--query", metavar="C", help="Column of the words (query; utterance with --turns).")
    ] = None,
    answer_class: Annotated[
        str, typer.Option("--class", metavar="C", help="Column of what tells which turns share an answer.")
    ] = "answer_class",
    policy: PolicyOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send conversations through one cache, and count answers served after other earlier turns.

    With --turns, each pair stands alone: turn id_a is stored, turn id_b asked.
    """
    from semroute.embedders.onnx import OnnxEmbedder
    from semroute.evaluation import conversations as protocol
    from semroute.evaluation.policies import read_policy
    from semroute.evaluation.tables import read_rows

    embedder = OnnxEmbedder()
    if turns is None:
        words = "query" if query is None else query
        with usage_errors():
            chosen = read_policy(policy)
            rows = read_rows(file, columns={history, words, answer_class}, limit=limit)
            asked = protocol.turns_of(rows, history=history, query=words, answer_class=answer_class)
        figures = protocol.evaluate_turns(asked, embedder, chosen, _track)
    else:
        words = "utterance" if query is None else query
        with usage_errors():
            chosen = read_policy(policy)
            rows = read_rows(file, columns={"id_a", "id_b"}, limit=limit)
            named = read_rows(turns, columns={"id", history, words})
            pairs_asked = protocol.turn_pairs_of(rows, named, history=history, query=words)
        figures = protocol.evaluate_turn_pairs(pairs_asked, embedder, chosen, _track)
    _print_figures({**asdict(figures), **_needs_of(chosen)}, as_json)


@app.command()
@if_interrupted(_NOTHING_KEPT)
def stream(
    file: FileArgument,
    text: Annotated[str, typer.Option("--text", metavar="C", help="Column of the question.")],
    answer_class: Annotated[
        str, typer.Option("--class", metavar="C", help="Column of what tells which questions share an answer.")
    ],
    insert: Annotated[InsertWhen, typer.Option("--insert", help="Store every request, or those that missed.")] = (
        InsertWhen.ALWAYS
    ),
    max_errors: Annotated[
        list[float] | None,
        typer.Option("--max-error", metavar="D", min=0.0, max=1.0, help="A bound on wrong hits / all requests."),
    ] = None,
    policy: PolicyOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a stream through an empty cache in the order of the file: hit rate against error rate."""
    from semroute.embedders.onnx import OnnxEmbedder
    from semroute.evaluation import stream as protocol
    from semroute.evaluation.policies import read_policy
    from semroute.evaluation.tables import read_rows

    with usage_errors():
        chosen = read_policy(policy)
        rows = read_rows(file, columns={text, answer_class}, limit=limit)
        questions = protocol.questions_of(rows, text=text, answer_class=answer_class)
    bounds = max_errors if max_errors else DEFAULT_MAX_ERRORS
    points = protocol.evaluate_stream(questions, bounds, OnnxEmbedder(), chosen, insert=insert.value, track=_track)
    if as_json:
        print_json(
            {
                "n": len(questions),
                "insert": insert.value,
                **_needs_of(chosen),
                "points": [asdict(point) for point in points],
            }
        )
        return
    _print_points(points, f"{file.name}, {len(questions)} requests, insert {insert.value}, policy {chosen.version}")


def _needs_of(policy: Policy) -> dict[str, object]:
    """Return what a hit needs: behind the verifier that ships, and by the lexical guards alone."""
    return {
        "policy": policy.version,
        "threshold": policy.threshold,
        "verified_threshold": policy.verified_threshold,
        "min_p_reusable": policy.min_p_reusable,
    }


@contextmanager
def usage_errors() -> Iterator[None]:
    """Report what is wrong with the arguments or with the files they name as a wrong call."""
    try:
        yield
    except ConfigError as error:
        raise UsageError(str(error)) from error


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


def _print_figures(figures: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print_json(figures)
        return
    table = Table.grid(padding=(0, 2))
    for name, value in figures.items():
        table.add_row(name, _shown(value))
    page().print(table)


def _print_pairs(figures: Mapping[str, PairFigures], title: str) -> None:
    table = Table(title=title)
    columns = ("n", "positives", "hit_rate", "false_hit_rate", "precision", "p_chr_auc", "bypasses")
    table.add_column("")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for name, of_group in figures.items():
        table.add_row(name, *(_shown(getattr(of_group, column)) for column in columns))
    page().print(table)


def _print_points(points: Sequence[Point], title: str) -> None:
    table = Table(title=title)
    for column in ("error at most", "score", "hit rate", "error rate", "precision"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for point in points:
        for name in ("best", "static", "promised"):
            at = getattr(point, name)
            figures = ("–", "–", "–") if at is None else (at.hit_rate, at.error_rate, at.precision)
            table.add_row(_shown(point.max_error), name, *(_shown(figure) for figure in figures))
        table.add_section()
    page().print(table)


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)

"""`semroute verifier`: fit the learned verifier to questions of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, UsageError, check_out, page, print_json, progress
from semroute.cli.evaluate import FileArgument, usage_errors
from semroute.guards._verifier_file import FILE_NAME

if TYPE_CHECKING:
    from semroute.entry import JSON
    from semroute.guards.verifier import Verifier
    from semroute.tuning.verifier_training import LabelledTexts, TrainedVerifier

T = TypeVar("T")

app = typer.Typer(help="Fit the learned verifier to your own questions.", no_args_is_help=True)

_MEASURES: Final = ("log_loss", "ece", "auc")


@app.callback()
def verifier() -> None:
    """Fit the learned verifier to your own questions."""


@app.command()
@if_interrupted("no verifier was written, and what was there before is there still: the same call begins anew")
def train(
    file: FileArgument,
    q1: Annotated[str, typer.Option("--q1", metavar="C", help="Column of the question that is stored.")],
    q2: Annotated[str, typer.Option("--q2", metavar="C", help="Column of the question that is asked.")],
    label: Annotated[str, typer.Option("--label", metavar="C", help="Column of labels, 1 (right answer) or 0.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="PATH", help=f"A folder, which gets a {FILE_NAME}, or a .json file.")
    ],
    start: Annotated[
        Path | None, typer.Option("--start", metavar="FILE", help="The verifier to start from; default: as shipped.")
    ] = None,
    from_nothing: Annotated[bool, typer.Option("--from-nothing", help="Start from no verifier at all.")] = False,
    texts: Annotated[
        str | None, typer.Option("--texts", metavar="FILE:ID:TEXT", help="Where --q1 and --q2 hold ids: their texts.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Which pairs and features the trees look at.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a verifier on labelled pairs, and measure it on questions that it has not seen.

    What is written holds the coefficients and their card. Whoever interrupts this leaves what was there before.
    """
    from semroute.embedders.onnx import OnnxEmbedder
    from semroute.tuning.verifier_training import train as fitted

    if start is not None and from_nothing:
        raise UsageError("give either --start or --from-nothing, not both")
    with usage_errors():
        target = _target(out)
        begun = None if from_nothing else _start(start)
        pairs = _pairs(file, q1, q2, label, texts)
    trained = fitted(pairs, OnnxEmbedder(), start=begun, progress=_track, seed=seed, card=_card(file, pairs))
    trained.write(target)
    if as_json:
        print_json(_figures(trained, target))
    else:
        _print(trained, target)


def _target(out: Path) -> Path:
    """Return the file to write: the one that is named, or the one in the folder that is named."""
    path = out if out.suffix == ".json" and not out.is_dir() else out / FILE_NAME
    if out.is_file() and path != out:
        raise UsageError(f"--out {out} is a file and no .json: name a folder, or a .json file")
    check_out(path)
    return path


def _start(path: Path | None) -> Verifier:
    from semroute.guards.verifier import Verifier

    return Verifier.load(path)


def _pairs(file: Path, q1: str, q2: str, label: str, texts: str | None) -> list[LabelledTexts]:
    """Read the pairs; raises ConfigError that says which labels there are beside 1 and 0."""
    from semroute.evaluation.tables import Texts
    from semroute.tuning.reading import Columns, each_pair, survey

    columns = Columns(q1, q2, label)
    joined = None if texts is None else Texts.read(texts)
    survey(file, columns)
    return [(pair.stored, pair.asked, pair.is_right) for pair in each_pair(file, columns, joined)]


def _card(file: Path, pairs: Sequence[LabelledTexts]) -> dict[str, JSON]:
    """Say which pairs a verifier was fitted on, without any of their words."""
    digest = blake2b(digest_size=16)
    for stored, asked, is_right in pairs:
        for part in (stored, asked, str(int(is_right))):
            digest.update(b"%d:" % len(part) + part.encode("utf-8", "surrogatepass"))
    n_right = sum(is_right for _, _, is_right in pairs)
    return {"data": [{"file": file.name, "pairs": len(pairs), "positives": n_right, "digest": digest.hexdigest()}]}


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


def _figures(trained: TrainedVerifier, target: Path) -> dict[str, object]:
    return {
        "out": str(target),
        "digest": trained.verifier.digest,
        "embedder": trained.verifier.embedder,
        "start": trained.verifier.card["start"],
        **trained.figures,
    }


def _print(trained: TrainedVerifier, target: Path) -> None:
    figures: Mapping[str, float | int] = trained.figures
    table = Table(title="on questions that the fit had not seen")
    table.add_column("")
    for measure in _MEASURES:
        table.add_column(measure.replace("_", " "), justify="right")
    if f"start_{_MEASURES[0]}" in figures:
        table.add_row("before", *(f"{figures[f'start_{measure}']:.4f}" for measure in _MEASURES))
    table.add_row("after", *(f"{figures[measure]:.4f}" for measure in _MEASURES))
    console = page()
    console.print(table)
    console.print(f"{figures['n']:,} pairs, {figures['positives']:,} of them with the label 1", highlight=False)
    console.print(Text(f"Written to {target}"), soft_wrap=True)
    console.print(Text(f"Use it:\n{_use(target)}", style="dim"), soft_wrap=True)


def _use(target: Path) -> str:
    """Return lines that make a cache with what was written, to be pasted."""
    return (
        f"from semroute import SemanticCache, Verifier\ncache = SemanticCache(verifier=Verifier.load({str(target)!r}))"
    )

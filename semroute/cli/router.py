"""`semroute router`: fit the learned router to decisions of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, check_out, page, print_json, progress
from semroute.cli.evaluate import LimitOption, usage_errors

if TYPE_CHECKING:
    from semroute.tuning.router_training import TrainedRouter

T = TypeVar("T")

app = typer.Typer(help="Fit the learned router to your own decisions.", no_args_is_help=True)


@app.callback()
def router() -> None:
    """Fit the learned router to your own decisions."""


@app.command()
@if_interrupted("no router was written, and what was there before is there still: the same call begins anew")
def train(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="JSONL or CSV with the column prompt and labels; a decision log."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")],
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="How the rows are parted into folds.")] = 0,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a router, and measure it on prompts that it has not seen.

    Labels, of which rows may have some: intent (retrieval, chat, analysis, error), complexity (low, medium, high),
    staleness (timeless, slow, daily, realtime), each with 100 prompts and 10 of each class; and for the choice of the
    model columns tier:NAME (1 or 0: its answer was good enough; the weakest tier first), or good_tiers, as a decision
    log has it. What there are no labels for stays as it ships.

    A row: {"prompt": "What is a VPN?", "staleness": "timeless", "tier:small": 1, "tier:large": 1}
    """
    from semroute.embedders.onnx import OnnxEmbedder
    from semroute.tuning.router_training import train_router, training_rows

    check_out(out)
    with usage_errors():
        rows = training_rows(files, limit=limit)
        names = ", ".join(file.name for file in files)
        trained = train_router(rows, OnnxEmbedder(), source=names, progress=_track, seed=seed)
    trained.file.write(out)
    if as_json:
        told = {"out": str(out), "digest": trained.file.digest, "embedder": trained.file.embedder, "rows": len(rows)}
        print_json({**told, "figures": {name: dict(figures) for name, figures in trained.figures.items()}})
    else:
        _print(trained, out)


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


def _print(trained: TrainedRouter, out: Path) -> None:
    table = Table(title="on prompts that the fit had not seen")
    for column in ("part", "figures"):
        table.add_column(column)
    for name, figures in trained.figures.items():
        table.add_row(name, ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    console = page()
    console.print(table)
    console.print(Text(f"Written to {out}"), soft_wrap=True)
    use = (
        "from semroute import SemanticCache\nfrom semroute.router import LearnedRouter\n"
        f"cache = SemanticCache(router=LearnedRouter('models.toml', file={str(out)!r}))  # your catalogue of models"
    )
    console.print(Text(f"Use it:\n{use}", style="dim"), soft_wrap=True)

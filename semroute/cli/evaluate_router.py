"""`semroute eval router`: how well a router chooses between a weak and a strong model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from semroute.cli._output import JsonOption, page, print_json, progress
from semroute.cli.evaluate import FileArgument, LimitOption, usage_errors
from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.evaluation.routing import RouterFigures
    from semroute.evaluation.tables import Row

T = TypeVar("T")


def router_command(
    file: FileArgument,
    prompt: Annotated[str, typer.Option("--prompt", metavar="C", help="Column of the prompts.")],
    weak: Annotated[str, typer.Option("--weak", metavar="C", help="Column of the weak model's quality, 0 to 1.")],
    strong: Annotated[str, typer.Option("--strong", metavar="C", help="Column of the strong model's quality.")],
    drop: Annotated[str | None, typer.Option("--drop", metavar="C", help="Leave rows out whose column is 1.")] = None,
    router: Annotated[
        Path | None, typer.Option("--router", metavar="FILE", help="A router of `semroute router train`; as shipped.")
    ] = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a growing share of prompts to the strong model, in the order of the router's score.

    APGR is the area under the quality that is won back (0.5 by chance), CPT50 the share of strong calls that wins back
    half; each with a 95 % interval over resampled prompts.
    """
    import numpy as np

    from semroute.embedders.onnx import OnnxEmbedder
    from semroute.evaluation.routing import evaluate_router
    from semroute.evaluation.tables import label_of, read_rows, text_of
    from semroute.evaluation.vectors import AheadEmbedder
    from semroute.request import fold
    from semroute.router._file import RouterFile
    from semroute.router.learned import SHIPPED

    embedder = AheadEmbedder(OnnxEmbedder())
    with usage_errors():
        fitted = RouterFile.read(SHIPPED if router is None else router)
        tiers = fitted.tiers
        if tiers is None or tiers.embedder != embedder.identity:
            raise ConfigError(f"the router knows no tiers for vectors of {embedder.identity}: train one that does")
        columns = {prompt, weak, strong} | (set() if drop is None else {drop})
        rows = read_rows(file, columns=columns, limit=limit)
        kept = [row for row in rows if drop is None or not label_of(row, drop)]
        texts = [text_of(row, prompt) for row in kept]
        of_weak, of_strong = (np.array([_quality(row, column) for row in kept]) for column in (weak, strong))

        def score(prompts: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
            embedder.prepare(prompts, _track)
            vectors = (embedder.embed([fold(text)])[0] if embedder.fits(fold(text)) else None for text in prompts)
            both = [tiers.predict(vector, text)[[0, -1]] for vector, text in zip(vectors, prompts, strict=True)]
            return np.asarray(both, np.float64).reshape(len(prompts), 2)

        figures = evaluate_router(texts, of_weak, of_strong, score)
    if as_json:
        print_json(asdict(figures))
    else:
        _print(figures, f"{file.name}, {figures.n:,} prompts")


def _quality(row: Row, column: str) -> float:
    try:
        quality = float(str(row[column]))
    except ValueError:
        quality = -1.0
    if not 0.0 <= quality <= 1.0:
        raise ConfigError(f"column {column} must hold qualities from 0 to 1, not {row[column]!r}")
    return quality


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


def _print(figures: RouterFigures, title: str) -> None:
    table = Table(title=title)
    for column in ("", "value", "95 % interval"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("weak model alone", f"{figures.weak:.4f}", "")
    table.add_row("strong model alone", f"{figures.strong:.4f}", "")
    for name in ("apgr", "cpt50", "cpt80"):
        at = getattr(figures, name)
        table.add_row(name.upper(), f"{at.value:.4f}", f"{at.low:.4f} to {at.high:.4f}")
    table.add_row("ECE of P(weak is good enough)", "–" if figures.ece is None else f"{figures.ece:.4f}", "")
    page().print(table)

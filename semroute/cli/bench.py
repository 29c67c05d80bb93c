"""`semroute bench`: what a lookup costs, and how evenly a ring shares keys out."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, UsageError, page, print_json, progress
from semroute.cli._stores import check_kind
from semroute.cli.bench_ring import ring_command
from semroute.errors import ConfigError
from semroute.stores.urls import place_of

if TYPE_CHECKING:
    from semroute.benchmark.lookup import Report

T = TypeVar("T")

app = typer.Typer(help="Measure lookups and rings.", no_args_is_help=True)
app.command("ring")(ring_command)

OWN_FILE = "temporary"
"""Name, in the report, of the store that is made for the benchmark and removed after it."""


@app.callback()
def options() -> None:
    """Measure lookups and rings."""


@app.command()
@if_interrupted("nothing is kept, and the entries of the benchmark are removed: the same call begins anew")
def lookup(
    stores: Annotated[
        list[str] | None,
        typer.Option(
            "--store", metavar="URL", help="Where to put the entries; default: a file that is removed afterwards."
        ),
    ] = None,
    entries: Annotated[int, typer.Option("--entries", metavar="N", min=100, max=100_000)] = 10_000,
    clients: Annotated[int, typer.Option("--clients", metavar="C", min=1, max=10_000)] = 16,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=600.0, help="Time for the rounds, and for each load.")
    ] = 8.0,
    as_json: JsonOption = False,
) -> None:
    """Fill a store with questions, and time every tier beside the raw operations under it.

    On Redis these are a plain GET and a plain FT.SEARCH on the shard that keeps the entries, which are all of one
    prompt; --store once for each shard.

    In a store that is named, the entries belong to a tenant of their own and are removed at the end.
    """
    report, store = _measure([] if stores is None else stores, entries, clients, seconds)
    figures = {"entries": entries, "store": store, "clients": clients, **figures_of(report)}
    if as_json:
        print_json(figures)
        return
    _print_report(report, f"{entries} entries, {store}, {clients} clients")


def _measure(stores: Sequence[str], entries: int, clients: int, seconds: float) -> tuple[Report, str]:
    from semroute.benchmark.lookup import LookupBenchmark, Plan
    from semroute.cache import SemanticCache
    from semroute.embedders.onnx import OnnxEmbedder

    with tempfile.TemporaryDirectory(prefix="semroute-bench-") as folder:
        targets = list(stores) if stores else [f"sqlite:///{Path(folder) / 'answers.db'}"]
        tenant = f"semroute-bench-{os.getpid()}" if stores else None
        with _usage_errors():
            check_kind(stores)
            cache = SemanticCache(*targets)
        in_memory = any(target.startswith("memory:") for target in targets)
        plan = Plan(
            entries=entries,
            clients=clients,
            seconds=seconds,
            urls=() if in_memory else tuple(targets),
            raw_path=None if in_memory else Path(folder) / "raw.db",
            tenant=tenant,
        )
        with cache:
            try:
                report = LookupBenchmark(plan, cache.store, OnnxEmbedder(), _track).run()
            finally:
                if tenant is not None:
                    cache.invalidate(tenant=tenant)
        return report, ", ".join(map(_shown, stores)) if stores else f"{OWN_FILE} sqlite:/// file"


def _shown(url: str) -> str:
    """Return a URL as it was given, but without a password."""
    from semroute.benchmark.raw_redis import is_redis

    return place_of(url) if is_redis(url) else url


def figures_of(report: Report) -> Mapping[str, object]:
    """Return what was measured under the names of the JSON."""
    timings = {name: None if timing is None else asdict(timing) for name, timing in report.timings.items()}
    hit = report.first_hit
    return {
        **timings,
        "embed_torch_why": report.torch_why_not,
        "import_s": round(report.import_s, 4),
        "first_l2_hit_s": None if hit is None else round(hit.wall_s, 4),
        "first_l2_hit_inside_s": None if hit is None else round(hit.inside_s, 4),
        "throughput_rps": round(report.load.per_second, 1),
        "embed_only_rps": round(report.embed_only.per_second, 1),
        "throughput_tiers": dict(report.load.tiers),
        "l2_not_served": report.l2_not_served,
        "ratios": {name: ratio for name, ratio, _ in ratios_of(report)},
    }


def ratios_of(report: Report) -> list[tuple[str, float | None, str]]:
    """Return what follows from the figures: name, value (None where a part is missing), and the bar."""
    ms = {name: math.nan if timing is None else timing.p50_ms for name, timing in report.timings.items()}
    hit = report.first_hit
    over_ms = _known(ms["l2"] - ms["embed"] - ms["search"])
    of_store = (
        [
            ("l1_per_raw_get", _known(ms["l1"] / ms["raw_get"]), "at most 1.8"),
            ("search_per_raw_search", _known(ms["search"] / ms["raw_search"]), "at most 1.5"),
            ("l2_minus_embed_minus_search_ms", over_ms, "at most 1.2"),
        ]
        if report.is_remote
        else [
            ("l1_minus_3_raw_get_ms", _known(ms["l1"] - 3 * ms["raw_get"]), "at most 0.03"),
            ("l2_minus_embed_minus_search_ms", over_ms, "at most 0.9"),
            ("search_ms", _known(ms["search"]), "at most 0.3"),
        ]
    )
    return [
        ("embed_torch_per_embed", _known(ms["embed_torch"] / ms["embed"]), "at least 3"),
        *of_store,
        ("verify_5_ms", _known(ms["verify_5"]), "at most 0.5"),
        ("import_s", report.import_s, "at most 0.2"),
        ("first_l2_hit_s", None if hit is None else hit.wall_s, "at most 1.0"),
        ("throughput_per_embed_only", report.load.per_second / report.embed_only.per_second, "at least 1.3"),
    ]


def _known(value: float) -> float | None:
    """Return a figure, or None where one of its parts is missing."""
    return None if math.isnan(value) else round(value, 5)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Report a store that cannot be as a wrong call."""
    try:
        yield
    except ConfigError as error:
        raise UsageError(str(error)) from error


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


def _print_report(report: Report, title: str) -> None:
    page().print(title)
    table = Table()
    for column in ("", "p50 ms", "p95 ms"):
        table.add_column(column, justify="right" if column else "left")
    for name, timing in report.timings.items():
        figures = ("–", "–") if timing is None else (f"{timing.p50_ms:.3f}", f"{timing.p95_ms:.3f}")
        table.add_row(name, *figures)
    page().print(table)
    derived = Table()
    for column in ("", "measured", "bar"):
        derived.add_column(column, justify="right" if column == "measured" else "left")
    for name, ratio, bar in ratios_of(report):
        derived.add_row(name, "–" if ratio is None else f"{ratio:.3f}", bar)
    page().print(derived)
    page().print(f"throughput {report.load.per_second:.0f}/s, embedding alone {report.embed_only.per_second:.0f}/s")

"""`semroute bench ring`: how evenly the ring shares keys out, and what a new shard moves, beside another ring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, page, print_json, waiting

if TYPE_CHECKING:
    from semroute.benchmark.ring import RingFigures

_WIDTH: Final = 40
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


@if_interrupted("nothing is kept: the same call begins anew")
def ring_command(
    shards: Annotated[int, typer.Option("--shards", metavar="N", min=1, max=64, help="Shards before one comes.")] = 5,
    keys: Annotated[int, typer.Option("--keys", metavar="K", min=1_000, max=5_000_000)] = 100_000,
    as_json: JsonOption = False,
) -> None:
    """Share keys out over N shards, add one more, and compare with the rings of the `uhashring` package."""
    from semroute.benchmark.ring import compare

    with waiting("sharing keys out"):
        rings = compare(shards, keys)
    if as_json:
        print_json({"shards": shards, "keys": keys, "ideal_moved": 1 / (shards + 1), "rings": figures_of(rings)})
        return
    _print_rings(rings, shards, keys)


def figures_of(rings: list[RingFigures]) -> Mapping[str, Mapping[str, object]]:
    """Return what was measured under the names of the JSON, by ring."""
    return {
        ring.name: {
            **{name: value for name, value in asdict(ring).items() if name != "name"},
            "balance": ring.balance,
            "moved": ring.moved,
        }
        for ring in rings
    }


def bar(part: float, whole: float, width: int = _WIDTH) -> str:
    """Draw a part of a whole as a bar of at most `width` columns, to an eighth of a column."""
    eighths = round(8 * width * min(max(part / whole, 0.0), 1.0)) if whole > 0 else 0
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def _print_rings(rings: list[RingFigures], shards: int, keys: int) -> None:
    table = Table(title=f"{keys:,} keys on {shards} shards, then on {shards + 1}")
    for column in ("", "virtual nodes", "largest share / mean", "moved", "moved elsewhere", "µs a lookup"):
        table.add_column(column, justify="right" if column else "left")
    for ring in rings:
        table.add_row(
            ring.name,
            str(ring.virtual_nodes),
            f"{ring.balance:.3f}",
            f"{ring.moved:.4f}",
            f"{ring.moved_elsewhere:.4f}",
            f"{ring.lookup_us:.2f}",
        )
    page().print(table)
    page().print(f"A perfect ring has 1.000, and moves {1 / (shards + 1):.4f}, all of it onto the shard that came.")
    page().print("Each shard's share of the keys; [yellow]░[/] is what it gives to the shard that comes:")
    largest = max(max(ring.shares.values()) for ring in rings)
    for ring in rings:
        page().print(f"\n[bold]{ring.name}[/]", _picture(ring, largest))


def _picture(ring: RingFigures, largest: float) -> Table:
    """Draw each shard's keys as a bar; the end of it in another shade is what it gives to the shard that comes."""
    table = Table(box=None)
    for column, justify in (("shard", "left"), ("share", "right"), ("gives", "right"), ("", "left")):
        table.add_column(column, justify="right" if justify == "right" else "left", no_wrap=True)
    for shard, share in ring.shares.items():
        kept = bar(share - ring.taken[shard], largest)
        given = "░" * max(1, round(_WIDTH * ring.taken[shard] / largest)) if ring.taken[shard] else ""
        drawn = f"[cyan]{kept}[/][yellow]{given}[/]"
        table.add_row(shard, f"{share:.4f}", f"{ring.taken[shard]:.4f}", drawn)
    return table

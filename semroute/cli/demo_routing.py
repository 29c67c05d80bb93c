"""The part of the demo's screen about models: which were called, at what cost, and how sure the router was."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from semroute.cli.stand_in import catalog_of, terms_of

if TYPE_CHECKING:
    from semroute.cli.replay_command import Replayed
    from semroute.cli.report import ReplayReport

_BAR: Final = 14
_BOUNDS: Final = (0.0, 0.5, 0.8, 0.9, 1.0)
"""Coarser than the report's buckets. Under 0.5 the strongest model is asked, under 0.8 a hit needs more."""


def routing_of(replayed: Replayed) -> RenderableType:
    """Lay out the calls of each model and the histogram of confidence, side by side, and what it rests on."""
    if not replayed.is_routed and replayed.terms is not None:
        return Group(_calls(replayed), _basis(replayed))
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(ratio=65)
    table.add_column(ratio=35)
    table.add_row(_calls(replayed), _histogram(replayed.report))
    return Group(table, _basis(replayed))


def _calls(replayed: Replayed) -> Group:
    report = replayed.report
    total = len(report.calls)
    has_terms = replayed.terms is not None
    lines = [Text.assemble((f"{total} model calls", "bold"))]
    shares = Table.grid(padding=(0, 1, 0, 0))
    for name, count in {**dict.fromkeys(catalog_of().names if has_terms else (), 0), **report.calls_by_model}.items():
        share = f"{count / total if total else 0.0:4.0%}"
        shares.add_row(name, Text(f"{count:,}", justify="right"), share, _stated(name) if has_terms else "")
    if not has_terms:
        return Group(*lines, shares)
    if not replayed.is_routed:
        lines[0].append(": each request names its model, and no router is part of this demo")
        return Group(*lines, shares, _hits(report))
    lines[0].append(f": the router chose {report.routed_calls}, the app {total - report.routed_calls}")
    return Group(*lines, shares, *_dollars(report))


def _stated(name: str) -> Text:
    """Say what a stand-in states of its price and speed."""
    terms = terms_of(name)
    price = f"${terms.price.input_usd_per_mtok:.2f}/${terms.price.output_usd_per_mtok:.2f}"
    return Text(f"{price}, {terms.first_token_s:g} s + {terms.output_tokens_per_s:g} tokens/s", style="dim")


def usd(amount: float | None) -> str:
    """Print dollars; a dash where nothing is known."""
    return "–" if amount is None else f"${amount:.3f}"


def _dollars(report: ReplayReport) -> tuple[Text, Text]:
    by_hits, by_routing = usd(report.saved_usd), usd(report.saved_by_routing_usd)
    spared = Text.assemble((by_hits, "bold"), " spared by hits, ", (by_routing, "bold"), " by routing")
    strongest, spent = catalog_of().strongest.name, usd(report.spent_usd)
    return spared, Text(f"against asking {strongest} for all {report.routed_calls}; {spent} spent", style="dim")


def _hits(report: ReplayReport) -> Text:
    spent = (f"; {usd(report.spent_usd)} spent, with the pages that were retrieved", "dim")
    return Text.assemble((usd(report.saved_usd), "bold"), " spared by hits", spent)


def _histogram(report: ReplayReport) -> Group:
    total = sum(bucket.count for bucket in report.confidence)
    lines = [Text.assemble(("Confidence", "bold"), f" ({total} decisions)")]
    for low, high in reversed(list(pairwise(_BOUNDS))):
        count = sum(bucket.count for bucket in report.confidence if low <= bucket.low < high)
        length = -(-_BAR * count // total) if total else 0
        lines.append(Text.assemble(f"{low:.1f}–{high:.1f} ", ("█" * length, "cyan"), " " if length else "", str(count)))
    return Group(*lines)


def _basis(replayed: Replayed) -> Text:
    if replayed.terms is None:
        return Text(f"Model: {replayed.model}; savings as its provider counted them.", style="dim")
    counted = "estimated (characters / 4)" if replayed.tokens_estimated else "tiktoken's"
    return Text(f"Both stand-ins give the stream's answers. Prices per M tokens; counts {counted}.", style="dim")

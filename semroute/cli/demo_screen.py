"""The one screen that the demo ends with: 100 columns, 45 rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from semroute.cli.demo_routing import routing_of, usd
from semroute.cli.sightings import sightings, telling_examples

if TYPE_CHECKING:
    from semroute.cli.plain_cosine import CosineHit
    from semroute.cli.replay_command import Replayed
    from semroute.cli.report import ReplayReport
    from semroute.cli.sightings import Sighting

WIDTH = 100
_QUESTION_WIDTH = 49
_SAW_WIDTH = 34
_ASKED_WIDTH = 44
_COSINE_EXAMPLES = 3
_KINDS = {
    "number": "number",
    "date": "date",
    "quoted": "code, quote",
    "entity": "name, place",
    "antonym": "antonym",
    "negation": "negation",
    "direction": "direction",
    "question_word": "question word",
    "tenant": "tenant",
    "system": "system prompt",
    "multi_turn": "conversation",
    "own_state": "own state",
    "time": "time",
}
"""The kinds of traps of the demo, in the order of the screen: words, context, time."""


def screen(replayed: Replayed) -> RenderableType:
    """Lay the whole screen out."""
    report = replayed.report
    parts = (routing_of(replayed), _traps(report), _cosine(report))
    return Group(_headline(replayed), _figures(report), *(line for part in parts for line in (Text(), part)))


def _headline(replayed: Replayed) -> Panel:
    report = replayed.report
    calls, wrong = report.right_hits, len(report.wrong)
    line = Text(justify="center")
    line.append(f"{len(report.outcomes)} questions through {replayed.framework.brand}, {calls} model calls spared, ")
    line.append(f"{wrong} wrong answers" if wrong else "no wrong answer", style="bold red" if wrong else "bold green")
    line.append(".")
    return Panel(line, box=box.ROUNDED, border_style="red" if wrong else "green", width=WIDTH)


def _figures(report: ReplayReport) -> Table:
    seconds = report.saved_s
    tiles = [
        (f"{report.hit_share_of_reusable:.0%}", f"of {len(report.reusable)} reusable"),
        (usd(report.saved_usd), "spared by hits"),
        ("–" if seconds is None else f"{seconds:,.0f} s", "waiting spared"),
        (_ms(report.p50_ms("l1", "l1_alias")), "p50 same words"),
        (_ms(report.p50_ms("l2")), "p50 other words"),
        (_ms(report.p50_ms("miss")), "p50 over a miss"),
    ]
    table = Table.grid(expand=True)
    for _ in tiles:
        table.add_column(justify="center", ratio=1)
    table.add_row(*(Text.assemble((figure, "bold"), (f"\n{label}", "dim")) for figure, label in tiles))
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def _traps(report: ReplayReport) -> Table:
    seen = telling_examples(sightings(report.outcomes, report.guards), max_characters=_QUESTION_WIDTH)
    counts = report.by_kind()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=WIDTH, header_style="bold")
    table.add_column(f"{len(report.traps)} traps", width=13)
    table.add_column("asked, and the look-alike in the cache", width=_QUESTION_WIDTH, no_wrap=True)
    table.add_column(f"{report.traps_refused} refused: what semroute saw", width=_SAW_WIDTH, no_wrap=True)
    order = list(_KINDS)
    for sighting in sorted(seen, key=lambda one: order.index(one.kind) if one.kind in _KINDS else len(order)):
        name = _KINDS.get(sighting.kind, sighting.kind)
        kind = Text.assemble((name, "yellow"), (f"\n{counts[sighting.kind].traps_refused} refused", "dim"))
        table.add_row(kind, _pair(sighting.query, sighting.look_alike), _saw(sighting))
    return table


def _pair(asked: str, look_alike: str) -> Text:
    return Text.assemble(_cut(asked, _QUESTION_WIDTH), ("\n" + _cut(look_alike, _QUESTION_WIDTH), "dim"))


def _saw(sighting: Sighting) -> Text:
    words = sighting.saw.split(", ")[0]
    return Text.assemble((_cut(words, _SAW_WIDTH), "green"), ("\n" + _cut(sighting.by, _SAW_WIDTH), "dim"))


def _cosine(report: ReplayReport) -> Group:
    head = Text.assemble(
        "A plain cosine-0.8 cache: ",
        (f"{len(report.cosine_wrong)} wrong answers", "bold red"),
        f" to the same day ({report.cosine_wrong_isolated} if told tenants and prompts apart)",
    )
    return Group(head, *(_cosine_line(report, hit) for hit in _cosine_examples(report)))


def _cosine_line(report: ReplayReport, hit: CosineHit) -> Text:
    asked, served = report.outcomes[hit.position].row, report.outcomes[hit.served].row
    return Text.assemble(
        (f"✗ {hit.similarity:.2f} ", "red"),
        _cut(asked.query, _ASKED_WIDTH).ljust(_ASKED_WIDTH),
        ("  →  ", "dim"),
        (_cut(served.answer_text, WIDTH - _ASKED_WIDTH - 12), "red"),
    )


def _cosine_examples(report: ReplayReport) -> list[CosineHit]:
    """Return wrong answers to traps of different kinds: short ones with other words first, nearest first."""
    outcomes = report.outcomes
    traps = [hit for hit in report.cosine_wrong if outcomes[hit.position].row.trap]

    def dullness(hit: CosineHit) -> tuple[bool, bool, float]:
        asked, served = outcomes[hit.position].row, outcomes[hit.served].row
        return len(asked.query) > _ASKED_WIDTH, asked.place != served.place or hit.similarity > 0.999, -hit.similarity

    best: dict[str, CosineHit] = {}
    for hit in sorted(traps, key=dullness):
        best.setdefault(outcomes[hit.position].kind, hit)
    return list(best.values())[:_COSINE_EXAMPLES]


def _cut(text: str, width: int) -> str:
    words = " ".join(text.split())
    return words if len(words) <= width else words[: width - 1].rstrip() + "…"

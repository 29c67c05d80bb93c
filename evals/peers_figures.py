"""What timing the caches on Redis gave: times, ratios, bars, and the table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SHIPPED: Final = "as each ships"
SAME: Final = "the same embedder for all"
OURS: Final[Mapping[str, str]] = {
    "redisvl": "semroute",
    "redisvl, its default's size": "semroute",
    "langchain-redis": "langchain_semroute",
}
"""Which of our caches stands beside which of the others: the one that is called the same way."""
BARS: Final[Mapping[tuple[str, str], float]] = {
    (SHIPPED, "exact"): 30.0,
    (SHIPPED, "paraphrase"): 3.0,
    (SAME, "exact"): 5.0,
    (SAME, "paraphrase"): 1.0,
}
"""How many times as long every other cache must take at least, by part and kind."""
KINDS: Final = ("exact", "paraphrase")


@dataclass(frozen=True, slots=True)
class TimedAbout:
    """Which cache was timed, and how it was set up."""

    name: str
    form: str
    """What it was asked with: "text", or the "messages" that LangChain hands its caches for a chat model."""
    call: str
    embedding: str
    versions: Mapping[str, str]
    is_filled: bool = True
    """Whether it was timed; else it was only asked with alternating models."""
    has_meaning: bool = True
    """Whether its vectors mean something; else it was only timed, misses as well."""

    @property
    def title(self) -> str:
        return self.name if self.form == "text" else f"{self.name}, {self.form}"


@dataclass(frozen=True, slots=True)
class Lookups:
    """The lookups of one kind; times are those of what was served, right or wrong."""

    asked: int
    right: int
    wrong: int
    """Served the answer to another question."""
    missed: int
    p50_ms: float | None
    p95_ms: float | None
    least_ms: float | None


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """One cache in one part."""

    about: TimedAbout
    exact: Lookups
    paraphrase: Lookups


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long another cache takes as ours: by the median, and by the least time of each.

    The least times say what the work itself costs where a busy machine stretches the medians.
    """

    peer: str
    ours: str
    form: str
    exact: float | None
    paraphrase: float | None
    least_exact: float | None
    least_paraphrase: float | None


@dataclass(frozen=True, slots=True)
class Part:
    """All caches, timed in turns."""

    name: str
    caches: Sequence[CacheFigures]
    ratios: Sequence[Ratio]
    load: tuple[float, float]
    """Average load of the machine over the last minute, before and after."""


@dataclass(frozen=True, slots=True)
class Alternating:
    """Two models in turns on one prompt, a few prompts one after the other."""

    about: TimedAbout
    calls: int
    paid: int
    """Calls that went to a model."""
    right: int
    """Served what the model that was asked for had answered."""
    wrong_model: int
    """Served what the other model had answered."""
    wrong_question: int
    """Served the answer to another question."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked of the ratios of one kind in one part, and the least of them."""

    part: str
    kind: str
    needed: float
    least: float | None
    is_met: bool


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """All that one run measured."""

    command: str
    machine: str
    entries: int
    per_kind: int
    """Lookups of each kind for each cache in each part."""
    parts: Sequence[Part]
    alternating: Sequence[Alternating]
    bars: Sequence[Bar]


@dataclass(slots=True)
class Tally:
    """Gathers the lookups of one kind."""

    seconds: list[float]
    times_misses: bool = False
    """Whether a miss is timed as well: where nothing can be served, it is the same work but for one answer."""
    right: int = 0
    wrong: int = 0
    missed: int = 0

    def note(self, seconds: float, answer: str | None, expected: str) -> None:
        """Take one lookup down; the time of a miss is left out, because it is other work in our caches."""
        if answer is not None or self.times_misses:
            self.seconds.append(seconds)
        if answer is None:
            self.missed += 1
        elif answer == expected:
            self.right += 1
        else:
            self.wrong += 1

    def lookups(self) -> Lookups:
        """Sum up; a percentile is the nearest rank."""
        asked, ordered = self.right + self.wrong + self.missed, sorted(self.seconds)
        if not ordered:
            return Lookups(asked, self.right, self.wrong, self.missed, None, None, None)
        at = max(0, -(-95 * len(ordered) // 100) - 1)
        p50, p95, least = (round(one * 1_000, 4) for one in (statistics.median(ordered), ordered[at], ordered[0]))
        return Lookups(asked, self.right, self.wrong, self.missed, p50, p95, least)


def ratios(caches: Sequence[CacheFigures]) -> list[Ratio]:
    """Set each other cache beside the one of ours that is called the same way."""
    ours = {(one.about.name, one.about.form): one for one in caches}
    found = []
    for peer in caches:
        mine = ours.get((OURS.get(peer.about.name, ""), peer.about.form))
        if mine is not None:
            pairs = ((peer.exact, mine.exact), (peer.paraphrase, mine.paraphrase))
            medians = [_ratio(other.p50_ms, own.p50_ms) for other, own in pairs]
            leasts = [_ratio(other.least_ms, own.least_ms) for other, own in pairs]
            found.append(Ratio(peer.about.name, mine.about.name, peer.about.form, *medians, *leasts))
    return found


def bars(parts: Iterable[Part]) -> list[Bar]:
    """Hold the least ratio of each kind against its bar; without a ratio no bar is met."""
    found = []
    for part in parts:
        for kind in KINDS:
            needed = BARS[part.name, kind]
            values: list[float | None] = [getattr(ratio, kind) for ratio in part.ratios]
            known = [value for value in values if value is not None]
            least = min(known) if known and len(known) == len(values) else None
            found.append(Bar(part.name, kind, needed, least, least is not None and least >= needed))
    return found


def page(report: LatencyReport) -> str:
    """Return the tables, in Markdown: they read well on a terminal, and in a document as they are."""
    blocks = [f"{report.entries:,} entries in each cache, {report.per_kind} lookups of a kind, {report.machine}"]
    for part in report.parts:
        load = "–".join(f"{one:.1f}" for one in part.load)
        blocks += [f"{part.name} (load of the machine {load})", _times(part), _ratios(part, report.bars)]
    blocks += ["two models in turns on one prompt", _alternating(report.alternating)]
    return "\n\n".join(blocks)


def _times(part: Part) -> str:
    head = ("cache", "exact p50", "p95", "least", "paraphrase p50", "p95", "least", "right / wrong / missed")
    rows = []
    for one in part.caches:
        times = [
            _ms(value) for each in (one.exact, one.paraphrase) for value in (each.p50_ms, each.p95_ms, each.least_ms)
        ]
        served = one.paraphrase
        rows.append([one.about.title, *times, f"{served.right} / {served.wrong} / {served.missed}"])
    return table(head, rows)


def _ratios(part: Part, held: Sequence[Bar]) -> str:
    rows = []
    for one in part.ratios:
        title = one.peer if one.form == "text" else f"{one.peer}, {one.form}"
        values = (one.exact, one.least_exact, one.paraphrase, one.least_paraphrase)
        rows.append([title, one.ours, *map(_times_as_long, values)])
    needed = [f"≥ {one.needed:g} ×: {'met' if one.is_met else 'MISSED'}" for one in held if one.part == part.name]
    last = ["bar", "", *(cell for bar in needed for cell in (bar, ""))]
    return table(("takes as long", "as", "exact", "by the least", "paraphrase", "by the least"), [*rows, last])


def _alternating(found: Sequence[Alternating]) -> str:
    head = ("cache", "calls", "paid", "right hits", "other model's answer", "other question's answer")
    rows = [
        [
            one.about.title,
            *(str(each) for each in (one.calls, one.paid, one.right, one.wrong_model, one.wrong_question)),
        ]
        for one in found
    ]
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join((first, *others))} |"

    rule = [":" + "-" * (width - 1) if n == 0 else "-" * (width - 1) + ":" for n, width in enumerate(widths)]
    return "\n".join(map(line, (head, rule, *rows)))


def _ratio(peer_ms: float | None, own_ms: float | None) -> float | None:
    return None if peer_ms is None or own_ms is None else round(peer_ms / own_ms, 2)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _times_as_long(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ×"

"""The figures of each rule, and the tables that show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evals.added_documents.measure import (
    TOP_K,
    Measured,
    Rule,
    by_kind,
    caught,
    everything,
    found_again,
    interval,
    mean,
    others_a_document,
    others_at_once,
    others_by_count,
    plain,
    ratio,
    shared,
)
from semroute.documents.nearness import AT_LEAST

COUNTS: Final = (1, 2, 5, 10, 20)
SHARES: Final = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
THRESHOLDS: Final = (0.2, 0.25, 0.28, 0.33, 0.37, 0.41, 0.45, 0.5)
_SETTINGS: Final = tuple(hundredth / 100 for hundredth in range(10, 90))


@dataclass(frozen=True, slots=True)
class Figure:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.2f}–{self.high:.2f})"


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """What a rule does on one half."""

    rule: str
    caught: Figure
    """Of the answers that an added document changes, those that it drops."""
    others_a_document: Figure
    """Of the answers that a document does not change, those that it drops: the mean over documents."""
    others_at_once: Figure
    """Of the answers that no document changes, those that are dropped after all have been added."""


def shipped() -> Rule:
    """Return the rule that the library has."""
    return plain(lambda measured: measured.best, AT_LEAST)


def rules(dev: Sequence[Measured]) -> dict[str, Rule]:
    """Return the rules that are compared, each set so that it catches as many answers of the dev half as ours."""
    families: dict[str, Callable[[float], Rule]] = {
        "whole document, {:.2f}": lambda setting: plain(lambda measured: measured.whole, setting),
        "passages, {:.2f} of the sources' scores": lambda share: shared(lambda measured: measured.score, share),
        "passages, {:.2f} of the sources' passages": lambda share: shared(lambda measured: measured.reach, share),
    }
    set_alike = {name: (make, _setting(dev, make)) for name, make in families.items()}
    return {
        "drop everything of the corpus": everything,
        f"**passages, {AT_LEAST:.2f} (shipped)**": shipped(),
        f"the same, and the retriever finds it (top {TOP_K})": found_again(shipped()),
        **{name.format(setting): make(setting) for name, (make, setting) in set_alike.items()},
    }


def _setting(dev: Sequence[Measured], make: Callable[[float], Rule]) -> float:
    """Return the highest setting of a rule that catches as many changed answers as the one that ships."""
    target = ratio(caught(dev, shipped()))
    return max(setting for setting in _SETTINGS if ratio(caught(dev, make(setting))) >= target)


def figures(half: Sequence[Measured], name: str, rule: Rule) -> RuleFigures:
    """Measure one rule on one half."""
    pairs, document, once = caught(half, rule), others_a_document(half, rule), others_at_once(half, rule)
    return RuleFigures(
        name,
        Figure(ratio(pairs), *interval(pairs, ratio)),
        Figure(mean(document), *interval(document, mean)),
        Figure(mean(once), *interval(once, mean)),
    )


def curve(half: Sequence[Measured]) -> Mapping[str, list[tuple[float, float, float, float]]]:
    """Return (setting, caught, others a document, others at once) along the settings of the two rules."""
    families: dict[str, dict[float, Rule]] = {
        "one threshold": {at_least: plain(lambda one: one.best, at_least) for at_least in THRESHOLDS},
        "share of the sources' passages": {share: shared(lambda one: one.reach, share) for share in SHARES},
    }
    return {
        family: [
            (
                setting,
                ratio(caught(half, rule)),
                mean(others_a_document(half, rule)),
                mean(others_at_once(half, rule)),
            )
            for setting, rule in settings.items()
        ]
        for family, settings in families.items()
    }


def main_table(half: Sequence[Measured], compared: Mapping[str, Rule]) -> Iterator[str]:
    """Yield the lines of the table of rules."""
    yield "| rule | changed answers caught | others dropped, a document | others dropped, all at once |"
    yield "|---|---|---|---|"
    for name, rule in compared.items():
        row = figures(half, name, rule)
        yield f"| {name} | {row.caught} | {row.others_a_document} | {row.others_at_once} |"


def kinds_table(half: Sequence[Measured]) -> Iterator[str]:
    """Yield the lines of the table of kinds of added documents, under the rule that ships."""
    rule = shipped()
    pairs, others = by_kind(half, caught(half, rule)), by_kind(half, others_a_document(half, rule))
    yield "| kind | documents | changed answers | caught | others dropped, a document |"
    yield "|---|---|---|---|---|"
    for kind, rows in pairs.items():
        changed = int(rows[:, 1].sum())
        share = f"{ratio(rows):.3f}" if changed else "–"
        yield f"| {kind} | {len(rows)} | {changed} | {share} | {mean(others[kind]):.3f} |"


def counts_table(half: Sequence[Measured], together: Measured) -> Iterator[str]:
    """Yield the lines of the table of documents that come at once, under the rule that ships."""
    rule = shipped()
    yield f"| added at once | {' | '.join(map(str, COUNTS))} |"
    yield f"|---|{'---|' * len(COUNTS)}"
    for name, measured in (("each corpus by itself", half), ("the five as one corpus", [together])):
        shares = others_by_count(measured, rule, COUNTS)
        yield f"| {name} | {' | '.join(f'{shares[count]:.3f}' for count in COUNTS)} |"


def curve_table(half: Sequence[Measured]) -> Iterator[str]:
    """Yield the lines of the table of caught against dropped."""
    yield "| rule | setting | caught | others dropped, a document | others dropped, all at once |"
    yield "|---|---|---|---|---|"
    for family, points in curve(half).items():
        for setting, share, document, once in points:
            yield f"| {family} | {setting:.2f} | {share:.3f} | {document:.3f} | {once:.3f} |"

"""Reading labelled pairs to tune on, a row at a time, and saying what is wrong with a file before the long work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from semroute.errors import ConfigError
from semroute.evaluation.tables import Row, Texts, each_row, label_of, text_of

_MOST_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file hold what."""

    q1: str
    """The question that is stored."""
    q2: str
    """The question that is asked."""
    label: str
    group: str | None = None
    """What pairs of one conversation, customer or day have in common: they stay on one side of every split."""
    weight: str | None = None
    """How many requests a pair stands for, where labels were not drawn evenly."""

    @property
    def names(self) -> set[str]:
        return {name for name in (self.q1, self.q2, self.label, self.group, self.weight) if name is not None}


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """One row: two questions, the label, and what else the columns name."""

    stored: str
    asked: str
    is_right: bool
    group: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Survey:
    """What a file holds."""

    n: int
    positives: int


def survey(path: Path, columns: Columns) -> Survey:
    """Count the pairs of a file by its labels alone.

    Raises ConfigError for labels other than 1 and 0 with the values seen, and for labels of one kind only.
    """
    n = positives = 0
    strange: dict[str, int] = {}
    for n, row in enumerate(each_row(path, columns=columns.names), start=1):
        try:
            positives += label_of(row, columns.label)
        except ConfigError:
            shown = repr(row[columns.label])[:40]
            if shown in strange or len(strange) < _MOST_SHOWN:
                strange.setdefault(shown, n)
    if strange:
        seen = ", ".join(f"{value} (first in row {number})" for value, number in strange.items())
        raise ConfigError(
            f"{path}: column {columns.label} must hold labels 1 or 0 (or true, false); it also holds {seen}"
        )
    if positives in (0, n):
        raise ConfigError(
            f"{path}: pairs with the label 1 and pairs with the label 0 are both needed; "
            f"all {n} labels of column {columns.label} are {int(positives > 0)}"
        )
    return Survey(n, positives)


def each_pair(path: Path, columns: Columns, texts: Texts | None = None) -> Iterator[LabelledPair]:
    """Yield the pairs of a file in its order. Raises ConfigError that names the row."""

    def question(row: Row, column: str) -> str:
        value = row[column]
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"column {column} must hold text, not {value!r}")
        text = text_of(row, column) if texts is None else texts.of(row, column)
        # What other tools write where a value is missing.
        if text.strip().lower() in ("", "nan"):
            raise ConfigError(f"column {column} must hold a question, not {text!r}: leave this row out, or fill it in")
        return text

    for number, row in enumerate(each_row(path, columns=columns.names), start=1):
        try:
            yield LabelledPair(
                stored=question(row, columns.q1),
                asked=question(row, columns.q2),
                is_right=label_of(row, columns.label),
                group=None if columns.group is None else text_of(row, columns.group),
                weight=1.0 if columns.weight is None else _weight_of(row, columns.weight),
            )
        except ConfigError as error:
            raise ConfigError(f"{path}: row {number}: {error}") from error


def _weight_of(row: Row, column: str) -> float:
    value = row[column]
    try:
        weight = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0.0):
        raise ConfigError(f"column {column} must hold numbers of at least 0, not {value!r}")
    return weight

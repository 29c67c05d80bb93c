"""Reading labelled questions out of CSV and JSONL files, plain or gzip."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.entry import JSON

Row: TypeAlias = "Mapping[str, JSON]"

_TRUTHS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "1.0", "true"), True),
    **dict.fromkeys(("0", "0.0", "false"), False),
}
"""pandas writes labels as 1.0 and 0.0 where one of a column is missing."""
_OTHER_SEPARATORS: Final[Mapping[str, str]] = {";": '";"', "\t": "a tab"}


def read_rows(path: Path, *, columns: Collection[str] = (), limit: int | None = None) -> list[Row]:
    """Read the rows of a CSV, CSV.gz, JSONL or JSONL.gz file, at most `limit` of them.

    Values of a CSV file are strings, those of a JSONL file what JSON says. Raises ConfigError for a file that cannot
    be read, and for one that lacks any of `columns`.
    """
    return list(each_row(path, columns=columns, limit=limit))


def each_row(path: Path, *, columns: Collection[str] = (), limit: int | None = None) -> Iterator[Row]:
    """Yield the rows that `read_rows` returns, one at a time, so that a file of any size can be read."""
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit} is out of range: it must be at least 1")
    number = 0
    try:
        with _opened(path) as text:
            for number, row in enumerate(islice(_rows(path, text), limit), start=1):
                missing = sorted(set(columns) - row.keys())
                if missing:
                    raise ConfigError(f"{path}: row {number} has no column {', '.join(missing)}; {_has(row)}")
                yield row
    except (OSError, UnicodeDecodeError, EOFError, zlib.error, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not number:
        raise ConfigError(f"{path} holds no rows")


def _has(row: Row) -> str:
    """Say which columns a row has; in a CSV file, values beyond the last one stand under no name."""
    names = [name for name in row if name]
    if len(names) == 1:
        for separator, shown in _OTHER_SEPARATORS.items():
            if separator in names[0]:
                return f"its columns seem to be separated by {shown}, and a CSV file must separate them by commas"
    return f"it has {', '.join(names)}"


def text_of(row: Row, column: str) -> str:
    """Return a column as text; numbers are written as JSON writes them. Raises ConfigError for anything else."""
    value = row[column]
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"column {column} must hold text, not {value!r}")
    return json.dumps(value)


def label_of(row: Row, column: str) -> bool:
    """Return a column as a label: 1, 1.0 or true; 0, 0.0 or false. Raises ConfigError for anything else."""
    value = row[column]
    truth = _TRUTHS.get(json.dumps(value) if isinstance(value, bool) else str(value).strip().lower())
    if truth is None:
        raise ConfigError(f"column {column} must hold labels 1 or 0 (or true, false), not {value!r}")
    return truth


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts by the ids that stand for them in another file."""

    source: Path
    by_id: Mapping[str, str]

    @classmethod
    def read(cls, named: str) -> Texts:
        """Read "FILE:ID:TEXT": the file, its column of ids and its column of texts. Raises ConfigError."""
        parts = named.rsplit(":", 2)
        if len(parts) != 3 or not all(parts):
            raise ConfigError(f"texts must be named as FILE:ID:TEXT, not {named!r}")
        path, id_column, text_column = Path(parts[0]), parts[1], parts[2]
        rows = read_rows(path, columns={id_column, text_column})
        return cls(path, {text_of(row, id_column): text_of(row, text_column) for row in rows})

    def of(self, row: Row, column: str) -> str:
        """Return the text whose id stands in a column. Raises ConfigError for an unknown id."""
        text = self.by_id.get(text_of(row, column))
        if text is None:
            raise ConfigError(f"{self.source} has no text with the id {row[column]!r} of column {column}")
        return text


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a file as text; the csv module wants line ends as they are."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as unpacked:
            yield unpacked
    else:
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield text


def _rows(path: Path, text: TextIO) -> Iterator[Row]:
    kind = Path(path.name.removesuffix(".gz")).suffix
    match kind:
        case ".csv":
            # Quoted fields of any length: the module's own limit is 128 KiB.
            csv.field_size_limit(2**31 - 1)
            yield from csv.DictReader(text, restval="")
        case ".jsonl":
            yield from _objects(path, text)
        case _:
            raise ConfigError(f"{path} must be a .csv, .csv.gz, .jsonl or .jsonl.gz file")


def _objects(path: Path, lines: io.TextIOBase | TextIO) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}: line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: line {number} must hold a JSON object, not {type(row).__name__}")
        yield row

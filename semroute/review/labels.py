"""The labels file: one row a label, appended as it is given, in the form that `semroute tune` reads."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from semroute.errors import ConfigError, StoreError

COLUMNS: Final = ("q1", "q2", "label", "weight", "origin", "time", "record")
PERSON: Final = "person"


@dataclass(frozen=True, slots=True)
class Label:
    """One answered question: may the answer to `q1` be given to whoever asks `q2`?"""

    q1: str
    """The stored question."""
    q2: str
    """The question that was asked."""
    is_reusable: bool
    weight: float
    """How many requests of the log the label speaks for."""
    origin: str
    """Who said so: "person", or "judge:" and the model's name."""
    at: float
    """When, in seconds since the Unix epoch."""
    record: int | None
    """Number of the record in the shadow log."""

    @property
    def pair(self) -> tuple[str, str]:
        """The two questions, the stored one first."""
        return self.q1, self.q2


class LabelsFile:
    """A CSV file of labels that is open for more.

    Each label is on the disk when `append` returns. A last line that was cut short is removed when the file is
    opened, so that its pair is asked again. The file is readable by its owner alone, since it holds what users
    asked. Only one process may have it open. Raises ConfigError for a file of another form, StoreError for what the
    disk refuses.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()
        self._file: FileIO | None = None
        self._rows: list[Label] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def rows(self) -> Sequence[Label]:
        """The labels of the file, oldest first."""
        return tuple(self._rows)

    def open(self) -> Self:
        """Open or make the file, read its labels, and remove a torn last line."""
        with _told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _private(self.path, os.O_RDWR | os.O_CREAT)
            try:
                _lock(self._file, self.path)
                raw = self._file.read()
                self._size = len(raw)
                self._rows, is_whole = _parse(raw, self.path)
                if not is_whole:
                    self._replace(self._rows)
            except BaseException:  # an interrupt too: the lock on the file must not stay held
                self.close()
                raise
        return self

    def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def append(self, label: Label) -> None:
        """Write a label to the disk."""
        file = self._file
        if file is None:
            raise StoreError(f"the labels file {self.path} is not open")
        with _told(self.path):
            self._check_unchanged(file)
            line = _line(_cells(label))
            try:
                file.seek(self._size)
                _write(file, line)
            except OSError:
                file.truncate(self._size)  # half a line would spoil the next one
                raise
        self._size += len(line)
        self._rows.append(replace(label, weight=_short(label.weight)))

    def remove_last(self) -> Label | None:
        """Take the last label back, and return it; None where there is none."""
        if not self._rows:
            return None
        removed = self._rows[-1]
        with _told(self.path):
            self._replace(self._rows[:-1])
        return removed

    def reweigh(self, weights: Mapping[tuple[str, str], float]) -> None:
        """Give the labels of some pairs other weights."""
        rows = [replace(row, weight=_short(weights.get(row.pair, row.weight))) for row in self._rows]
        if rows != self._rows:
            with _told(self.path):
                self._replace(rows)

    def _replace(self, rows: Sequence[Label]) -> None:
        """Put a new file in the place of the old one, so that nobody ever sees one that is half new."""
        if self._file is not None:
            self._check_unchanged(self._file)
        raw = b"".join([_line(COLUMNS), *(_line(_cells(row)) for row in rows)])
        path = self.path.with_name(f".{self.path.name}.new")
        fresh = _private(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            _lock(fresh, self.path)
            _write(fresh, raw)
            self.close()
            path.replace(self.path)
        except BaseException:  # as in `open`
            fresh.close()
            raise
        self._file, self._rows, self._size = fresh, list(rows), len(raw)

    def _check_unchanged(self, file: FileIO) -> None:
        """Raise StoreError where somebody else has written to the file, or put another one in its place."""
        found = self.path.stat()
        if not os.path.samestat(os.fstat(file.fileno()), found) or found.st_size != self._size:
            raise StoreError(f"{self.path} was changed while this review had it open: begin the review anew")


def _parse(raw: bytes, path: Path) -> tuple[list[Label], bool]:
    """Read labels, and say whether the file is whole and as it would be written anew (but for line ends)."""
    head = _line(COLUMNS)
    if head.startswith(raw) and raw != head:  # nothing yet, or cut short in its first line
        return [], False
    lines, is_whole = _whole_lines(raw.removeprefix(codecs.BOM_UTF8))
    try:
        columns, *table = csv.reader(io.StringIO(lines.decode(errors="replace"), newline=""))
    except csv.Error as error:
        raise ConfigError(f"{path} is no labels file: {error}") from error
    if tuple(columns) != COLUMNS:
        raise ConfigError(
            f"{path} is no labels file: its columns are {', '.join(columns)[:200] or 'none'}, "
            f"not {', '.join(COLUMNS)}; name another file with --out"
        )
    return [_label_of(cells, f"{path}, row {number}") for number, cells in enumerate(table, start=1)], is_whole


def _whole_lines(raw: bytes) -> tuple[bytes, bool]:
    """Return all lines but a last one that was cut short; a line end inside quotes ends no line."""
    end = 0
    is_quoted = False
    for match in re.finditer(rb'["\n]', raw):
        if match[0] == b'"':
            is_quoted = not is_quoted
        elif not is_quoted:
            end = match.end()
    return raw[:end], end == len(raw)


def _label_of(cells: Sequence[str], where: str) -> Label:
    try:
        q1, q2, label, weight, origin, time, record = cells
        if label not in ("0", "1"):
            raise ValueError(f"its label is {label!r}, not 1 or 0")
        return Label(
            q1=q1,
            q2=q2,
            is_reusable=label == "1",
            weight=float(weight),
            origin=origin,
            at=datetime.fromisoformat(time).timestamp(),
            record=int(record) if record else None,
        )
    except ValueError as error:
        raise ConfigError(f"{where} is no label: {error}") from error


def _cells(label: Label) -> tuple[str, ...]:
    return (
        label.q1,
        label.q2,
        "1" if label.is_reusable else "0",
        f"{_short(label.weight):g}",
        label.origin,
        datetime.fromtimestamp(label.at, UTC).isoformat(timespec="seconds"),
        "" if label.record is None else str(label.record),
    )


def _short(weight: float) -> float:
    """Return a weight as the file holds it, so that what has not changed is seen to be the same."""
    return float(f"{weight:.6g}")


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode(errors="replace")


def _private(path: Path, flags: int) -> FileIO:
    # Unbuffered: what a full disk refuses must not stay in a buffer and be written later.
    return FileIO(os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600), "r+")


def _write(file: FileIO, raw: bytes) -> None:
    """Write all of something, and wait until the disk has it."""
    written = 0
    while written < len(raw):
        written += file.write(raw[written:])
    os.fsync(file.fileno())


def _lock(file: FileIO, path: Path) -> None:
    """Keep other processes out, where the system knows locks; the lock goes with the process.

    Within one process it is no hindrance: a cell of a notebook may be run again.
    """
    try:
        import fcntl
    except ImportError:  # Windows keeps a file that is open from being replaced
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ConfigError(f"another review has {path} open: finish it, or name another file with --out") from error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the labels file {path} cannot be read or written: {error}") from error

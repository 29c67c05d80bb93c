"""Labelled streams: the requests of a day, one JSON object a line, with what each should be answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from semroute.cli._output import UsageError


class Turn(BaseModel):
    """One earlier turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Literal["system", "user", "assistant"]
    content: str

    @field_validator("role", mode="before")
    @classmethod
    def _in_other_words(cls, role: object) -> object:
        """Take the words of other frameworks for the two speakers."""
        return {"human": "user", "ai": "assistant"}.get(role, role) if isinstance(role, str) else role


class Row(BaseModel):
    """One request of a labelled stream.

    Two requests of one context (tenant, system prompt, history and model) and one `answer_class` may share an
    answer; no others may. An answer that is bound to its moment has a class of its own.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    tenant: str | None = None
    system: str = ""
    history: tuple[Turn, ...] = ()
    query: str
    answer_class: str
    trap: bool = False
    """Whether the request was made to look like another one that has another answer."""
    model: str = "small"
    kind: str | None = None
    answer: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, given: object) -> object:
        """Take null, and a blank tenant or model, for a value that is left out."""
        if not isinstance(given, dict):
            return given
        blank = {name for name in ("tenant", "model") if isinstance(given.get(name), str) and not given[name].strip()}
        return {key: value for key, value in given.items() if value is not None and key not in blank}

    @field_validator("history", mode="before")
    @classmethod
    def _plain_turns(cls, history: object) -> object:
        """Take plain texts for turns of user and assistant, by turns, the user's first."""
        if not isinstance(history, list):
            return history
        speakers = ("user", "assistant")
        return [
            {"role": speakers[at % 2], "content": turn} if isinstance(turn, str) else turn
            for at, turn in enumerate(history)
        ]

    @field_validator("query", "answer_class", "model")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("must not be empty")
        return text

    @property
    def place(self) -> Place:
        """Return the context that the request's answer belongs to."""
        history = tuple((turn.role, turn.content) for turn in self.history)
        return Place(self.tenant, self.system, history, self.model)

    @property
    def label(self) -> Label:
        """Return what a right answer to the request must have been made for."""
        return Label(self.place, self.answer_class)

    @property
    def answer_text(self) -> str:
        """Return the answer that a stand-in model gives: the stream's own, or one made from the class."""
        return f"This is the answer of class {self.answer_class}." if self.answer is None else self.answer


class Place(NamedTuple):
    """A context: who asks, and everything that stands before the question."""

    tenant: str | None
    system: str
    history: tuple[tuple[str, str], ...]
    model: str


class Label(NamedTuple):
    """A context and an answer class: requests with equal labels may share an answer."""

    place: Place
    answer_class: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A named sequence of labelled requests."""

    name: str
    rows: tuple[Row, ...]


def read_stream(path: Path) -> Stream:
    """Read a labelled stream; raises UsageError that names the line and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} could not be read: {error}") from error
    return Stream(path.name, parse_rows(text, str(path)))


def packaged_stream() -> Stream:
    """Return the stream of the demo: a support desk's day."""
    name = "support_desk.jsonl"
    text = files("semroute.cli.demo").joinpath(name).read_text(encoding="utf-8")
    return Stream(name, parse_rows(text, name))


def parse_rows(text: str, source: str) -> tuple[Row, ...]:
    """Parse JSON lines; empty lines are passed over."""
    # Not splitlines(): it also parts at characters that may stand inside a JSON string.
    lines = enumerate(text.split("\n"), start=1)
    rows = tuple(_row(line, f"{source}, line {number}") for number, line in lines if line.strip())
    if not rows:
        raise UsageError(f"{source} holds no requests: give one JSON object a line")
    return rows


def reusable_flags(rows: Iterable[Row]) -> list[bool]:
    """Say of each request whether an earlier one has its right answer, by the stream's own labels."""
    seen: set[Label] = set()
    flags = []
    for row in rows:
        flags.append(row.label in seen)
        seen.add(row.label)
    return flags


def _row(line: str, where: str) -> Row:
    try:
        return Row.model_validate_json(line)
    except ValidationError as error:
        raise UsageError(f"{where}: {_told(error)}") from error


def _told(error: ValidationError) -> str:
    """Say in one sentence what a person has to change."""
    faults = [f"{_name(fault['loc'])}{fault['msg']}" for fault in error.errors(include_url=False)]
    return "; ".join(faults[:3])


def _name(location: Sequence[str | int]) -> str:
    return f"{'.'.join(str(part) for part in location)}: " if location else ""

"""The labelled set: the documents of ten corpora, questions to them, and documents that are added to them.

Three files of one JSON object a line. An id begins with the name of its corpus. `documents.jsonl` (id, title, text) is
what the answers in the cache were made from, `questions.jsonl` (id, text, answered) what was asked; answered says
whether the documents hold an answer. `added.jsonl` (id, kind, title, text, changes) has for each added document the
ids of the questions whose answer it changes. evals/added_documents.md says how they were written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

Half: TypeAlias = Literal["dev", "test"]
Kind: TypeAlias = Literal["changes", "answers", "adds", "near", "other"]

HERE: Final = Path(__file__).resolve().parent
CORPORA: Final[dict[Half, tuple[str, ...]]] = {
    "dev": ("library", "hr", "api", "coffee", "city"),
    "test": ("lab", "hosting", "clinic", "rail", "bank"),
}


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a corpus."""

    id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        """The document as an application has it: the title, where it has one, is the first line."""
        return f"{self.title}\n\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Added(Document):
    """A document that is added, with the questions whose answers it changes.

    Its kind is "changes" (another fact than before), "answers" (the corpus had no answer), "adds" (a further fact that
    a complete answer has), "near" (a topic of the corpus, other facts) or "other" (another topic).
    """

    kind: Kind
    changes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Question:
    """A question whose answer is in the cache, if only that the documents do not say."""

    id: str
    text: str
    answered: bool


@dataclass(frozen=True, slots=True)
class Corpus:
    """One corpus, the questions that were asked of it, and what is added to it."""

    name: str
    documents: tuple[Document, ...]
    questions: tuple[Question, ...]
    added: tuple[Added, ...]


def read_half(half: Half) -> list[Corpus]:
    """Read the corpora of one half: rules are chosen on "dev" and reported on "test"."""
    return [_corpus(name) for name in CORPORA[half]]


def _corpus(name: str) -> Corpus:
    return Corpus(
        name,
        tuple(Document(**row) for row in _rows("documents", name)),
        tuple(Question(**row) for row in _rows("questions", name)),
        tuple(Added(**{**row, "changes": frozenset(row["changes"])}) for row in _rows("added", name)),
    )


def _rows(file: str, corpus: str) -> Iterator[dict[str, Any]]:
    with (HERE / f"{file}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["id"].startswith(f"{corpus}/"):
                yield row

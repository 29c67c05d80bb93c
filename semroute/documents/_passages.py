"""The passages of a document: pieces so short that the vector of each stands for one or two statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

WINDOW: Final = 2
"""Sentences a passage: of one, two, three and the whole text the best on the dev half of evals/added_documents."""
MOST_PASSAGES: Final = 200
"""A text of more sentences than this has longer passages instead of more of them."""
_MOST_OF_A_HEADING: Final = 80
_FULL_LINE: Final = 60
"""A line of fewer characters was ended on purpose: a heading, an item of a list, a row of a table."""

_FEW_WORDS: Final = 128
"""Up to so many are asked for one by one when a text does not fit."""

_BLANK_LINES: Final = re.compile(r"\n[ \t]*\n")
_MARKS: Final = re.compile(r"^[\s#>*•|]*(?:[-+]\s+)?")
_WORD: Final = re.compile(r"\w")
_SENTENCE_ENDS: Final = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]]))\s+(?=[^\sa-z])|(?<=[。！？])")
_IS_UNFINISHED: Final = re.compile(r"^\d+[.)]$|\b(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|No|Nos|vs|approx|e\.g|i\.e|cf)\.$")
"""Ends in an abbreviation, or is but the number of an item."""


def split(text: str, fits: Callable[[str], bool], title: str) -> list[str]:
    """Return the passages of a text, each with its title before it where both fit; see `nearness.passages`."""
    heading, body = (_plain(title), text) if title.strip() else _headed(text)
    heading = " ".join(_fitting(heading, fits)[:1])
    found = [passage for window in _windows(list(sentences(body))) for passage in _titled(heading, window, fits)]
    return list(dict.fromkeys(found if found or not heading else [heading]))


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text; a short line is one by itself, lines that were only wrapped are joined."""
    for paragraph in _BLANK_LINES.split(text):
        for line in _unwrapped(paragraph):
            yield from _sentences_of(line)


def _unwrapped(paragraph: str) -> Iterator[str]:
    lines: list[str] = []
    for raw in paragraph.splitlines():
        lines.append(_plain(raw))
        if len(raw.rstrip()) < _FULL_LINE:
            yield " ".join(lines).strip()
            lines = []
    yield " ".join(lines).strip()


def _sentences_of(line: str) -> Iterator[str]:
    pieces: list[str] = []
    for piece in filter(None, map(str.strip, _SENTENCE_ENDS.split(line))):
        pieces.append(piece)
        if not _IS_UNFINISHED.search(piece):
            yield " ".join(pieces)
            pieces = []
    if pieces:
        yield " ".join(pieces)


def _headed(text: str) -> tuple[str, str]:
    """Take the first line for the title where it looks like one: short, no sentence, with something below it."""
    first, _, rest = text.strip().partition("\n")
    heading = _plain(first)
    is_heading = heading and len(heading) <= _MOST_OF_A_HEADING and heading[-1] not in ".!?…:;,。！？" and rest.strip()
    return (heading, rest) if is_heading else ("", text)


def _plain(line: str) -> str:
    """Return a line without the marks of headings, lists, quotations and tables; nothing where there is no word."""
    return _MARKS.sub("", " ".join(line.split()).rstrip(" |*")) if _WORD.search(line) else ""


def _windows(found: list[str]) -> Iterator[str]:
    """Yield overlapping runs of sentences: each begins within the one before."""
    step = max(1, -(-len(found) // MOST_PASSAGES))
    size = step + WINDOW - 1
    for start in range(0, max(1, len(found) - WINDOW + 1), step):
        if window := " ".join(found[start : start + size]):
            yield window


def _titled(heading: str, window: str, fits: Callable[[str], bool]) -> Iterator[str]:
    for part in _fitting(window, fits):
        titled = f"{heading}. {part}"
        yield titled if heading and fits(titled) else part


def _fitting(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return a text in parts that fit, without the words that no part could hold, as an emoji's."""
    if not text or fits(text):
        return [text] if text else []
    words = text.split()
    known = [word for word in words if fits(word)] if len(words) <= _FEW_WORDS else words
    if len(known) < len(words):
        return _fitting(" ".join(known), fits)
    middle = len(words) // 2
    return _fitting(" ".join(words[:middle]), fits) + _fitting(" ".join(words[middle:]), fits) if middle else []

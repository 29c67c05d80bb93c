"""The passages of a document: pieces so short that the vector of each stands for one or two statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

WINDOW: Final = 2
"""Sentences a passage: the best of one, two, three and the whole text in `python -m evals.added_documents`' sets."""
MOST_PASSAGES: Final = 200
"""A text of more sentences than this has longer passages instead of more of them."""
_MOST_OF_A_HEADING: Final = 80
_FULL_LINE: Final = 60
"""A line of fewer characters was ended on purpose: a heading, an item of a list, a row of a table."""

_BLANK_LINES: Final = re.compile(r"\n[ \t]*\n")
_MARKS: Final = re.compile(r"^[\s#>*•|+-]+|[\s|]+$")
_SENTENCE_ENDS: Final = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^\sa-z])|(?<=[。！？])")
_ABBREVIATED: Final = re.compile(r"\b(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|No|Nos|vs|approx|e\.g|i\.e|cf)\.$")


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
    line = ""
    for raw in paragraph.splitlines():
        line = f"{line} {_plain(raw)}".strip()
        if len(raw.rstrip()) < _FULL_LINE:
            yield line
            line = ""
    yield line


def _sentences_of(line: str) -> Iterator[str]:
    sentence = ""
    for piece in _SENTENCE_ENDS.split(line):
        sentence = f"{sentence} {piece.strip()}".strip()
        if sentence and not _ABBREVIATED.search(sentence):
            yield sentence
            sentence = ""
    if sentence:
        yield sentence


def _headed(text: str) -> tuple[str, str]:
    """Take the first line for the title where it looks like one: short, no sentence, with something below it."""
    first, _, rest = text.strip().partition("\n")
    heading = _plain(first)
    is_heading = heading and len(heading) <= _MOST_OF_A_HEADING and heading[-1] not in ".!?…:;,。！？" and rest.strip()
    return (heading, rest) if is_heading else ("", text)


def _plain(line: str) -> str:
    """Return a line without the marks of headings, lists, quotations and tables, and with single spaces."""
    return " ".join(_MARKS.sub("", line).split())


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
    known = [word for word in words if fits(word)]
    if len(known) < len(words):
        return _fitting(" ".join(known), fits)
    middle = len(words) // 2
    return _fitting(" ".join(words[:middle]), fits) + _fitting(" ".join(words[middle:]), fits) if middle else []

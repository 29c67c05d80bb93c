"""Which cached answers a document that is added may change: those whose question it is near to.

The document is taken apart into passages, and is as similar to a question as the most similar of them. A document that
answers a question, or part of it, seldom says so in the question's words, so that the threshold is far lower than one
for serving an answer: what it removes in vain is computed anew, what it leaves is out of date.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from semroute.documents._passages import split
from semroute.errors import ConfigError

AT_LEAST: Final = 0.28
"""Chosen on one half of the set that `python -m evals.added_documents` measures, with the default embedder.

On the other half it catches 95 % of the answers that a document changes, and drops 17 % of those that it does not; see
evals/added_documents.md. Another embedder has another scale: measure it before you trust the number.
"""


@dataclass(frozen=True, slots=True)
class Nearness:
    """Says how similar (cosine, 0 to 1) a passage that is added must be to a question for its answer to be removed.

    A lower value removes more answers: fewer are out of date, more are computed anew. At 0 every answer of the corpus
    goes. Raises ConfigError for a value outside [0, 1].
    """

    at_least: float = AT_LEAST

    def __post_init__(self) -> None:
        if not 0 <= self.at_least <= 1:
            raise ConfigError(f"at_least={self.at_least} is out of range: give a cosine from 0 to 1")


def passages(text: str, fits: Callable[[str], bool], title: str = "") -> list[str]:
    """Return the passages of a document: runs of two sentences, each beginning at the second of the one before.

    Every passage fits the embedder (`fits` is its method), and carries the title where there is room for it; without a
    title, a first line that looks like a heading is taken for one. All of the text is in some passage, except single
    words that do not fit. A text of more than 200 sentences has longer runs, not more of them; those that do not fit
    are parted. An empty text has no passages.
    """
    return split(text, fits, title)

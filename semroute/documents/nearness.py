"""Which cached answers a document that is added may change: those whose question it is near to.

The document is taken apart into passages, and the similarity of a question to the document is the greatest cosine of
the question to one of them. How much of it is near depends on the question: one in the words of its corpus comes to
0.8 with the text that answers it, a broad or short one to 0.4. So a document is near when it comes to a given share of
the answer's reach, which is what the sources of the answer themselves come to. Where the reach of an answer is not
known, a plain threshold decides.

The numbers were chosen on the one half of the set that `python -m evals.added_documents` measures, with the default
embedder; evals/added_documents.md has the figures of the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from semroute.documents._passages import split
from semroute.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AT_LEAST: Final = 0.28
"""Without a reach: 0.28 to 0.33 catch 91 to 94 % of the changed answers there."""
SHARE: Final = 0.55
"""Of the reach: 0.50 to 0.60 catch 96 % of the changed answers there; more of the others go the lower it is."""
FLOOR: Final = 0.15
"""Nothing below is near whatever the reach; no changed answer there lies below 0.18."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """Says how similar an added passage must be to a question for the answer to be removed; cosines in [0, 1].

    `at_least` is for answers of which no reach is known, `share` (of the reach) and `floor` for the others. Lower
    values remove more answers: fewer are out of date, more are computed anew. Raises ConfigError for values outside
    [0, 1].
    """

    at_least: float = AT_LEAST
    share: float = SHARE
    floor: float = FLOOR

    def __post_init__(self) -> None:
        for name in ("at_least", "share", "floor"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name}={value} is out of range: give a number from 0 to 1")

    @property
    def least(self) -> float:
        """What a store is asked for, so that no near entry is left out, whatever its reach."""
        return min(self.at_least, self.floor)

    def threshold(self, reach: float | None = None) -> float:
        """Return the similarity from which on a document is near to a question whose answer has this reach."""
        return self.at_least if reach is None else max(self.floor, self.share * reach)

    def is_near(self, similarity: float, reach: float | None = None) -> bool:
        """Say whether a document with this similarity to a question may change its answer."""
        return similarity >= self.threshold(reach)


def passages(text: str, fits: Callable[[str], bool], title: str = "") -> list[str]:
    """Return the passages of a document: runs of two sentences, each beginning at the second of the one before.

    Every passage fits the embedder (`fits` is its method), and carries the title where there is room for it; without a
    title, a first line that looks like a heading is taken for one. All of the text is in some passage except single
    words that do not fit. A text of more than 200 sentences has longer runs, not more of them; those that do not fit
    are parted. An empty text has no passages.
    """
    return split(text, fits, title)


def reach(query: NDArray[np.float32], sources: NDArray[np.float32]) -> float | None:
    """Return the greatest cosine of a question to the passages of its answer's sources; None where there are none.

    `query` is its vector and `sources` a row for each passage, all of the same embedder and of unit length.
    """
    return float((sources @ query).max()) if len(sources) else None

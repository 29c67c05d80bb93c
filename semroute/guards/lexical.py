"""The lexical guards: what two questions must have in common before one's answer is served for the other.

They read the words only: English, with a strict fallback for other scripts, where any word that differs refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from semroute.guards import literals, names, numbers, order, polarity, question, wording
from semroute.guards._pair import Pair, compare
from semroute.guards._text import MAX_CHARS
from semroute.result import Verdict

if TYPE_CHECKING:
    from semroute.entry import Candidate


@cache
def _passed(name: str) -> Verdict:
    return Verdict(name, passed=True)


@dataclass(frozen=True, slots=True)
class LexicalGuard:
    """A guard that refuses when its rule finds a difference between the two texts."""

    name: str
    rule: Callable[[Pair], str]

    def check(self, query: str, candidate: Candidate) -> Verdict:
        """Compare the query with the candidate's; texts too long to compare are refused."""
        is_long = max(len(query), len(candidate.query)) > MAX_CHARS
        pair = None if is_long else compare(query, candidate.query)
        why = "too long to compare" if pair is None else self.rule(pair)
        return Verdict(self.name, passed=False, why=why) if why else _passed(self.name)


def lexical_guards() -> tuple[LexicalGuard, ...]:
    """Return the lexical guards in the order in which they are asked."""
    return (
        LexicalGuard("numbers", numbers.differ),
        LexicalGuard("polarity", polarity.differ),
        LexicalGuard("names", names.differ),
        LexicalGuard("literals", literals.differ),
        LexicalGuard("question", question.differ),
        LexicalGuard("order", order.differ),
        LexicalGuard("wording", wording.differ),
    )

"""Vetoes: differences that are never to be served, however probable a learned verifier finds an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from semroute.guards import names, order, polarity, question, wording
from semroute.guards._features import Found
from semroute.guards._pair import Pair
from semroute.guards._roles import deeds_exchanged, direction_turned, roles_swapped
from semroute.guards._words import FILLERS, words

MOST_OTHER_WORDS: Final = 2
"""Two texts of which neither has more words that the other lacks are close: what any lexical rule finds is a veto.

Two statements, which ask nothing, are close with one such word less.
"""
_TYPED_LETTERS: Final = words("d l m n r s t u w")
"""Letters in lower case that stand for words or parts of words: "i m late", "w/ milk", "r u sure"."""
_NO_WORDS: Final = FILLERS | words("a an the")
"""Words that may be added without making two texts less close."""


def _designators(pair: Pair) -> str:
    """Find a letter that stands for one of several things in one text only: "hall B", "vitamin C"."""
    letters = [
        token.surface
        for token in (*pair.only_query, *pair.only_stored)
        if len(token.surface) == 1 and token.surface.isalnum() and token.surface not in _TYPED_LETTERS
    ]
    return f"only one says {letters[0]}" if letters else ""


def _roles(pair: Pair) -> str:
    return roles_swapped(pair) or deeds_exchanged(pair) or direction_turned(pair) or _voice(pair)


def _voice(pair: Pair) -> str:
    """Find an active and a passive of the same words that say different things: "A likes B", "A is liked by B"."""
    is_alike = not pair.only_query and not pair.only_stored
    return order.differ(pair) if is_alike and ("by" in pair.query.words) != ("by" in pair.stored.words) else ""


_Rules: TypeAlias = tuple[tuple[str, Callable[[Pair], str]], ...]
# In both the rule of polarity comes first.
_ALWAYS: Final[_Rules] = (
    ("polarity", polarity.left_opposites),
    ("polarity", polarity.other_side_of_time),
    ("polarity", polarity.undone),
    ("question", question.seeks_another),
    ("question", question.may_or_must),
    ("names", names.both_differ),
    ("names", _designators),
    ("order", _roles),
)
_WHEN_CLOSE: Final[_Rules] = (
    ("polarity", polarity.differ),
    ("names", names.differ),
    ("question", question.differ),
    ("order", order.differ),
    ("wording", wording.differ),
)


def veto(pair: Pair, found: Found) -> str:
    """Return a difference that is never to be served ("numbers: 2019 ≠ 2017"), or nothing.

    Other numbers and code always are, and in questions opposites, other names and exchanged roles. In texts that are
    close to one another anything is that a lexical rule finds; in texts that are worded anew that is evidence among
    others.
    """
    if found.numbers:
        return f"numbers: {found.numbers}"
    if found.literals:
        return f"literals: {found.literals}"
    is_asked = not question.is_statement(pair)
    # Where polarity was looked for and nothing found, nothing is found by asking again.
    start = 1 if found.polarity == "" else 0
    why = _first(_ALWAYS[start:], pair) if is_asked else ""
    return why or (_first(_WHEN_CLOSE[start:], pair) if _are_close(found, is_asked) else "")


def _first(rules: _Rules, pair: Pair) -> str:
    """Ask the rules until one finds a difference; the later ones cost more."""
    for name, rule in rules:
        why = rule(pair)
        if why:
            return f"{name}: {why}"
    return ""


def _are_close(found: Found, is_asked: bool) -> bool:
    """Say whether two texts are near copies, or of a script that nothing was fitted on."""
    n_other = max(len(found.ours - _NO_WORDS), len(found.theirs - _NO_WORDS))
    return n_other < MOST_OTHER_WORDS + is_asked or not "".join((*found.ours, *found.theirs)).isascii()

"""Two texts laid side by side: which tokens they share, and what is left over on either side."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from semroute.guards._spelling import initials, is_misspelt_function_word, same_word
from semroute.guards._text import Text, analyse
from semroute.guards._tokens import Token

MAX_DIFFERENCES = 2_500
"""Of two texts with more pairs of differing words than this, nothing is compared."""


@dataclass(slots=True, eq=False)
class Pair:
    """A query and a candidate's query, compared token by token."""

    query: Text
    stored: Text
    only_query: tuple[Token, ...]
    """Content words of the query that the stored text has no counterpart for."""
    only_stored: tuple[Token, ...]
    shared: tuple[tuple[str, str], ...]
    """Keys (query, stored) of content words that were matched with another spelling or form."""
    n_shared: int
    _changed: tuple[tuple[Token, ...], tuple[Token, ...]] | None = field(default=None, init=False)

    @property
    def changed(self) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
        """What either text has between the tokens that both begin with and those that both end with.

        Of two near copies that is little, and what reads the order of the words need not read more.
        """
        if self._changed is None:
            self._changed = _between_ends(self.query.tokens, self.stored.tokens)
        return self._changed


@lru_cache(maxsize=128)
def compare(query: str, stored: str) -> Pair | None:
    """Lay two texts side by side; None when they are too long, or too far apart, to compare."""
    first, second = analyse(query), analyse(stored)
    if first is None or second is None:
        return None
    left, right = _left_over(first.content, second.keys), _left_over(second.content, first.keys)
    if len(left) * len(right) > MAX_DIFFERENCES:
        return None
    n_shared = sum([token.key in second.keys for token in first.content])
    left, right, related = _related(left, right)
    n_shared += len(related) + len(_solid(first) & _solid(second))
    return Pair(first, second, tuple(left), tuple(right), tuple(related), n_shared)


def _between_ends(ours: tuple[Token, ...], theirs: tuple[Token, ...]) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
    front = back = 0
    # Texts share the tokens of their words.
    for one, two in zip(ours, theirs, strict=False):
        if one is not two:
            break
        front += 1
    ours, theirs = ours[front:], theirs[front:]
    for one, two in zip(reversed(ours), reversed(theirs), strict=False):
        if one is not two:
            break
        back += 1
    return ours[: len(ours) - back], theirs[: len(theirs) - back]


def _left_over(content: tuple[Token, ...], keys: frozenset[str]) -> list[Token]:
    """Return the content words of one text that the other one, whose keys are given, has no counterpart for."""
    return [token for token in content if token.key not in keys and not is_misspelt_function_word(token.surface)]


def _related(left: list[Token], right: list[Token]) -> tuple[list[Token], list[Token], list[tuple[str, str]]]:
    """Match what is left over by other forms and by spelling: "subscribe" and "subscription", "recieve"."""
    if not left or not right:
        return left, right, []
    if _are_joined(left, right) or _are_joined(right, left):
        left, right = _unjoined(left, right), _unjoined(right, left)
    related: list[tuple[str, str]] = []
    kept: list[Token] = []
    rest = [(other, *initials(other)) for other in right]
    for token in left:
        first, _, first_of_key = initials(token)
        for index, (other, its_first, its_second, its_first_of_key) in enumerate(rest):
            # Most words begin otherwise: neither a form nor a slip changes the first letter, but for a swap.
            could_be = first in (its_first, its_second) or first_of_key == its_first_of_key
            if could_be and same_word(token, other):
                related.append((token.key, other.key))
                del rest[index]
                break
        else:
            kept.append(token)
    return kept, [entry[0] for entry in rest], related


def _solid(text: Text) -> set[str]:
    return {token.key for token in (*text.numbers, *text.literals)}


def _are_joined(apart: list[Token], joined: list[Token]) -> bool:
    """Say whether one side writes two neighbours as one word: "data base" and "database"."""
    if len(apart) < 2:
        return False
    surfaces = [token.surface.lower() for token in apart]
    twice = {first + second for first, second in pairwise(surfaces)}
    return not twice.isdisjoint([token.surface.lower() for token in joined])


def _unjoined(tokens: list[Token], others: list[Token]) -> list[Token]:
    """Drop what the other side writes joined or apart."""
    surfaces = [token.surface.lower() for token in tokens]
    apart = [token.surface.lower() for token in others]
    twice = {first + second for first, second in pairwise(apart)}
    joined = set(apart)
    dropped = {index for index, surface in enumerate(surfaces) if surface in twice}
    for index, (first, second) in enumerate(pairwise(surfaces)):
        if first + second in joined:
            dropped |= {index, index + 1}
    return [token for index, token in enumerate(tokens) if index not in dropped]

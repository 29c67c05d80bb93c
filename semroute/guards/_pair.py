"""Two texts laid side by side: which tokens they share, and what is left over on either side."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from semroute.guards._spelling import could_be_same, initials, is_misspelt_function_word, same_word
from semroute.guards._text import Text, analyse
from semroute.guards._tokens import Kind, Token

_CONTENT = Kind.CONTENT
_SOLID = (Kind.NUMBER, Kind.LITERAL)
MAX_DIFFERENCES = 2_500
"""Of two texts with more pairs of differing words than this, nothing is compared."""


class Pair(NamedTuple):
    """A query and a candidate's query, compared token by token."""

    query: Text
    stored: Text
    only_query: tuple[Token, ...]
    """Content words of the query that the stored text has no counterpart for."""
    only_stored: tuple[Token, ...]
    shared: tuple[tuple[str, str], ...]
    """Keys (query, stored) of content words that were matched with another spelling or form."""
    n_shared: int


@lru_cache(maxsize=128)
def compare(query: str, stored: str) -> Pair | None:
    """Lay two texts side by side; None when they are too long, or too far apart, to compare."""
    first, second = analyse(query), analyse(stored)
    if first is None or second is None:
        return None
    left, n_shared = _left_over(first.tokens, second.tokens)
    right, _ = _left_over(second.tokens, first.tokens)
    if len(left) * len(right) > MAX_DIFFERENCES:
        return None
    left, right, related = _related(left, right)
    n_shared += len(related) + len(_solid(first) & _solid(second))
    return Pair(first, second, tuple(left), tuple(right), tuple(related), n_shared)


def _left_over(these: tuple[Token, ...], those: tuple[Token, ...]) -> tuple[list[Token], int]:
    """Return the content words of these that those have no counterpart for, and how many have one."""
    present = {token.key for token in those}
    content = [token for token in these if token.kind is _CONTENT]
    missing = [token for token in content if token.key not in present]
    left = [token for token in missing if not is_misspelt_function_word(token.surface)]
    return left, len(content) - len(missing)


def _related(left: list[Token], right: list[Token]) -> tuple[list[Token], list[Token], list[tuple[str, str]]]:
    """Match what is left over by other forms and by spelling: "subscribe" and "subscription", "recieve"."""
    if not left or not right:
        return left, right, []
    left, right = _unjoined(left, right), _unjoined(right, left)
    related: list[tuple[str, str]] = []
    kept: list[Token] = []
    rest = [(other, initials(other)) for other in right]
    for token in left:
        begins = initials(token)
        for index, (other, its) in enumerate(rest):
            if could_be_same(begins, its) and same_word(token, other):
                related.append((token.key, other.key))
                del rest[index]
                break
        else:
            kept.append(token)
    return kept, [other for other, _ in rest], related


def _solid(text: Text) -> set[str]:
    return {token.key for token in text.tokens if token.kind in _SOLID}


def _unjoined(tokens: list[Token], others: list[Token]) -> list[Token]:
    """Drop what the other side writes joined or apart: "data base" and "database"."""
    surfaces = [token.surface.lower() for token in tokens]
    apart = [token.surface.lower() for token in others]
    twice = {first + second for first, second in pairwise(apart)}
    joined = set(apart)
    dropped = {index for index, surface in enumerate(surfaces) if surface in twice}
    for index, (first, second) in enumerate(pairwise(surfaces)):
        if first + second in joined:
            dropped |= {index, index + 1}
    return [token for index, token in enumerate(tokens) if index not in dropped]

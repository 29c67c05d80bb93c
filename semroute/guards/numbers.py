"""Numbers, dates and units: what is counted, dated or measured must be the same, and on the same side of a bound."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from semroute.guards._pair import Pair
from semroute.guards._text import Text
from semroute.guards._tokens import Kind, Token
from semroute.guards._words import words

_WEAK = words("one one's once first double")
"""Numbers that often count nothing ("which one", "first, …"); alone on one side they say nothing."""
_ARTICLES = words("a an per each every")
_EVERY = {"day": "daily", "week": "weekly", "month": "monthly", "year": "annually", "hour": "hourly"}
"""What "a day" and the like are read as."""
_ABOVE = words("morethan atleast over above exceeding beyond")
_BELOW = words("lessthan atmost under below upto within")
_ABOVE_THAN = words("longer greater larger bigger older higher later heavier")
_BELOW_THAN = words("shorter smaller younger lower earlier fewer lighter")
"""What "than" makes a bound of: "longer than two weeks"."""


def differ(pair: Pair) -> str:
    """Return how the numbers differ ("2019 ≠ 2017"), or their bounds ("over ≠ under"), or nothing."""
    query, stored = pair.query.numbers, pair.stored.numbers
    only_query, only_stored = _minus(query, stored), _minus(stored, query)
    if only_query and only_stored:
        return f"{_said(only_query)} ≠ {_said(only_stored)}"
    for side, tokens, other in (("query", only_query, pair.stored), ("stored question", only_stored, pair.query)):
        strong = [token for token in tokens if not _counts_nothing(token.surface.lower(), other)]
        if strong:
            return f"only the {side} says {_said(strong)}"
    return _bounds_differ(pair)


def _counts_nothing(number: str, other: Text) -> bool:
    """Say whether a number that the other text lacks is none, or is an article there: "one month", "a month"."""
    if number in _WEAK:
        return True
    count, _, unit = number.partition(" ")
    if count != "one":
        return False
    is_once = any(one in _ARTICLES and two == unit for one, two in pairwise(other.words))
    return is_once or _EVERY.get(unit) in other.vocabulary


def _bounds_differ(pair: Pair) -> str:
    """Find a number that is the least in one text and the most in the other: "over 10 kg" and "under 10 kg"."""
    ours, theirs = _bounds(pair.query), _bounds(pair.stored)
    for number, (is_above, said) in ours.items():
        other = theirs.get(number)
        if other is not None and other[0] != is_above:
            return f"{said} ≠ {other[1]}"
    return ""


def _bounds(text: Text) -> dict[str, tuple[bool, str]]:
    """Return for the key of each number that is a bound whether it is one from below, and the word that says so."""
    found: dict[str, tuple[bool, str]] = {}
    tokens = text.tokens
    for index, token in enumerate(tokens):
        if index and token.kind is Kind.NUMBER:
            word = tokens[index - 1]
            is_compared = word.key == "than" and index > 1
            above, below = (_ABOVE_THAN, _BELOW_THAN) if is_compared else (_ABOVE, _BELOW)
            word = tokens[index - 2] if is_compared else word
            if word.key in above or word.key in below:
                found[token.key] = word.key in above, word.surface
    return found


def _minus(these: tuple[Token, ...], those: tuple[Token, ...]) -> list[Token]:
    if not these:
        return []
    stock = Counter(token.key for token in those)
    left = []
    for token in these:
        if stock[token.key] > 0:
            stock[token.key] -= 1
        else:
            left.append(token)
    return left


def _said(tokens: list[Token]) -> str:
    return ", ".join(token.surface for token in tokens)

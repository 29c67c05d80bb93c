"""Numbers, dates and units: what is counted, dated or measured must be the same."""

from __future__ import annotations

from collections import Counter

from semroute.guards._pair import Pair
from semroute.guards._tokens import Token
from semroute.guards._words import words

_WEAK = words("one once first double")
"""Numbers that often count nothing ("which one", "first, …"); alone on one side they say nothing."""


def differ(pair: Pair) -> str:
    """Return how the numbers differ ("2019 ≠ 2017"), or nothing."""
    query, stored = pair.query.numbers, pair.stored.numbers
    only_query, only_stored = _minus(query, stored), _minus(stored, query)
    if only_query and only_stored:
        return f"{_said(only_query)} ≠ {_said(only_stored)}"
    for side, tokens in (("query", only_query), ("stored question", only_stored)):
        strong = [token for token in tokens if token.surface.lower() not in _WEAK]
        if strong:
            return f"only the {side} says {_said(strong)}"
    return ""


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

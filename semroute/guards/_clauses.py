"""Conditions that stand before what depends on them, or behind it: "if I cancel, do I pay", "do I pay if I cancel"."""

from __future__ import annotations

from collections.abc import Mapping

from semroute.guards._pair import Pair
from semroute.guards._text import Text
from semroute.guards._tokens import Kind

_OPENERS = {"if": "if", "when": "if", "whenever": "if", "after": "after", "before": "before", "once": "once"}
"""Words that open a condition, with those that say the same."""
_SAID = (Kind.CONTENT, Kind.NUMBER, Kind.LITERAL, Kind.NEGATION)


def clause_moved(pair: Pair) -> bool:
    """Say whether both texts say the same under the same condition, wherever that stands."""
    first = _parted(pair.query, {})
    return first is not None and first == _parted(pair.stored, {stored: query for query, stored in pair.shared})


def _parted(text: Text, renamed: Mapping[str, str]) -> tuple[str, list[str], list[str]] | None:
    """Return what opens the condition, what it says and what else is said, as keys; None unless there is just one."""
    openers = [place for place, token in enumerate(text.tokens) if token.surface.lower() in _OPENERS]
    if len(openers) != 1:
        return None
    start = openers[0]
    end = len(text.tokens) if start else next((i for i, token in enumerate(text.tokens) if token.key == ","), None)
    if end is None:
        return None
    condition, rest = text.tokens[start + 1 : end], (*text.tokens[:start], *text.tokens[end:])
    said, other = ([renamed.get(one.key, one.key) for one in part if one.kind in _SAID] for part in (condition, rest))
    return _OPENERS[text.tokens[start].surface.lower()], said, other

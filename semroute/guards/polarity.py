"""Negation and opposites: "with" and "without", "enable" and "disable", "before" and "after"."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from semroute.guards._antonyms import are_opposites
from semroute.guards._pair import Pair
from semroute.guards._synonyms import canonical
from semroute.guards._text import Text
from semroute.guards._words import words

_SOFT_NEGATIONS = words(
    "trouble problem issue fail failure fails failed error broken refuse lack impossible avoid prevent absence cannot"
)
"""Words that may stand where the other text says "not"."""
_TURNING = words("before after since until till except unless outside")
_TIME = words("before after")
_BACK = words("found recovered regained reopened reactivated")
"""Deeds that are over, and that end what their opposite began."""
_COMMON = words("to from into in out on off up down for against and or")
"""Words with so many uses that they count as opposites only where all else is the same."""
_KEEPING = words("keep keeps kept keeping")
_MANY_WORDS = 5
_MILD = {
    "after": words("when once if"),
    "until": words("till before"),
    "till": words("until"),
    "before": words("until till"),
}


def differ(pair: Pair) -> str:
    """Return what is negated or turned round on one side only, or nothing."""
    return _negation(pair.query, pair.stored) or _opposites(pair) or _function_words(pair)


def _negation(query: Text, stored: Text) -> str:
    first, second = _negations(query), _negations(stored)
    if len(first) == len(second):
        return ""
    if not first or not second:
        poorer = stored if first else query
        if abs(len(first) - len(second)) == 1 and not _SOFT_NEGATIONS.isdisjoint(poorer.vocabulary):
            return ""
    said = (" ".join(first) or "no negation", " ".join(second) or "no negation")
    return f"{said[0]} ≠ {said[1]}"


def _negations(text: Text) -> list[str]:
    """Return the negations, but for the "no" that only answers ("No, it is …")."""
    if not text.negations:
        return _kept_from(text)
    said = [token.surface for token in text.negations]
    if text.negations[0] is text.tokens[0] and [token.key for token in text.tokens[:2]] == ["no", ","]:
        del said[0]
    return said + _kept_from(text)


def _kept_from(text: Text) -> list[str]:
    """Return "from" where it forbids: "keep the camera from recording"."""
    if _KEEPING.isdisjoint(text.vocabulary):
        return []
    return ["from" for one, two in pairwise(text.words) if one == "from" and two.endswith("ing")]


def left_opposites(pair: Pair) -> str:
    """Find two words that are left over on either side, and are opposites."""
    for token in pair.only_query:
        for other in pair.only_stored:
            if are_opposites(token.key, other.key):
                return f"{token.surface} ≠ {other.surface}"
    return ""


def undone(pair: Pair) -> str:
    """Find that one text takes back what both say: "I have found the card that I lost", "I have lost a card"."""
    for left, ours, theirs in (
        (pair.only_query, pair.query, pair.stored),
        (pair.only_stored, pair.stored, pair.query),
    ):
        for token in left:
            if token.surface.lower() in _BACK and any(are_opposites(token.key, key) for key in ours.keys & theirs.keys):
                return f"only one says {token.surface}"
    return ""


def other_side_of_time(pair: Pair) -> str:
    """Find that one text says before, and the other one after; of a span of time both may be said."""
    if "how long" in (asked := (pair.query.asks, pair.stored.asks)) or "how many" in asked:
        return ""
    first, second = (_TIME & text.vocabulary for text in (pair.query, pair.stored))
    return "before ≠ after" if len(first) == len(second) == 1 and first != second else ""


def _opposites(pair: Pair) -> str:
    left = left_opposites(pair)
    return left or next((f"{one} ≠ {other}" for one, other in pair.shared if are_opposites(one, other)), "")


def _function_words(pair: Pair) -> str:
    first, second = pair.query.vocabulary, pair.stored.vocabulary
    ours = [token.key for token in pair.query.functions if token.key not in second]
    theirs = [token.key for token in pair.stored.functions if token.key not in first]
    is_reworded = bool(pair.only_query and pair.only_stored) or len(ours) + len(theirs) >= _MANY_WORDS
    for word in ours:
        for other in theirs:
            if _are_opposed(word, other) and not (is_reworded and word in _COMMON):
                return f"{word} ≠ {other}"
    for turning, others in ((ours, second), (theirs, first)):
        for word in turning:
            if word in _TURNING and _MILD.get(word, frozenset()).isdisjoint(others):
                return f"only one says {word}"
    return ""


@lru_cache(maxsize=8192)
def _are_opposed(word: str, other: str) -> bool:
    """Say whether two function words are opposites; there are few of them, so that each pair is looked at once."""
    return are_opposites(canonical(word), canonical(other))

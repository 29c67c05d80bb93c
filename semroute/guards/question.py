"""Question word: who, when, where, why, how, how many; and when the question is set (was, is, will be)."""

from __future__ import annotations

from itertools import takewhile

from semroute.guards._modality import modality_differs
from semroute.guards._pair import Pair
from semroute.guards._text import Text
from semroute.guards._tokens import Kind
from semroute.guards._words import JOINERS, PAST, PRESENT, words

_TIMES = (
    dict.fromkeys(PAST | {"happened"}, "past")
    | dict.fromkeys(PRESENT | {"happens"}, "present")
    | {"will": "future", "have": "perfect", "has": "perfect"}
)
_OTHER_TIMES = frozenset(frozenset(pair) for pair in (("past", "present"), ("past", "future"), ("perfect", "future")))
_OPINION = words("you your ever")
_OPEN = words("who when where why")
"""What asks for a person, a time, a place or a reason, and for nothing else."""
_OFFERED = words("get find buy")
"""Behind "where" they ask for whoever has a thing: "where can I find a plumber", "who is a good plumber"."""
_SAME = frozenset(frozenset(pair) for pair in (("what", ""), ("how", ""), ("yes or no", "")))
"""What a note without a question word may ask: "hippos dangerous for humans"."""


def differ(pair: Pair) -> str:
    """Return the question words when they differ ("who ≠ when"), or the tenses, or nothing."""
    first, second = pair.query.asks, pair.stored.asks
    if first != second and frozenset((first, second)) not in _SAME and not _is_sought(pair, first, second):
        return f"{first or 'no question word'} ≠ {second or 'no question word'}"
    modality = "" if is_statement(pair) else modality_differs(pair, first, second)
    return modality or _which(pair) or _tense(pair.query, pair.stored)


def seeks_another(pair: Pair) -> str:
    """Return two question words of which neither text has both: "who ≠ when"; however else they are worded."""
    first, second = pair.query.asks, pair.stored.asks
    if first == second or first not in _OPEN or second not in _OPEN:
        return ""
    if first in pair.stored.vocabulary or second in pair.query.vocabulary:
        return ""
    is_offered = {first, second} == {"who", "where"} and any(
        not _OFFERED.isdisjoint(text.vocabulary) for text in (pair.query, pair.stored)
    )
    return "" if is_offered else f"{first} ≠ {second}"


def may_or_must(pair: Pair) -> str:
    """Find that one text asks whether something may be done, and the other whether it must be."""
    first, second = pair.query.asks, pair.stored.asks
    return modality_differs(pair, first, second) if first == second == "yes or no" else ""


def _is_sought(pair: Pair, first: str, second: str) -> bool:
    """Say whether one asks how and the other where to find the same: "how do I find my IBAN"."""
    return {first, second} == {"how", "where"} and all(
        text.words[3:4] == ("find",) for text in (pair.query, pair.stored)
    )


def _which(pair: Pair) -> str:
    """Find that of two things which both texts name, each asks for another one: "which apps", "which team"."""
    first, second = _asked_noun(pair.query), _asked_noun(pair.stored)
    if not first or not second or first == second:
        return ""
    both = {first, second}
    return f"which {first} ≠ which {second}" if both <= pair.query.keys and both <= pair.stored.keys else ""


def _asked_noun(text: Text) -> str:
    """Return the last word of the noun behind "which" at the beginning; none where a list begins there."""
    if "which" not in text.keys:
        return ""
    start = next((i + 1 for i, token in enumerate(text.tokens[:3]) if token.key == "which"), None)
    if start is None:
        return ""
    noun = list(takewhile(lambda token: token.kind is Kind.CONTENT, text.tokens[start:]))
    is_list = any(token.key in JOINERS for token in text.tokens[start + len(noun) : start + len(noun) + 1])
    return noun[-1].key if noun and not is_list else ""


def is_statement(pair: Pair) -> bool:
    """Say whether neither text asks or orders anything."""
    return pair.query.is_statement and pair.stored.is_statement


def _tense(query: Text, stored: Text) -> str:
    """Compare when the questions are set; questions of opinion ("what is/was your best …") have no time."""
    first, second = _auxiliary(query), _auxiliary(stored)
    if first == second:
        return ""
    times = frozenset((_TIMES.get(first), _TIMES.get(second)))
    if "future" in times and times in _OTHER_TIMES:
        return f"{first} ≠ {second}"
    if not _OPINION.isdisjoint(query.words) and not _OPINION.isdisjoint(stored.words):
        return ""
    if times in _OTHER_TIMES:
        return f"{first} ≠ {second}"
    return ""


def _auxiliary(text: Text) -> str:
    """Return the verb that sets the time of the question, if it stands among the first words."""
    for word in text.words[:3]:
        if word in _TIMES:
            return word
    return ""

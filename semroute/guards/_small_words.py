"""Small words that carry the difference: a preposition put for another, whose it is, whether it is all of them."""

from __future__ import annotations

from itertools import pairwise

from semroute.guards._pair import Pair
from semroute.guards._synonyms import canonical
from semroute.guards._text import Text
from semroute.guards._tokens import Kind, Token
from semroute.guards._words import ARTICLES, AUXILIARIES, FUNCTION_WORDS, PREPOSITIONS, words

_CONTENT, _MARK = Kind.CONTENT, Kind.MARK
_BEFORE_NOUNS = words("a an the")
_ALIKE = frozenset(
    frozenset(row.split("-"))
    for row in words(
        "in-on in-at on-at in-of of-for in-for for-to in-into in-inside in-within into-to onto-on on-about of-about "
        "for-about with-by by-via by-through via-through to-with under-below over-above near-beside from-of from-in "
        "from-off in-during for-during over-during of-on with-in as-like to-towards to-toward toward-towards "
        "around-about until-till to-at at-by by-from to-of between-among among-amongst on-from on-with of-with "
        "for-with in-to on-for with-on on-to at-for onto-to into-onto through-in within-inside upon-on out-of "
        "about-with along-on across-in through-with than-over than-from under-in in-like in-as for-as around-in in-off "
        "from-at from-through behind-of behind-for like-of by-of near-at near-in near-around throughout-in "
        "through-during"
    )
)
"""Prepositions that may stand for one another in one sentence."""
_SIDES = (words("me you"), words("mine yours"), words("us you"))
_PEOPLE = (words("i they"), words("i he"), words("i she"), words("he she"), words("you they"))
_MINE = words("my our")
_THEIRS = words("his her their")
_SEEKING = frozenset(canonical(word) for word in words("search look"))
_FIRST = words("i me my mine myself we us our ours")
_THIRD = words("he him his himself she her hers herself they them their theirs")
_ANYBODY = words("one someone somebody anyone person people they")
"""Words behind which "his" and "their" mean anybody's."""
_ALL = words("all every each both whole entire everyone everybody")
_SOME = words("some few several most half certain")
_TIMES = words("time times day night week month year kind kinds sort sorts at")
_ANY = words("any everything list")


def differ(pair: Pair) -> str:
    """Return the small words that make the difference ("behind ≠ near", "my ≠ their"), or nothing."""
    return _preposition(pair) or _owner(pair) or _quantifier(pair) or _gerund(pair)


def _gerund(pair: Pair) -> str:
    """Find a noun that is another noun with "-ing": "a train", "a training"."""
    if not (_has_gerund(pair.query) or _has_gerund(pair.stored)) or pair.query.words == pair.stored.words:
        return ""
    ours = _nouns(pair.query)
    theirs = _nouns(pair.stored) if ours else {}
    for key in ours.keys() & theirs.keys():
        if ours[key].endswith("ing") != theirs[key].endswith("ing"):
            return f"{ours[key]} ≠ {theirs[key]}"
    return ""


def _has_gerund(text: Text) -> bool:
    return any(token.surface.lower().endswith("ing") for token in text.content)


def _nouns(text: Text) -> dict[str, str]:
    """Return the words that stand behind "a", "an" or "the", by their keys."""
    if _BEFORE_NOUNS.isdisjoint(text.keys):
        return {}
    behind = [two for one, two in pairwise(text.tokens) if one.key in _BEFORE_NOUNS and two.kind is _CONTENT]
    return {token.key: token.surface.lower() for token in behind}


def _plain(tokens: tuple[Token, ...]) -> list[Token]:
    return [token for token in tokens if token.kind is not _MARK and token.key not in ARTICLES]


def _preposition(pair: Pair) -> str:
    """Compare two sentences that are the same but for one small word."""
    changed, others = map(_plain, pair.changed)
    if len(changed) != len(others):
        return ""
    other = [(one, two) for one, two in zip(changed, others, strict=True) if one.key != two.key]
    if len(other) != 1:
        return ""
    ours = _plain(pair.query.tokens)
    first, second = other[0][0].key, other[0][1].key
    both = {first, second}
    if both <= PREPOSITIONS:
        before = ours[ours.index(other[0][0]) - 1].key
        is_alike = frozenset(both) in _ALIKE and not (before in _SEEKING and "for" in both)
        return "" if is_alike else f"{first} ≠ {second}"
    is_asked_of = both in _SIDES or (both == {"i", "you"} and ours[0].key in AUXILIARIES)
    is_owned = both & _MINE and both & _THEIRS and _ANYBODY.isdisjoint(pair.query.vocabulary)
    return f"{first} ≠ {second}" if is_asked_of or is_owned or both in _PEOPLE else ""


def _owner(pair: Pair) -> str:
    """Find a text that is about oneself where the other is about somebody else."""
    ours, theirs = pair.query.vocabulary, pair.stored.vocabulary
    for one, two in ((ours, theirs), (theirs, ours)):
        if _FIRST.isdisjoint(one) or _THIRD.isdisjoint(two) or not (_THIRD.isdisjoint(one) and _FIRST.isdisjoint(two)):
            continue
        if _ANYBODY.isdisjoint(one) and _ANYBODY.isdisjoint(two):
            return f"{min(one & _FIRST)} ≠ {min(two & _THIRD)}"
    return ""


def _quantifier(pair: Pair) -> str:
    """Find "all" or "every" in one text only, or where the other says "some"."""
    for text, other in ((pair.query, pair.stored), (pair.stored, pair.query)):
        found = _universal(text)
        some = other.vocabulary & _SOME - text.vocabulary if found else None
        if some and not _universal(other):
            return f"{found} ≠ {min(some)}"
        if (
            found
            and not _universal(other)
            and _ANY.isdisjoint(other.vocabulary)
            and not _has_plural(found, text, other)
        ):
            return f"only one says {found}"
    return ""


def _has_plural(quantifier: str, text: Text, other: Text) -> bool:
    """Say whether the other text has what is quantified in the plural too: "all devices", "my devices"."""
    said = text.words
    at = said.index(quantifier) + 1
    counted = next((word for word in said[at : at + 4] if word not in FUNCTION_WORDS), "")
    return counted in other.words and "one" not in other.words and (counted == "people" or counted.endswith("s"))


def _universal(text: Text) -> str:
    said = text.words
    if _ALL.isdisjoint(text.vocabulary):
        return ""
    for index, word in enumerate(said):
        if (
            word in _ALL
            and said[index - 1 : index] != ("at",)
            and not (index + 1 < len(said) and said[index + 1] in _TIMES)
        ):
            return word
    return ""

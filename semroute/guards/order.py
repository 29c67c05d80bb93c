"""Word order: the same words in another order say something else, unless only equals changed places."""

from __future__ import annotations

from semroute.guards._clauses import clause_moved
from semroute.guards._inflection import lemma
from semroute.guards._kinds import kind_of
from semroute.guards._movement import (
    LINKS,
    agrees_as_part,
    agrees_as_passive,
    agrees_as_who,
    agrees_without_agent,
    is_harmless,
    only_equals_moved,
    without_links,
)
from semroute.guards._pair import Pair
from semroute.guards._roles import bound_words_moved, direction_turned, fillers_moved, roles_swapped
from semroute.guards._synonyms import canonical
from semroute.guards._text import Text
from semroute.guards._tokens import Kind, Token
from semroute.guards._words import JOINERS, words
from semroute.guards.question import is_statement

_CONTENT, _NEGATION, _MARK = Kind.CONTENT, Kind.NEGATION, Kind.MARK
_COUNTED = (_CONTENT, Kind.NUMBER, Kind.LITERAL)
_ORDERED = (*_COUNTED, _NEGATION)
_LINKS_AND_ENDS = LINKS | words(". ? ! ;")
_SYMMETRIC = frozenset(
    canonical(word)
    for word in words("married related similar close equal identical friends engaged next near compatible")
)
"""Words that join two equals: "married to", "similar to"."""
_BEING = words("be is are was were been")
_AGENTS = words("i we you they")
_RELATIVES = words("that which who")
_PARTICIPLES = words(
    "paid set read sent kept lost hidden done made put cut sold held seen shown written taken given broken built "
    "bought found left met run known told stolen chosen worn driven eaten grown thrown torn frozen spoken forgotten"
)
_ANYWHERE = words("best allowed permitted") | {"for free"}
_MUCH_SHARED = 4
_MANY_WORDS = 4


def differ(pair: Pair) -> str:
    """Return the two orders when they say different things, or nothing."""
    if pair.query.words == pair.stored.words:
        return ""
    is_strict = len(pair.only_query) + len(pair.only_stored) <= 1
    if _is_statement_reworded(pair, is_strict):
        return ""
    return roles_swapped(pair) or direction_turned(pair) or _order(pair, is_strict)


def _is_statement_reworded(pair: Pair, is_strict: bool) -> bool:
    """Say whether two statements share much and differ in so many words that their order says nothing."""
    if pair.n_shared < _MUCH_SHARED or not is_statement(pair):
        return False
    return not is_strict or len(pair.query.vocabulary ^ pair.stored.vocabulary) >= _MANY_WORDS


def _order(pair: Pair, is_strict: bool) -> str:
    if _is_kept(pair) and not (bound_words_moved(pair, is_list=False) or fillers_moved(pair)):
        return ""
    query, stored = _sequences(pair, is_strict)
    if query == stored and not is_strict:
        return ""
    reworded = _reworded(pair, query, stored)
    if reworded is not None:
        return reworded
    if query != stored and _are_permuted(query, stored) and not is_harmless(query, stored):
        return _said(pair)
    if not is_strict:
        return ""
    is_list = only_equals_moved(query, stored)
    return bound_words_moved(pair, is_list) or ("" if is_list else fillers_moved(pair))


def _reworded(pair: Pair, query: list[str], stored: list[str]) -> str | None:
    """Compare a passive with an active text, and the like: nothing when they agree; None for texts of one build."""
    if clause_moved(pair) or agrees_as_part(query, stored) or agrees_as_part(stored, query):
        return ""
    if ("by" in query) != ("by" in stored):
        agrees = agrees_as_who(query, stored) or agrees_as_passive(query, stored)
        if agrees is not None:
            return "" if agrees else f"active ≠ passive: {_said(pair)}"
    if _is_agentless(pair.query, pair.stored) and agrees_without_agent(query, stored):
        return ""
    if _is_agentless(pair.stored, pair.query) and agrees_without_agent(stored, query):
        return ""
    return None


def _is_kept(pair: Pair) -> bool:
    """Say whether all that an order is read from stands at the same place in both texts: the usual near copy."""
    ours, theirs = pair.changed
    return not any(token.kind in _ORDERED or token.key in _LINKS_AND_ENDS for token in (*ours, *theirs))


def _are_permuted(query: list[str], stored: list[str]) -> bool:
    """Say whether two sequences have what they both say in another order, their links left aside."""
    ours, theirs = without_links(query), without_links(stored)
    if sorted(ours) != sorted(theirs):
        common = set(ours) & set(theirs)
        ours, theirs = ([key for key in dict.fromkeys(keys) if key in common] for keys in (ours, theirs))
    return ours != theirs and sorted(ours) == sorted(theirs)


def _sequences(pair: Pair, is_strict: bool) -> tuple[list[str], list[str]]:
    """Return the keys of what both texts share, with the words that link them, in the order of either text.

    Unless strict, only names, numbers and code are kept: much is worded anew, and other words may move.
    """
    first, second = pair.query, pair.stored
    renamed = dict(pair.shared)
    left = {token.key for token in (*pair.only_query, *pair.only_stored)}
    is_permuted = first.vocabulary == second.vocabulary and sorted(first.words) == sorted(second.words)

    def sequence(text: Text) -> list[str]:
        keys: list[str] = []
        for token in text.tokens:
            kind, key = token.kind, token.key
            if kind in _COUNTED:
                key = renamed.get(key, key)
                if key in left or _stands_anywhere(token) or (key == "take" and "long" in text.vocabulary):
                    continue
                if is_strict or token.is_name or kind is not _CONTENT or kind_of(key):
                    keys.append(lemma(token.surface.lower().removesuffix("'s")) if is_permuted else key)
            elif kind is _NEGATION:
                keys.append("not")
            elif key in LINKS:
                keys.append(key)
            elif kind is _MARK and key in ".?!;":
                keys.append(".")
        return _question_first(_with_equals_joined(keys))

    return _ended_alike(sequence(first), sequence(second))


def _stands_anywhere(token: Token) -> bool:
    """Say whether a word may change its place without a change of meaning: "best", "allowed", "for free"."""
    return token.surface.lower() in _ANYWHERE


def _question_first(keys: list[str]) -> list[str]:
    """Put what is asked first, as most texts have it: "reapply sunscreen how often"."""
    at = keys.index("how") if "how" in keys else 0
    return keys[at:] + keys[:at] if at and "." not in keys else keys


def _ended_alike(query: list[str], stored: list[str]) -> tuple[list[str], list[str]]:
    """Drop the mark at the end where only one text has it."""
    if (query[-1:] == ["."]) != (stored[-1:] == ["."]):
        query, stored = (keys[: len(keys) - (keys[-1:] == ["."])] for keys in (query, stored))
    return query, stored


def _with_equals_joined(keys: list[str]) -> list[str]:
    """Read "married to" and the like as "and", and what joins twice in a row as once."""
    if not _SYMMETRIC.isdisjoint(keys):
        for index in range(len(keys) - 1):
            if keys[index] in _SYMMETRIC and keys[index + 1] in ("to", "with", "from"):
                keys[index : index + 2] = ["and", "and"]
    return [key for index, key in enumerate(keys) if key not in JOINERS or index == 0 or keys[index - 1] != key]


def _is_agentless(passive: Text, active: Text) -> bool:
    """Say whether one text is a passive without its agent and the other has "I", "you" and the like for it."""
    if _BEING.isdisjoint(passive.vocabulary) or _AGENTS.isdisjoint(active.vocabulary):
        return False
    if not _AGENTS.isdisjoint(passive.vocabulary):
        return False
    said = passive.words
    return any(
        word in _BEING
        and said[at - 1] not in _RELATIVES
        and any(one.endswith("ed") or one in _PARTICIPLES for one in said[at + 1 : at + 3])
        for at, word in enumerate(said)
    )


def _said(pair: Pair) -> str:
    query, stored = (
        " ".join(token.surface for token in text.tokens if token.kind in _COUNTED) for text in (pair.query, pair.stored)
    )
    return f"'{query}' ≠ '{stored}'"

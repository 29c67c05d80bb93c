"""Which changes of word order leave the meaning alone: moved phrases, lists, compounds, passives."""

from __future__ import annotations

from itertools import pairwise

from semroute.guards._synonyms import canonical
from semroute.guards._words import JOINERS, PREPOSITIONS, QUESTION_WORDS, words

LINKS = JOINERS | PREPOSITIONS | QUESTION_WORDS | {".", "but", "then"}
"""Words that a sequence keeps for its structure, beside the keys of what is said."""
_COMPOUNDING = words("of in for on at from about with per")
_INCLUDE = canonical("include")
_LIST_WORDS = JOINERS - {","}
"""Of these every list has at least one: commas alone also stand between the parts of a sentence."""
_WHO = words("who whom")
_WINDOW_TOKENS = 40
_REACH_TOKENS = 6
_MEMBER_TOKENS = 6
_COMPOUND_TOKENS = 4
_OBJECT_TOKENS = 5


def is_harmless(query: list[str], stored: list[str]) -> bool:
    """Say whether two sequences of the same keys in different orders say the same."""
    return (
        _is_moved(query, stored)
        or _is_compound(query, stored)
        or _is_compound(stored, query)
        or only_equals_moved(query, stored)
    )


def without_links(keys: list[str]) -> list[str]:
    """Return what is said, without the words that only link."""
    return [key for key in keys if key not in LINKS and key != "not"]


def agrees_as_passive(query: list[str], stored: list[str]) -> bool | None:
    """Compare an active sentence with a passive one: True when they agree, False when the roles are swapped.

    None when the two do not differ in that way.
    """
    passive, active = (query, stored) if "by" in query else (stored, query)
    at = passive.index("by")
    before, after = without_links(passive[:at]), without_links(passive[at + 1 :])
    plain = without_links(active)
    if not before or not after or sorted(before + after) != sorted(plain):
        return None
    if before + after == plain:
        return False
    for n_agent in range(1, min(len(after), _REACH_TOKENS) + 1):
        if after[:n_agent] + before[-1:] + before[:-1] + after[n_agent:] == plain:
            return True
    return None


def agrees_as_who(query: list[str], stored: list[str]) -> bool:
    """Say whether one asks by whom something is done, and the other who does it."""
    passive, active = (query, stored) if "by" in query else (stored, query)
    if _WHO.isdisjoint(passive) or _WHO.isdisjoint(active):
        return False
    return agrees_without_agent(without_links(passive), without_links(active))


def agrees_as_part(part: list[str], whole: list[str]) -> bool:
    """Say whether "is roaming included in the plan" and "does the plan include roaming" are the two."""
    if _INCLUDE not in part or "in" in whole:
        return False
    at = next((i for i, (one, two) in enumerate(pairwise(part)) if one == _INCLUDE and two == "in"), None)
    if at is None:
        return False
    plain = without_links(whole)
    before, after = without_links(part[:at]), without_links(part[at + 2 :])
    return bool(before and after) and [*after, _INCLUDE, *before] == plain


def agrees_without_agent(passive: list[str], active: list[str]) -> bool:
    """Say whether "is my data encrypted" and "do you encrypt my data" are the two: the verb moved before its object."""
    before, after = without_links(passive), without_links(active)
    start = next((i for i, (one, two) in enumerate(zip(before, after, strict=False)) if one != two), 0)
    ours, theirs = before[start:], after[start:]
    return any(
        ours[size : size + 1] + ours[:size] + ours[size + 1 :] == theirs
        for size in range(1, min(len(ours), _OBJECT_TOKENS))
    )


def _is_moved(query: list[str], stored: list[str]) -> bool:
    """Say whether whole phrases with a preposition, or whole sentences, moved and no two of one kind changed places."""
    first, second = _chunks(query), _chunks(stored)
    if sorted(first) != sorted(second):
        return False
    for head in {chunk[0] for chunk in first if chunk[0] in PREPOSITIONS} | {""}:
        if [c for c in first if _head(c) == head] != [c for c in second if _head(c) == head]:
            return False
    return True


def _head(chunk: tuple[str, ...]) -> str:
    return chunk[0] if chunk[0] in PREPOSITIONS else ""


def _chunks(keys: list[str]) -> list[tuple[str, ...]]:
    """Split a sequence before each preposition and at each mark."""
    chunks: list[list[str]] = [[]]
    for key in keys:
        if key in (".", ","):
            chunks.append([])
        elif key in PREPOSITIONS:
            chunks.append([key])
        else:
            chunks[-1].append(key)
    return [tuple(chunk) for chunk in chunks if chunk]


def _is_compound(first: list[str], second: list[str]) -> bool:
    """Say whether a phrase of the first text stands before its noun in the second: "rate of pay", "pay rate"."""
    plain = without_links(second)
    for chunk in _chunks(first):
        if chunk[0] not in _COMPOUNDING or chunk[0] in second:
            continue
        words_moved = without_links(list(chunk))[:_COMPOUND_TOKENS]
        for size in range(1, len(words_moved) + 1):
            moved = words_moved[:size]
            rest = [key for key in without_links(first) if key not in moved]
            kept = [key for key in plain if key not in moved]
            at = next((i for i in range(len(plain)) if plain[i : i + size] == moved), None)
            if at is not None and rest == kept and without_links(first).index(moved[0]) - at in (1, 2, 3):
                return True
    return False


def only_equals_moved(query: list[str], stored: list[str]) -> bool:
    """Say whether the orders differ by the members of one list only: "A and B" and "B and A"."""
    if _LIST_WORDS.isdisjoint(query) or _LIST_WORDS.isdisjoint(stored):
        return False
    query, stored = (keys[keys[0] in QUESTION_WORDS :] for keys in (query, stored))
    if query.count(",") != stored.count(","):
        query, stored = ([key for key in keys if key != ","] for keys in (query, stored))
    start = 0
    while start < min(len(query), len(stored)) and query[start] == stored[start]:
        start += 1
    end = 0
    while end < min(len(query), len(stored)) - start and query[-1 - end] == stored[-1 - end]:
        end += 1
    if max(len(query), len(stored)) - start - end > _WINDOW_TOKENS:
        return False
    for before in range(min(start, _REACH_TOKENS) + 1):
        for after in range(min(end, _REACH_TOKENS) + 1):
            first = _members(query[start - before : len(query) - end + after])
            if first is not None and first == _members(stored[start - before : len(stored) - end + after]):
                return True
    return False


def _members(window: list[str]) -> tuple[list[tuple[str, ...]], list[str]] | None:
    members: list[tuple[str, ...]] = []
    joiners: list[str] = []
    current: list[str] = []
    for key in window:
        if key in JOINERS:
            members.append(tuple(current))
            joiners.append(key)
            current = []
        else:
            current.append(key)
    members.append(tuple(current))
    if all(joiner == "," for joiner in joiners) or () in members or "." in window:
        return None
    if max(len(member) for member in members) > _MEMBER_TOKENS:
        return None
    return sorted(members), sorted(joiners)

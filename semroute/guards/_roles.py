"""Who does what to whom, and what comes from where: roles that change places though the words stay."""

from __future__ import annotations

from itertools import pairwise

from semroute.guards._pair import Pair
from semroute.guards._text import Text
from semroute.guards._tokens import Kind, Token
from semroute.guards._words import FILLERS, PREPOSITIONS, mapping, words

_OPPOSITE = {
    "from": ("to", "into", "onto"),
    "to": ("from",),
    "into": ("from",),
    "onto": ("from",),
    "before": ("after",),
    "after": ("before",),
    "over": ("under",),
    "under": ("over",),
    "for": ("against",),
    "against": ("for",),
}
_ROLES = mapping("i:i me:i we:we us:we he:he him:he they:they them:they you:you who:who whom:who")
_SPEAKERS = words("i you we")
_TOWARDS = words("to from")
_OBJECTS = words("me us him them you her")
_OWNERS = words("my his her your their our its")


def roles_swapped(pair: Pair) -> str:
    """Find somebody who acts in one text and is acted on in the other: "who blocked me", "who I blocked"."""
    if _OBJECTS.isdisjoint(pair.query.vocabulary) and _OBJECTS.isdisjoint(pair.stored.vocabulary):
        return ""
    ours, theirs = _roles(pair.query.tokens), _roles(pair.stored.tokens)
    for (agents, patients), (others_agents, others_patients) in ((ours, theirs), (theirs, ours)):
        for verb, person in patients - others_patients:
            if (verb, person) in others_agents - agents:
                return f"{person} as the one who does it ≠ {person} as the one whom it is done to"
    return _given_to_me(pair.query, pair.stored) or _given_to_me(pair.stored, pair.query)


def _given_to_me(mine: Text, others: Text) -> str:
    """Find what I do in one text and somebody does to me in the other: "I send it", "she sends it to me"."""
    if "me" in mine.vocabulary or not others.vocabulary.isdisjoint(_SPEAKERS):
        return ""
    if not any(one in _TOWARDS and two == "me" for one, two in pairwise(others.words)):
        return ""
    deeds = {two.key for one, two in pairwise(mine.tokens) if one.key == "i" and two.kind is Kind.CONTENT}
    return "" if deeds.isdisjoint(others.keys) else "i as the one who does it ≠ i as the one whom it is done to"


def _roles(tokens: tuple[Token, ...]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return who does what and to whom what is done, as (verb, person), where they stand side by side."""
    agents, patients = set(), set()
    for token, other in pairwise(tokens):
        if token.kind is Kind.CONTENT and other.key in _OBJECTS:
            patients.add((token.key, _ROLES.get(other.key, other.key)))
        elif other.kind is Kind.CONTENT and token.key in _ROLES and token.key not in ("me", "us", "him", "them"):
            agents.add((other.key, _ROLES[token.key]))
    return agents, patients


def deeds_exchanged(pair: Pair) -> str:
    """Find that what is to be done in one text was done before in the other: "close a reopened case"."""
    (done, to_do), (others_done, others_to_do) = _deeds(pair.query), _deeds(pair.stored)
    first, second = to_do.keys() & others_done.keys(), done.keys() & others_to_do.keys()
    if not first or not second:
        return ""
    one, two = min(first), min(second)
    return f"{to_do[one]} what is {done[two]} ≠ {others_to_do[two]} what is {others_done[one]}"


def _deeds(text: Text) -> tuple[dict[str, str], dict[str, str]]:
    """Return by their keys the words in "-ed", and those that have no other form than that of the dictionary."""
    done, plain = dict[str, str](), dict[str, str]()
    for token in text.content:
        surface = token.surface.lower()
        if surface.endswith("ed"):
            done[token.key] = surface
        elif not surface.endswith(("s", "ing")):
            plain[token.key] = surface
    return {key: word for key, word in done.items() if key not in plain}, plain


def direction_turned(pair: Pair) -> str:
    """Find a word that stands behind opposite prepositions: "from Paris" and "to Paris"."""
    here = pair.query.vocabulary.intersection(_OPPOSITE)
    if all(pair.stored.vocabulary.isdisjoint(_OPPOSITE[word]) for word in here):
        return ""
    ours, theirs = _governed(pair.query.tokens), _governed(pair.stored.tokens)
    for key, preposition in ours.items():
        other = theirs.get(key)
        if other is not None and other in _OPPOSITE.get(preposition, ()):
            return f"{preposition} {key} ≠ {other} {key}"
    return ""


def _governed(tokens: tuple[Token, ...]) -> dict[str, str]:
    governed: dict[str, str] = {}
    preposition = ""
    for token in tokens:
        if token.key in PREPOSITIONS:
            preposition = token.key
        elif token.kind in (Kind.CONTENT, Kind.NUMBER, Kind.LITERAL):
            if preposition:
                governed.setdefault(token.key, preposition)
            preposition = ""
        elif token.kind is Kind.MARK:
            preposition = ""
    return governed


def _fillers(text: Text) -> list[str]:
    """Return the adverbs that may be left out, but not change places ("ever … just")."""
    if FILLERS.isdisjoint(text.keys):
        return []
    fillers = [token.key for token in text.tokens if token.key in FILLERS]
    return fillers if len(fillers) > 1 else []


def fillers_moved(pair: Pair) -> str:
    """Find adverbs that may be left out, but not change places: "ever … just"."""
    ours, theirs = _fillers(pair.query), _fillers(pair.stored)
    if ours == theirs or sorted(ours) != sorted(theirs):
        return ""
    return f"'{' '.join(ours)}' ≠ '{' '.join(theirs)}'"


def bound_words_moved(pair: Pair, is_list: bool) -> str:
    """Find words that changed places behind "to" or an owner while all stayed: "like to learn", "learn to like".

    In a list whose members changed places, what stands behind "to" may change too.
    """
    query, stored = pair.query.words, pair.stored.words
    if pair.query.vocabulary != pair.stored.vocabulary or query == stored or sorted(query) != sorted(stored):
        return ""
    ours, theirs = _bound(query), _bound(stored)
    first, second = ours - theirs, theirs - ours
    if not first or not second:
        return ""
    is_owned = len({owner for owner, _ in first if owner != "to"}) > 1
    is_verb = not is_list and any(owner == "to" for owner, _ in first)
    return f"{' '.join(min(first))} ≠ {' '.join(min(second))}" if is_owned or is_verb else ""


def _bound(said: tuple[str, ...]) -> set[tuple[str, str]]:
    return {(one, two) for one, two in pairwise(said) if one == "to" or one in _OWNERS}

"""Names of people, places, products and the like: what one text names, the other must name too."""

from __future__ import annotations

from collections import Counter

from semroute.guards._kinds import kind_of
from semroute.guards._pair import Pair
from semroute.guards._synonyms import LIGHT_KEYS
from semroute.guards._text import Text
from semroute.guards._tokens import Kind, Token
from semroute.guards._words import words


def differ(pair: Pair) -> str:
    """Return the names that differ ("Paris ≠ Rome"), or nothing."""
    return _left_over(pair) or _pronoun_for_name(pair) or _letter_case(pair)


def _left_over(pair: Pair) -> str:
    if not pair.only_query and not pair.only_stored:
        return ""
    ours, theirs = _not_spelt_out(pair)
    kinds = _other_of_kind(ours, theirs)
    if kinds:
        return kinds
    named, others_named = [t for t in ours if _names(t)], [t for t in theirs if _names(t)]
    if named and (others_named or theirs):
        return f"{_said(named)} ≠ {_said(others_named or theirs)}"
    if others_named and ours:
        return f"{_said(ours)} ≠ {_said(others_named)}"
    if named:
        return f"only the query names {_said(named)}"
    return f"only the stored question names {_said(others_named)}" if others_named else ""


def both_differ(pair: Pair) -> str:
    """Return the names that differ where either text names what the other does not, or nothing."""
    if not pair.only_query or not pair.only_stored:
        return ""
    ours, theirs = _not_spelt_out(pair)
    named, others_named = [t for t in ours if _names(t)], [t for t in theirs if _names(t)]
    if named and others_named:
        return f"{_said(named)} ≠ {_said(others_named)}"
    return _other_of_kind(ours, theirs)


def _not_spelt_out(pair: Pair) -> tuple[list[Token], list[Token]]:
    """Return what is left over on either side, but for abbreviations that the other side spells out."""
    ours = [token for token in pair.only_query if not _is_spelt_out(token, pair.stored)]
    theirs = [token for token in pair.only_stored if not _is_spelt_out(token, pair.query)]
    return ours, theirs


def _other_of_kind(ours: list[Token], theirs: list[Token]) -> str:
    """Find two things of one kind, of which a question names one: "Chrome" and "Firefox"."""
    for token in ours:
        kind = kind_of(token.key)
        if kind is not None:
            for other in theirs:
                if kind == kind_of(other.key):
                    return f"{token.surface} ≠ {other.surface}"
    return ""


_THEIRS = words("he him his she her hers they them their it its")


def _pronoun_for_name(pair: Pair) -> str:
    """Find a name that stands where the other text has a pronoun, which may mean somebody else."""
    for text, other in ((pair.query, pair.stored), (pair.stored, pair.query)):
        pronouns = _THEIRS & text.vocabulary - other.vocabulary
        if pronouns:
            names = Counter(token.key for token in other.tokens if token.is_name)
            names.subtract(token.key for token in text.content)
            more = next((key for key, count in names.items() if count > 0), None)
            if more is not None:
                return f"{min(pronouns)} ≠ {more}"
    return ""


def _names(token: Token) -> bool:
    return token.is_name and token.key not in LIGHT_KEYS


def _said(tokens: list[Token]) -> str:
    return " ".join(token.surface for token in tokens)


def _is_spelt_out(token: Token, text: Text) -> bool:
    """Say whether an abbreviation in capital letters stands in the other text word by word ("PTSD")."""
    if not token.surface.isupper():
        return False
    letters = token.surface.lower()
    if not (2 <= len(letters) <= 6 and letters.isalpha()):
        return False
    initials = "".join(word[0] for word in text.words if word and word[0].isalpha())
    return letters in initials


_CASE_MATTERS = words("polish turkey china march may august us it who aids job nice reading mobile bill")


def _letter_case(pair: Pair) -> str:
    """Find a word that is another word in capitals: "polish" and "Polish"."""
    if not (pair.query.is_cased and pair.stored.is_cased):
        return ""
    if _CASE_MATTERS.isdisjoint(pair.query.vocabulary & pair.stored.vocabulary):
        return ""
    ours, theirs = _ambiguous(pair.query), _ambiguous(pair.stored)
    for word in ours.keys() & theirs.keys():
        if ours[word][0].isupper() != theirs[word][0].isupper():
            return f"{ours[word]} ≠ {theirs[word]}"
    return ""


def _ambiguous(text: Text) -> dict[str, str]:
    found = {}
    for index, token in enumerate(text.tokens):
        if index and token.kind is Kind.CONTENT and token.surface.lower() in _CASE_MATTERS:
            found[token.surface.lower()] = token.surface
    return found

"""Wording: one word put for another in the same sentence asks something else, unless the two mean the same."""

from __future__ import annotations

from semroute.guards import _small_words as small_words
from semroute.guards._pair import Pair
from semroute.guards._synonyms import LIGHT_KEYS, canonical
from semroute.guards._text import Text
from semroute.guards._tokens import Token
from semroute.guards._words import words
from semroute.guards.question import asked, is_statement

_NONE: frozenset[str] = frozenset()
_IMPLIED = {
    word: frozenset(canonical(said) for said in words(implied))
    for word, implied in (
        ("how much", "cost price"),
        ("how long", "last take"),
        ("when", "time date"),
        ("how", "procedure process method"),
        ("why", "reason cause"),
        ("where", "place location"),
    )
}
"""What a question word says already, so that it may be said or left out."""
_PLAIN_VERBS = frozenset(canonical(word) for word in words("get make give take ask tell use show see find go come try"))
_TELLING_VERBS = frozenset(canonical(word) for word in words("make give take ask tell use show"))
"""Plain verbs of which no two say the same."""
_ADDED = frozenset(
    canonical(word)
    for word in words(
        "start keep tend continue stay earn human always complete learn important self written serve life usually "
        "major common"
    )
)
_MUCH_SHARED = 4
_MANY_WORDS = 2


def differ(pair: Pair) -> str:
    """Return the words that make the difference ("pause ≠ cancel"), or nothing."""
    return ("" if is_statement(pair) else small_words.differ(pair)) or _content(pair)


def _content(pair: Pair) -> str:
    ours, theirs = _weighty(pair.only_query), _weighty(pair.only_stored)
    implied = _IMPLIED.get(asked(pair.query), _NONE) & _IMPLIED.get(asked(pair.stored), _NONE)
    if implied:
        ours, theirs = ([token for token in side if token.key not in implied] for side in (ours, theirs))
    if not ours and not theirs:
        return _verb(pair)
    if not ours or not theirs:
        ours, theirs = _binding(ours), _binding(theirs)
    if (not ours and not theirs) or _is_reworded(pair, ours, theirs):
        return ""
    if ours and theirs:
        return f"{_said(ours)} ≠ {_said(theirs)}"
    return f"only the query says {_said(ours)}" if ours else f"only the stored question says {_said(theirs)}"


def _is_reworded(pair: Pair, ours: list[Token], theirs: list[Token]) -> bool:
    """Say whether so much is worded anew that the differing words are no substitution in one sentence.

    Two statements may differ in single words too, where the words around them have changed as well.
    """
    if any(not token.surface.isascii() for token in (*pair.only_query, *pair.only_stored)):
        return False
    if min(len(ours), len(theirs)) >= 2:
        return True
    if len(ours) == len(theirs) == 1 and _slot(pair.query, ours[0]) == _slot(pair.stored, theirs[0]):
        return False
    n_weighty = len(ours) + len(theirs)
    n_around = len(set(pair.query.words) ^ set(pair.stored.words)) - n_weighty
    return n_around >= _MANY_WORDS and max(n_weighty, _MUCH_SHARED) <= pair.n_shared and is_statement(pair)


def _slot(text: Text, token: Token) -> tuple[str, str]:
    """Return the keys of the tokens before and after one."""
    keys = ["", *(other.key for other in text.tokens), ""]
    at = text.tokens.index(token) + 1
    return keys[at - 1], keys[at + 1]


def _weighty(tokens: tuple[Token, ...]) -> list[Token]:
    return [token for token in tokens if token.key not in LIGHT_KEYS]


def _verb(pair: Pair) -> str:
    """Find a plain verb put for another: "use a voucher", "get a voucher"."""
    ours = [token for token in pair.only_query if token.key in _PLAIN_VERBS]
    theirs = [token for token in pair.only_stored if token.key in _PLAIN_VERBS]
    telling = any(token.key in _TELLING_VERBS for token in (*ours, *theirs))
    return f"{_said(ours)} ≠ {_said(theirs)}" if ours and theirs and telling else ""


def _binding(tokens: list[Token]) -> list[Token]:
    """Leave out what may be added to a sentence: "how do I (start to) save money"."""
    return [token for token in tokens if token.key not in _ADDED]


def _said(tokens: list[Token]) -> str:
    return " ".join(token.surface for token in tokens)

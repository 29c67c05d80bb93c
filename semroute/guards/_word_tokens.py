"""The token of a word or a sign by itself, whatever stands beside it."""

from __future__ import annotations

from functools import lru_cache

from semroute.guards import _quantities as quantities
from semroute.guards._numerals import NUMBER_WORDS
from semroute.guards._synonyms import canonical
from semroute.guards._tokens import Kind, Token
from semroute.guards._words import FILLERS, FUNCTION_WORDS, words

READ_IN_CONTEXT = words("used a")
READ_TOGETHER = NUMBER_WORDS | READ_IN_CONTEXT
"""Words that are read together with their neighbours: by itself none of them has a token."""
_NEGATIONS = words("not never no without none nobody nothing neither nor n't")
_MARKS = frozenset(",.;:!?()[]{}\"'`-/\\…|~_。、，；：！？؟،।¿¡·•")
_NAMES_IN_CAPITALS = {"us": "usa", "it": "IT", "who": "WHO"}
"""Function words that are names when they are written in capitals."""


@lru_cache(maxsize=8_192)
def of_word(word: str, surface: str, is_name: bool) -> Token:
    """Return the token of a word; all texts share it, which saves time and memory."""
    if word in _NEGATIONS:
        return Token(word, surface, Kind.NEGATION)
    if word in FUNCTION_WORDS or word in FILLERS:
        if is_name and surface.isupper() and word in _NAMES_IN_CAPITALS:
            return Token(_NAMES_IN_CAPITALS[word], surface, Kind.CONTENT, True)
        return Token(word, surface, Kind.FUNCTION)
    return Token(canonical(word), surface, Kind.CONTENT, is_name)


def of_sign(sign: str) -> Token:
    """Return the token of what is neither a letter nor a digit."""
    if sign == "&":
        return Token("and", sign, Kind.FUNCTION)
    is_mark = sign in _MARKS or sign in quantities.CURRENCY_SIGNS
    return Token(sign, sign, Kind.MARK if is_mark else Kind.CONTENT)


def of_literal(group: str, word: str, surface: str) -> Token:
    """Return the token of code, which is taken as it is written, or of an address, a path and the like."""
    return Token(surface.removesuffix("()") if group == "code" else word, surface, Kind.LITERAL)

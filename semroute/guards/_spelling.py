"""Whether two different words are one word in another form, or one word misspelt."""

from __future__ import annotations

from functools import lru_cache

from semroute.guards._lookalikes import is_lookalike
from semroute.guards._tokens import Token
from semroute.guards._vocabulary import is_known
from semroute.guards._words import FUNCTION_WORDS, words

_FORMS = frozenset(
    (first, second)
    for row in (
        " ation", " ment", " ing", " ed", " n", " an", " ian", " ness", " ity", " ion", "e ion", "e ation", "y ication",
        "e ing", "ate ation", "at ation", "at ion", "y ic", "ic ical", " ally", "ic ically", "ed ing", "e ed", " ance",
        "e ance", " ence", "e ence", "e ment", "s sion", "d sion", "t sion", "b ption", "v ption", "ish ", "ese ",
        "z zation", "iz ization", "is ization", " ive", "e ive", "se ", "es ", "y ied", "ur urable",
    )
    for first, second in [tuple(row.split(" "))]
)  # fmt: skip
_ROOT_CHARS = 4
_NO_SLIPS = words("form saw ton pre nay tis fro amy ist")
"""Words of their own that only look like a misspelt function word."""
_NO_ROOTS = words(
    "state stat depart apart base port miss accord part glass custom customs good goods damage damages arm arms"
)
"""Words that are no root of what begins with them: "state" and "statement"."""


def initials(token: Token) -> tuple[str, str, str]:
    """Return the first two letters of a word as it is written, and the first of its key."""
    surface = token.surface.lower()
    return surface[:1], surface[1:2], token.key[:1]


def same_word(token: Token, other: Token) -> bool:
    """Say whether two tokens with different keys are forms of one word, or one is the other misspelt."""
    first, second = token.surface.lower(), other.surface.lower()
    if first == second:
        return True
    if not (first.isalpha() and second.isalpha()) or first in _NO_ROOTS or second in _NO_ROOTS:
        return False
    return _is_form(token.key, other.key) or _is_form(first, second) or _is_misspelt(token, other)


def _is_form(first: str, second: str) -> bool:
    if first[:_ROOT_CHARS] != second[:_ROOT_CHARS]:
        return False
    root = _n_common(first, second)
    if root < _ROOT_CHARS:
        return False
    endings = (first[root:], second[root:])
    return endings in _FORMS or endings[::-1] in _FORMS


def _is_misspelt(token: Token, other: Token) -> bool:
    """Say whether exactly one of two words is a known word, and one slip of the keyboard apart from the other."""
    first, second = token.surface.lower(), other.surface.lower()
    if min(len(first), len(second)) < _ROOT_CHARS or abs(len(first) - len(second)) > 1:
        return False
    if is_lookalike(first) or is_lookalike(second):
        return False
    if _are_letters_swapped(first, second):
        return not (is_known(first) and is_known(second)) and not (token.is_name or other.is_name)
    return first[0] == second[0] and is_known(first) != is_known(second) and is_one_slip(first, second)


@lru_cache(maxsize=8_192)
def is_misspelt_function_word(word: str) -> bool:
    """Say whether two neighbouring letters of a short function word changed places ("hwo", "wihch")."""
    if not 3 <= len(word) <= 5 or not word.islower() or word in _NO_SLIPS:
        return False
    return any(word[:i] + word[i + 1] + word[i] + word[i + 2 :] in FUNCTION_WORDS for i in range(len(word) - 1))


def _are_letters_swapped(first: str, second: str) -> bool:
    start = _n_common(first, second)
    return (
        len(first) == len(second)
        and first[start : start + 2] == second[start : start + 2][::-1]
        and first[start + 2 :] == second[start + 2 :]
    )


def is_one_slip(first: str, second: str) -> bool:
    """Say whether one letter was added, dropped or replaced."""
    if len(first) < len(second):
        first, second = second, first
    start = _n_common(first, second)
    if len(first) == len(second):
        return first[start + 1 :] == second[start + 1 :]
    return len(first) == len(second) + 1 and first[start + 1 :] == second[start:]


def _n_common(first: str, second: str) -> int:
    """Return how many letters two words begin with in common."""
    n = 0
    for ours, theirs in zip(first, second, strict=False):
        if ours != theirs:
            break
        n += 1
    return n

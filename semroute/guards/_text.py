"""A question taken apart once: tokens with their canonical keys, the same for every guard."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from semroute.guards import _quantities as quantities
from semroute.guards._numerals import NUMBER_WORDS, append_date, is_currency_of_number, read_digits, read_word
from semroute.guards._synonyms import canonical
from semroute.guards._tokens import Kind, Token, Written
from semroute.guards._words import AUXILIARIES, FILLERS, FUNCTION_WORDS, PRONOUNS, words
from semroute.guards._writing import fold, is_plain, pieces, plain_pieces, written

MAX_CHARS = 4_000
MAX_TOKENS = 600
REMEMBERED = 4_096
"""So many short texts stay taken apart: stored questions come up again and again.

About 4 KB each, and 3 more in a verifier.
"""
SHORT = 200
"""Characters of a text that is worth remembering."""

_QUOTED = re.compile(r'"\s*([^"]{1,200}?)\s*"' r"|(?<![\w'])'([^'\s](?:[^']{0,198}[^'\s])?)'(?!\w)")
_SIGNS = re.compile(
    r"(?<!\S)-[A-Za-z](?!\S)|\[[^\]\s]{1,12}-[^\]\s]{1,12}\]|(?<!\S)(?:[=<>+*%^~|\\]|[&|=<>+*!^~%]{2,3})(?=[\s?.,]|$)"
    r"|[=!<>]=|&&|\|\||<<|>>|\+\+(?=\W|$)|(?<=\w)--(?=[?\s]|$)|(?<!\S)!(?=\w)|\d+ [/-] \d+|\\(?=[\s?.]|$)"
)
"""Operators, flags of one letter and ranges of letters, in which each sign and its case counts."""
_NEGATIONS = words("not never no without none nobody nothing neither nor n't")
_MARKS = frozenset(",.;:!?()[]{}\"'`-/\\…|~_。、，；：！？؟،।¿¡·•")
_BEFORE_DEED = AUXILIARIES | PRONOUNS | words("to most commonly widely often not never least more get gets got best")
"""Words behind which "used" is a deed, and no second-hand thing."""
_AFTER_LETTER = words("from to by into of with and or is in on at for")
"""Words that no article stands before."""
_TITLE_SHARE = 0.6
"""From this share of capital words on, a text is a title, whose capitals name nothing."""
_NAMES_IN_CAPITALS = {"us": "usa", "it": "IT", "who": "WHO"}
"""Function words that are names when they are written in capitals."""


_READ_TOGETHER = NUMBER_WORDS | {"used", "a"}
"""Words that are read together with their neighbours."""


class Text(NamedTuple):
    """A question taken apart."""

    tokens: tuple[Token, ...]
    words: tuple[str, ...]
    """Lower-case words as written, marks included, contractions taken apart."""
    vocabulary: frozenset[str]
    """The same words, each once."""
    quoted: tuple[str, ...]
    """What stands in quotation marks, in lower-case words."""
    signs: tuple[str, ...]
    """Operators and short flags, in the order in which they stand."""
    is_cased: bool
    """Whether capital letters tell names from other words here."""


def analyse(text: str) -> Text | None:
    """Take a text of at most MAX_CHARS apart; None when it has too many tokens to compare."""
    return _short(text) if len(text) <= SHORT else _long(text)


@lru_cache(maxsize=REMEMBERED)
def _short(text: str) -> Text | None:
    return _analysed(text)


@lru_cache(maxsize=64)
def _long(text: str) -> Text | None:
    return _analysed(text)


def _analysed(text: str) -> Text | None:
    folded = fold(text)
    plain = is_plain(folded)
    raw = plain_pieces(folded) if plain else pieces(folded)
    if len(raw) > MAX_TOKENS:
        return None
    is_cased = _tells_names(raw)
    said = written(raw)
    words_said = tuple([entry.word for entry in said])
    return Text(
        tuple(_tokens(said, is_cased)),
        words_said,
        frozenset(words_said),
        () if plain else _quoted(folded),
        () if plain else _signs(folded),
        is_cased,
    )


def _signs(folded: str) -> tuple[str, ...]:
    return tuple(match.group() for match in _SIGNS.finditer(folded))


def _tells_names(raw: list[tuple[str, str]]) -> bool:
    said = [surface for group, surface in raw if group == "word" and len(surface) > 1]
    n_capital = sum(surface[0].isupper() for surface in said)
    return n_capital <= 1 or n_capital < _TITLE_SHARE * len(said)


def _quoted(folded: str) -> tuple[str, ...]:
    if '"' not in folded and "'" not in folded:
        return ()
    inner = (match.group(1) or match.group(2) for match in _QUOTED.finditer(folded))
    return tuple(" ".join(surface.lower() for _, surface in pieces(text)) for text in inner)


def _tokens(said: list[Written], is_cased: bool) -> list[Token]:
    tokens: list[Token] = []
    index = 0
    while index < len(said):
        entry = said[index]
        token: Token | None
        if entry.group == "word" and entry.word not in _READ_TOGETHER:
            tokens.append(_word(entry, is_cased))
            index += 1
            continue
        if is_currency_of_number(said, index):
            index += 2 if said[index + 1].word == "." else 1
            continue
        if entry.group == "word":
            n_taken, token = read_word(said, index)
            if token is None:
                token = _in_context(said, index) or _word(entry, is_cased)
        elif entry.group == "number":
            n_taken, token = read_digits(said, index)
        else:
            n_taken, token = 1, _other(entry)
        append_date(tokens, token)
        index += n_taken
    return tokens


def _in_context(said: list[Written], index: int) -> Token | None:
    """Return the letter "a" where nothing follows that an article could stand before, and "used" before a noun."""
    entry = said[index]
    if entry.word == "used" and 0 < index < len(said) - 1:
        before, after = said[index - 1].word, said[index + 1]
        if after.group == "word" and after.word not in FUNCTION_WORDS and before not in _BEFORE_DEED:
            return Token("secondhand", entry.surface, Kind.CONTENT)
    if entry.word != "a" or (index + 1 < len(said) and said[index + 1].group in ("word", "number", "literal", "code")):
        following = said[index + 1].word if entry.word == "a" else ""
        if following not in _AFTER_LETTER:
            return None
    return Token("a", entry.surface, Kind.CONTENT, entry.may_name)


def _word(entry: Written, is_cased: bool) -> Token:
    word, surface = entry.word, entry.surface
    if word in _NEGATIONS:
        return Token(word, surface, Kind.NEGATION)
    is_name = entry.may_name and is_cased
    if word in FUNCTION_WORDS or word in FILLERS:
        if is_name and surface.isupper() and word in _NAMES_IN_CAPITALS:
            return Token(_NAMES_IN_CAPITALS[word], surface, Kind.CONTENT, True)
        return Token(word, surface, Kind.FUNCTION)
    return Token(canonical(word), surface, Kind.CONTENT, is_name)


def _other(entry: Written) -> Token:
    if entry.group == "code":
        return Token(entry.surface.removesuffix("()"), entry.surface, Kind.LITERAL)
    if entry.group == "literal":
        return Token(entry.word, entry.surface, Kind.LITERAL)
    if entry.word == "&":
        return Token("and", entry.surface, Kind.FUNCTION)
    is_mark = entry.word in _MARKS or entry.word in quantities.CURRENCY_SIGNS
    return Token(entry.word, entry.surface, Kind.MARK if is_mark else Kind.CONTENT)

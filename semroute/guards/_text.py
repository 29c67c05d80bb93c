"""A question taken apart once: tokens with their canonical keys, the same for every guard."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from semroute.guards import _word_tokens as word_tokens
from semroute.guards._asking import asked, is_order
from semroute.guards._numerals import append_date, is_currency_of_number, read_digits, read_word
from semroute.guards._tokens import Kind, Token, Written
from semroute.guards._words import AUXILIARIES, FUNCTION_WORDS, PRONOUNS, words
from semroute.guards._writing import Writing, fold, plain_writing, surfaces, with_phrases, writing

MAX_CHARS = 4_000
MAX_TOKENS = 600
REMEMBERED = 4_096
"""So many short texts stay taken apart: stored questions come up again and again.

About 3 KB each, and 3 more in a verifier.
"""
SHORT = 200
"""Characters of a text that is worth remembering."""

_QUOTED = re.compile(r'"\s*([^"]{1,200}?)\s*"' r"|(?<![\w'])'([^'\s](?:[^']{0,198}[^'\s])?)'(?!\w)")
_SIGNS = re.compile(
    r"(?<!\S)-[A-Za-z](?!\S)|\[[^\]\s]{1,12}-[^\]\s]{1,12}\]|(?<!\S)(?:[=<>+*%^~|\\]|[&|=<>+*!^~%]{2,3})(?=[\s?.,]|$)"
    r"|[=!<>]=|&&|\|\||<<|>>|\+\+(?=\W|$)|(?<=\w)--(?=[?\s]|$)|(?<!\S)!(?=\w)|\d+ [/-] \d+|\\(?=[\s?.]|$)"
)
"""Operators, flags of one letter and ranges of letters, in which each sign and its case counts."""
_BEFORE_DEED = AUXILIARIES | PRONOUNS | words("to most commonly widely often not never least more get gets got best")
"""Words behind which "used" is a deed, and no second-hand thing."""
_AFTER_LETTER = words("from to by into of with and or is in on at for")
"""Words that no article stands before."""
_TITLE_SHARE = 0.6
"""From this share of capital words on, a text is a title, whose capitals name nothing."""
# A name of this module is found more quickly than one of a class, and these are asked for each token.
_CONTENT, _FUNCTION, _NUMBER, _NEGATION, _LITERAL = (
    Kind.CONTENT,
    Kind.FUNCTION,
    Kind.NUMBER,
    Kind.NEGATION,
    Kind.LITERAL,
)


# Not frozen, which would make it take three times as long to make.
@dataclass(slots=True, eq=False)
class Text:
    """A question taken apart, with all that every comparison asks of it: it is compared with many others."""

    tokens: tuple[Token, ...]
    words: tuple[str, ...]
    """Lower-case words as written, marks included, contractions taken apart."""
    vocabulary: frozenset[str]
    """The same words, each once."""
    keys: frozenset[str]
    """The keys of the tokens, each once."""
    content: tuple[Token, ...]
    functions: tuple[Token, ...]
    numbers: tuple[Token, ...]
    negations: tuple[Token, ...]
    literals: tuple[Token, ...]
    asks: str
    """What it asks for: a question word, "how many" and the like, "yes or no", or nothing."""
    is_order: bool
    is_statement: bool
    """Whether it neither asks nor orders anything."""
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
    plain = plain_writing(folded)
    read = writing(folded) if plain is None else plain
    if read.n_pieces > MAX_TOKENS:
        return None
    is_cased = _tells_names(read)
    said = with_phrases(read.said)
    tokens = _tokens(said, is_cased)
    content, functions, numbers, negations, literals = _by_kind(tokens)
    words_said = tuple([entry.word for entry in said])
    asks, orders = asked(words_said), is_order(words_said)
    return Text(
        tokens=tuple(tokens),
        words=words_said,
        vocabulary=frozenset(words_said),
        keys=frozenset([token.key for token in tokens]),
        content=content,
        functions=functions,
        numbers=numbers,
        negations=negations,
        literals=literals,
        asks=asks,
        is_order=orders,
        is_statement=not asks and not orders and "?" not in words_said,
        quoted=_quoted(folded) if plain is None else (),
        signs=_signs(folded) if plain is None else (),
        is_cased=is_cased,
    )


def _signs(folded: str) -> tuple[str, ...]:
    return tuple(match.group() for match in _SIGNS.finditer(folded))


def _tells_names(read: Writing) -> bool:
    return read.n_capitals <= 1 or read.n_capitals < _TITLE_SHARE * read.n_words


def _quoted(folded: str) -> tuple[str, ...]:
    if '"' not in folded and "'" not in folded:
        return ()
    inner = (match.group(1) or match.group(2) for match in _QUOTED.finditer(folded))
    return tuple(" ".join(surface.lower() for surface in surfaces(text)) for text in inner)


def _tokens(said: list[Written], is_cased: bool) -> list[Token]:
    tokens: list[Token] = []
    index, n_said = 0, len(said)
    while index < n_said:
        token = said[index].token
        if token is None:
            index += _append_read(tokens, said, index, is_cased)
        else:
            tokens.append(_word(said[index], is_cased) if token.is_name and not is_cased else token)
            index += 1
    return tokens


def _append_read(tokens: list[Token], said: list[Written], index: int, is_cased: bool) -> int:
    """Append what is read together with its neighbours, or is code; return how many entries that takes."""
    entry = said[index]
    if entry.group == "word" and entry.word in word_tokens.READ_IN_CONTEXT:
        tokens.append(_in_context(said, index) or _word(entry, is_cased))
        return 1
    if is_currency_of_number(said, index):
        return 2 if said[index + 1].word == "." else 1
    n_taken = 1
    token: Token | None
    if entry.group == "word":
        n_taken, token = read_word(said, index)
    elif entry.group == "number":
        n_taken, token = read_digits(said, index)
    else:
        token = word_tokens.of_literal(entry.group, entry.word, entry.surface)
    append_date(tokens, _word(entry, is_cased) if token is None else token)
    return n_taken


def _word(entry: Written, is_cased: bool) -> Token:
    return word_tokens.of_word(entry.word, entry.surface, entry.may_name and is_cased)


def _by_kind(tokens: list[Token]) -> tuple[tuple[Token, ...], ...]:
    """Return the content words, the function words, the numbers, the negations and the code among tokens."""
    kinds: tuple[list[Token], ...] = ([], [], [], [], [])
    content, functions, numbers, negations, literals = kinds
    for token in tokens:
        kind = token.kind
        if kind is _CONTENT:
            content.append(token)
        elif kind is _FUNCTION:
            functions.append(token)
        elif kind is _NUMBER:
            numbers.append(token)
        elif kind is _NEGATION:
            negations.append(token)
        elif kind is _LITERAL:
            literals.append(token)
    return tuple([tuple(of_kind) for of_kind in kinds])


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

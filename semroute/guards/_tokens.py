"""Tokens: the units that the guards compare."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a token is to the guards."""

    CONTENT = "content"
    FUNCTION = "function"
    NUMBER = "number"
    NEGATION = "negation"
    LITERAL = "literal"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `key` is equal where the meaning is, `surface` is what was written."""

    key: str
    surface: str
    kind: Kind
    is_name: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A piece of text on its way to becoming a token."""

    group: str
    """What the text looks like: word, number, code, literal or sign."""
    word: str
    """The lower-case word, contractions taken apart and phrases replaced."""
    surface: str
    may_name: bool = False
    """Whether it has a capital letter that no sentence start explains."""
    token: Token | None = None
    """Its token where no neighbour changes it, in a text whose capitals tell names."""

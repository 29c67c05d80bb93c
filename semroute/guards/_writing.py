"""From characters to words: typography folded, contractions taken apart, phrases replaced by one word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from semroute.guards import _word_tokens as word_tokens
from semroute.guards._phrases import CONTRACTIONS, PARTICLE_VERB_HEADS, PARTICLE_VERBS, PHRASES
from semroute.guards._tokens import Written
from semroute.guards._words import FUNCTION_WORDS

_FOLDS = str.maketrans({
    "’": "'", "‘": "'", "ʼ": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-",
    "−": "-", "‐": "-", "‑": "-", "×": "*", "÷": "/", "\u00a0": " ", "\ufe0f": None, "¹": "^1", "²": "^2", "³": "^3",
})  # fmt: skip
_TREEBANK_QUOTES = re.compile(r"``|''")
_BACKTICK_APOSTROPHE = re.compile(r"(?<=[^\W\d_])`(?=(?:s|t|re|ve|ll|m|d)\b)")
_SPLIT_CONTRACTION = re.compile(r"(?<=\w) (?=(?:n't|'s|'re|'ve|'ll|'m|'d)\b)", re.IGNORECASE)
_RAW = re.compile(
    r"`(?P<code>[^`\n]{1,400})`"
    r"|(?P<literal>https?://[^\s\"<>]+|www\.[^\s\"<>]+|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"
    r"|(?<!\S)(?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]*)*|\b[A-Za-z]:\\[^\s\"]+|(?<!\S)--?[A-Za-z][\w-]*"
    r"|\w{1,80}\.(?:py|js|ts|json|csv|ya?ml|toml|xml|html?|css|txt|md|pdf|docx?|xlsx?|exe|zip|jpe?g|png|sh|ini|cfg|env)\b"
    r"|(?:[A-Za-z]\w*)?_\w+(?:\.\w+)*|[A-Za-z](?:\+\+|\#)(?!\w))(?:\(\))?"
    r"|(?P<number>(?:(?<!\S)-)?\d+(?:[.,:/]\d+)*)"
    r"|(?P<dotted>[A-Za-z](?:\.[A-Za-z])+\.?(?!\w)|(?-i:[A-Z][a-z]?\.[A-Z][a-z]{0,3})(?!\w))"
    r"|(?P<word>[^\W\d_]+(?:'[^\W\d_]+)*)(?:\(\))?"
    r"|(?P<sign>[^\w\s])"
)
_PLAIN = re.compile(r"(?:[A-Za-z]+(?:['-][A-Za-z]+)*[,.?!;:]?)?")
"""What stands between two spaces of most questions: a word with its mark, or nothing."""
_SENTENCE_STARTS = frozenset('.?!:;"(')
_STARTS_OF_PHRASES = frozenset(PHRASES)
_MERGED = frozenset(start[0] for start in PHRASES if len(start) == 1) | PARTICLE_VERB_HEADS | {"non"}
"""Words that may become one with others, whichever word follows, or be a phrase by themselves."""
_PARTICLE_REACH = 5
"""A particle is looked for up to this many words behind its verb ("turn the alarm off")."""


def fold(text: str) -> str:
    """Fold what is only typography: compatibility forms, quotation marks, dashes, invisible signs."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_FOLDS))
        text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf").translate(_FOLDS)
    if "`" in text:
        text = _BACKTICK_APOSTROPHE.sub("'", text)
    if "''" in text or "``" in text:
        text = _TREEBANK_QUOTES.sub('"', text)
    return _SPLIT_CONTRACTION.sub("", text) if "'" in text else text


@dataclass(slots=True, eq=False)
class Writing:
    """What a text says, word by word, before phrases are looked for; and how it uses capitals."""

    said: list[Written]
    n_pieces: int
    """How many words and signs there are."""
    n_words: int
    """How many words there are of more than one letter."""
    n_capitals: int
    """How many of those begin with a capital."""


@dataclass(frozen=True, slots=True, eq=False)
class _Between:
    """What stands between two spaces of a plain text, where a sentence begins and elsewhere."""

    at_start: tuple[Written, ...]
    elsewhere: tuple[Written, ...]
    n_pieces: int
    n_words: int
    n_capitals: int
    ends_sentence: bool


def plain_writing(folded: str) -> Writing | None:
    """Do what `writing` does for a text of words and marks alone; None for numbers, code, quotations or signs.

    Most questions are such texts, and their words come up again and again: a third of the time is spared.
    """
    if not folded[:1].isalpha():
        return None
    said: list[Written] = []
    n_pieces = n_words = n_capitals = 0
    is_start = True
    for between in folded.split(" "):
        plain = _between_spaces(between)
        if plain is None:
            return None
        if plain.n_pieces:
            said += plain.at_start if is_start else plain.elsewhere
            n_pieces += plain.n_pieces
            n_words += plain.n_words
            n_capitals += plain.n_capitals
            is_start = plain.ends_sentence
    return Writing(said, n_pieces, n_words, n_capitals)


@lru_cache(maxsize=8_192)
def _between_spaces(between: str) -> _Between | None:
    if _PLAIN.fullmatch(between) is None:
        return None
    raw = _pieces(between)
    said = _said(raw, is_start=False)
    return _Between(
        at_start=_said(raw, is_start=True),
        elsewhere=said,
        n_pieces=len(raw),
        n_words=_n_words(raw),
        n_capitals=_n_capitals(raw),
        ends_sentence=between[-1:] in _SENTENCE_STARTS,
    )


def writing(folded: str) -> Writing:
    """Read a folded text word by word, contractions taken apart."""
    raw = _pieces(folded)
    return Writing(list(_said(raw, is_start=True)), len(raw), _n_words(raw), _n_capitals(raw))


def surfaces(folded: str) -> Iterable[str]:
    """Return the words and signs of a folded text as they are written."""
    return [surface for _, surface in _pieces(folded)]


def _pieces(folded: str) -> list[tuple[str, str]]:
    """Split a folded text into (group, surface)."""
    return [(match.lastgroup or "", match.group(match.lastgroup or 0)) for match in _RAW.finditer(folded)]


def _n_words(raw: list[tuple[str, str]]) -> int:
    return sum(group == "word" and len(surface) > 1 for group, surface in raw)


def _n_capitals(raw: list[tuple[str, str]]) -> int:
    return sum(group == "word" and len(surface) > 1 and surface[0].isupper() for group, surface in raw)


def _said(raw: list[tuple[str, str]], *, is_start: bool) -> tuple[Written, ...]:
    entries: list[Written] = []
    for group, surface in raw:
        if group == "word":
            entries += _words(surface, is_start)
        elif group == "dotted":
            plain = surface.replace(".", "")
            entries.append(_word(plain.lower(), plain, plain.isupper()))
        elif group == "sign" and surface != "-":
            entries.append(Written(group, surface, surface, token=word_tokens.of_sign(surface)))
        elif surface != "-":
            entries.append(Written(group, surface.lower() if group == "literal" else surface, surface))
        is_start = group == "sign" and surface in _SENTENCE_STARTS
    return tuple(entries)


@lru_cache(maxsize=8_192)
def _words(surface: str, is_start: bool) -> tuple[Written, ...]:
    """Return what a word says, contractions taken apart; all texts share it, which saves time and memory."""
    lower = surface.lower()
    may_name = surface[0].isupper() and (not is_start or (len(surface) > 1 and surface.isupper()))
    parts = (CONTRACTIONS.get(lower) or _apart(lower)) if lower in CONTRACTIONS or "'" in lower else (lower,)
    return tuple([_word(part, surface, may_name) for part in parts])


def _word(word: str, surface: str, may_name: bool = False) -> Written:
    is_by_itself = word not in word_tokens.READ_TOGETHER
    return Written(
        "word", word, surface, may_name, word_tokens.of_word(word, surface, may_name) if is_by_itself else None
    )


def _apart(word: str) -> tuple[str, ...]:
    stem, _, ending = word.rpartition("'")
    if ending == "t" and stem.endswith("n"):
        return (stem[:-1], "not") if len(stem) > 1 else ("not",)
    if ending == "s":
        return (stem, "is") if stem in FUNCTION_WORDS else (stem,)
    if ending in ("re", "ve", "m", "d", "ll"):
        return (stem, "will") if ending == "ll" else (stem,)
    return (word.replace("'", ""),)


def with_phrases(entries: list[Written]) -> list[Written]:
    """Replace phrases by the words that say the same, and join verbs with their particles."""
    said = [entry.word for entry in entries]
    if _MERGED.isdisjoint(said) and _STARTS_OF_PHRASES.isdisjoint(pairwise(said)):
        return entries
    result: list[Written] = []
    index = 0
    while index < len(entries):
        entry = entries[index]
        n_taken = 1
        if entry.group == "word":
            phrase, meaning = _phrase_at(said, index)
            if phrase:
                n_taken = len(phrase)
                surface = " ".join([part.surface for part in entries[index : index + n_taken]])
                result.extend([_word(part, surface) for part in meaning])
                index += n_taken
                continue
            if entry.word == "non" and index + 1 < len(entries):
                following = entries[index + 1]
                entry, n_taken = _word(f"non{following.word}", f"non-{following.surface}"), 2
            else:
                entry = _with_particle(entries, said, index)
        result.append(entry)
        index += n_taken
    return result


def _phrase_at(said: list[str], index: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the phrase that begins here, and the words that say the same; nothing where none begins."""
    for start in (tuple(said[index : index + 2]), (said[index],)):
        for phrase, meaning in PHRASES.get(start, ()):
            if tuple(said[index : index + len(phrase)]) == phrase:
                return phrase, meaning
    return (), ()


def _with_particle(entries: list[Written], said: list[str], index: int) -> Written:
    """Join a verb with its particle further on, which is taken out: "turn the alarm off" is "disable the alarm"."""
    entry = entries[index]
    if entry.word in PARTICLE_VERB_HEADS:
        for later in range(index + 2, min(index + _PARTICLE_REACH, len(entries))):
            merged = PARTICLE_VERBS.get((entry.word, said[later]))
            if merged is not None:
                surface = f"{entry.surface} {said[later]}"
                del entries[later], said[later]
                return _word(merged, surface)
    return entry

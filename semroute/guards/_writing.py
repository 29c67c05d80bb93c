"""From characters to words: typography folded, contractions taken apart, phrases replaced by one word."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

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
_PLAIN_PIECES = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*|[^\w\s]")
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


def plain_pieces(folded: str) -> list[tuple[str, str]] | None:
    """Do what `pieces` does for a text of words and marks alone; None for numbers, code, quotations or signs.

    Most questions are such texts, and their words come up again and again: splitting them takes a third of the time.
    """
    if not folded[:1].isalpha():
        return None
    found: list[tuple[str, str]] = []
    for between in folded.split(" "):
        plain = _plain_pieces(between)
        if plain is None:
            return None
        found += plain
    return found


@lru_cache(maxsize=8_192)
def _plain_pieces(between: str) -> tuple[tuple[str, str], ...] | None:
    if _PLAIN.fullmatch(between) is None:
        return None
    return tuple(("word" if surface[0].isalpha() else "sign", surface) for surface in _PLAIN_PIECES.findall(between))


def pieces(folded: str) -> list[tuple[str, str]]:
    """Split a folded text into (group, surface)."""
    return [(match.lastgroup or "", match.group(match.lastgroup or 0)) for match in _RAW.finditer(folded)]


def written(raw: list[tuple[str, str]]) -> list[Written]:
    """Return the words of a text, contractions taken apart and phrases replaced."""
    entries: list[Written] = []
    is_start = True
    for group, surface in raw:
        if group == "word":
            entries += _word(surface, is_start)
        elif group == "dotted":
            plain = surface.replace(".", "")
            entries.append(Written("word", plain.lower(), plain, plain.isupper()))
        elif surface != "-":
            entries.append(Written(group, surface.lower() if group == "literal" else surface, surface))
        is_start = group == "sign" and surface in _SENTENCE_STARTS
    return _with_phrases(entries)


@lru_cache(maxsize=8_192)
def _word(surface: str, is_start: bool) -> tuple[Written, ...]:
    """Return what a word says, contractions taken apart; all texts share it, which saves time and memory."""
    lower = surface.lower()
    may_name = surface[0].isupper() and (not is_start or (len(surface) > 1 and surface.isupper()))
    parts = (CONTRACTIONS.get(lower) or _apart(lower)) if lower in CONTRACTIONS or "'" in lower else (lower,)
    return tuple([Written("word", part, surface, may_name) for part in parts])


def _apart(word: str) -> tuple[str, ...]:
    stem, _, ending = word.rpartition("'")
    if ending == "t" and stem.endswith("n"):
        return (stem[:-1], "not") if len(stem) > 1 else ("not",)
    if ending == "s":
        return (stem, "is") if stem in FUNCTION_WORDS else (stem,)
    if ending in ("re", "ve", "m", "d", "ll"):
        return (stem, "will") if ending == "ll" else (stem,)
    return (word.replace("'", ""),)


def _with_phrases(entries: list[Written]) -> list[Written]:
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
                result.extend([Written("word", part, surface) for part in meaning])
                index += n_taken
                continue
            if entry.word == "non" and index + 1 < len(entries):
                following = entries[index + 1]
                entry, n_taken = Written("word", f"non{following.word}", f"non-{following.surface}"), 2
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
                return Written("word", merged, surface)
    return entry

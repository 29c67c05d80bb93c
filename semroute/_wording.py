"""How a question is worded: the plain text tools that the rules about freshness and cacheability share.

English only. Text in another language shows no cues, so it is judged as a question of general knowledge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_LOOKED_AT_CHARS = 600
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "«": '"', "»": '"'})
_QUOTED = re.compile(r'```.*?(?:```|$)|`[^`]*`|"[^"]*"|(?<!\w)\'[^\']+\'(?!\w)', re.DOTALL)
_GIVEN_TEXT = re.compile(
    r"^(?:(?:please|can you|could you|would you) )*"
    r"(?:translate|summari[sz]e|rewrite|rephrase|paraphrase|proofread|correct|classify|extract|edit|spell[- ]?check)\b"
    r"[^:]{0,80}:"
)
_SENTENCE_END = re.compile(r"[.?!;]+(?=\s|$)")

_HOW_TO = re.compile(
    r"\bhow (?:do|does|can|should|could|would|might|must) (?:i|we|you|one|they|people|someone|customers?|users?)\b"
    r"|\bhow to\b|\bhow (?:is|are|do|does|did) (?:\S+ ){1,6}"
    r"(?:work|calculated|computed|measured|defined|determined|decided|set)\b"
    r"|\bwhat (?:should|can|could|must|do|would) (?:i|we|one) do\b|\bwhat happens\b|\bwhat if\b|\bwhat (?:now|next)$"
    r"|\bwhere (?:should|can|could|do) (?:i|we|one) (?:check|see|find|view|look|read|go)\b"
    r"|\b(?:what|which) (?:are|is) the (?:\w+ )?(?:steps?|ways?|procedure|process|requirements?)\b|\bsteps to\b"
)
_ASKS_FOR_RULE = re.compile(
    r"\b(?:what|where|which|whom?) (?:\w+ )?(?:should|can|could|must|do|would) (?:i|we|one)\b"
    r"(?! (?:have|owe|still|own|currently|get|expect)\b(?! to\b))"
    r"|\bwhen (?:should|can|could|must) (?:i|we|one)\b(?! (?:get|expect|have)\b)"
    r"|\b(?:way|possible|able|allowed|supposed|have) to (?!know\b|hear\b)"
    r"|\b(?:can|could|may|should|must) (?:i|we)\b(?! (?:have|get|know|hear|expect)\b)"
)
_TELLING = re.compile(
    r"^(?:(?:hi|hello|hey|so|but|and|well|when|ok|okay|yes|no|today|yesterday),? )*(?:i|we)(?:'ve|'d| have| had)? "
    r"(?:just |already |also |now |been |only |accidentally )*"
    r"(?:\w{2,}ed|made|paid|bought|got|went|put|sent|lost|took|had|saw|did|was|were|been|forgot|withdrew|can't|cannot|couldn't"
    r"|didn't|haven't)\b(?!.*\b(?:what|why|when|how|who|which|where|tell me|is there|are there)\b)"
)
# What stands before "if" is looked at behind it: there are few of that word, and many places where it could stand.
_IF = (
    "if(?<!know if)(?<!check if)(?<!see if)(?<!sure if)(?<!confirm if)(?<!me if)(?<!wonder if)(?<!wondering if)"
    "(?<!verify if)"
)
_HYPOTHETICAL = re.compile(
    rf"\b(?:{_IF} (?:i|i'm|i've|my|the|it|it's|we|you|they|someone|something|there)"
    r"|(?:after|once|when|whenever|before|unless) (?:i|we|my|it's|you)|in case)\b"
)


def alternatives(listed: str) -> list[str]:
    """Split a word list into its patterns, one a line; a line that begins with "|" continues the one before."""
    return [line.strip() for line in re.sub(r"\n\s*(?=\|)", "", listed).strip().splitlines()]


def asked(text: str) -> str:
    """Return the words that ask: lower case, quotations, code and text handed over to be worked on left out.

    Of a long text only its opening and its end are looked at, since that is where a question about a pasted
    document stands; it also keeps every rule's time bounded.
    """
    if len(text) > 2 * _LOOKED_AT_CHARS:
        text = f"{text[:_LOOKED_AT_CHARS]}\n{text[-_LOOKED_AT_CHARS:]}"
    words = (text if text.isascii() else text.translate(_APOSTROPHES)).lower()
    if "'" in words or '"' in words or "`" in words:
        words = _QUOTED.sub(" ", words)
    given = _GIVEN_TEXT.match(words.lstrip()) if ":" in words else None
    if given is not None:
        words = given.group()
    return " ".join(words.split())


def sentences(words: str) -> list[str]:
    """Split what `asked` returned into sentences, without their end marks."""
    return [part for part in map(str.strip, _SENTENCE_END.split(words)) if part]


@lru_cache(maxsize=32)
def asked_sentences(text: str) -> tuple[str, ...]:
    """Return the sentences that ask; remembered, because several rules look at one text."""
    return tuple(sentences(asked(text)))


def is_how_to(sentence: str) -> bool:
    """Say whether a sentence asks for a way of doing something, or for advice."""
    return _HOW_TO.search(sentence) is not None


def asks_for_rule(sentence: str) -> bool:
    """Say whether a sentence asks for a way, or for what is possible or allowed: the same for everybody who asks."""
    return is_how_to(sentence) or _ASKS_FOR_RULE.search(sentence) is not None


def is_telling(sentence: str) -> bool:
    """Say whether a sentence only tells what happened to the asker ("I paid this morning"), and asks nothing."""
    return _TELLING.search(sentence) is not None


def is_hypothetical(sentence: str) -> bool:
    """Say whether a sentence asks about a case that is supposed ("if I …", "after I …"), not about a present state."""
    return _HYPOTHETICAL.search(sentence) is not None


def first_match(patterns: Iterable[re.Pattern[str]], sentence: str) -> str | None:
    """Return the words that the first matching pattern found, or None."""
    for pattern in patterns:
        found = pattern.search(sentence)
        if found is not None:
            return found.group().strip()
    return None

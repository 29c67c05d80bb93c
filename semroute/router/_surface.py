"""What the learned heads see of a text beside its vector: its phrases, a few measures, and what the rules say of it.

English only, and bounded: of a long text only its opening and its end are looked at.
"""

from __future__ import annotations

import re
from math import log1p
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from semroute.router.decision import RoutingDecision

_OPENING_CHARS: Final = 600
_END_CHARS: Final = 300
_LONGEST_PHRASE: Final = 3
_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_YEAR: Final = re.compile(r"\b(?:1[0-9]|20)\d\d\b")
_NAME: Final = re.compile(r"(?<=[a-z,] )[A-Z]\w")
_CODE_SIGN: Final = re.compile(r"[{}();=<>\[\]\\_/|$#]")
_TRACE_SIGN: Final = re.compile(
    r"\w(?:Error|Exception|Warning)\b|\b(?:line|exit code|errno|status) \d|\bE\d{3,}|\w:\d+\b|0x"
)
_FAILURES: Final = ("Error", "Exception", "Warning")
"""A text without any of these and without a digit has no sign of a trace."""
_YEAR_DIGITS: Final = 4
_DIGIT: Final = re.compile(r"\d")
_APOSTROPHES: Final = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})

MEASURES: Final = (
    *("words", "questions", "names", "digits", "lines", "code", "trace", "has_year", "opens_lower", "ends_asking"),
    *("rules_slow", "rules_daily", "rules_realtime", "rules_chat", "rules_analysis", "rules_error"),
    *("rules_medium", "rules_high"),
)
"""Numbers from 0 to about 1; the last of them say what the rules decided."""
CUES: Final = (
    *("who", "what", "which", "when", "where", "why", "how", "how many", "how much", "how old", "how to", "how do"),
    *("is", "are", "was", "were", "did", "do", "does", "will", "has", "have", "had", "can", "should", "would", "if"),
    *("current", "currently", "latest", "last", "next", "recent", "recently", "most recent", "most recently"),
    *("upcoming", "now", "today", "this year", "last year", "next year", "this season", "last season", "season"),
    *("year", "so far", "still", "yet", "ever", "never", "already", "since", "first", "record", "most", "new", "age"),
    *("in the world", "won", "win", "winner", "champion", "released", "named", "name of", "born", "die", "world"),
    *("title", "team", "times", "the current", "the last", "the most", "the first", "the latest", "the next"),
    *("richest", "highest", "i", "my", "me", "you", "your", "we", "please", "thanks", "explain", "compare", "write"),
    *("why does", "and", "error", "failed", "line", "exception", "versus", "design", "prove", "plan", "analyze"),
    "difference between",
)
"""Phrases whose presence is a feature of its own: question words, tense, time, and what is asked to be done."""
FEATURES: Final = (*MEASURES, *CUES)


def looked_at(text: str) -> str:
    """Return the part of a text that the heads look at: all of it, or the opening and the end of a long one."""
    if len(text) <= _OPENING_CHARS + _END_CHARS:
        return text
    return f"{text[:_OPENING_CHARS]}\n{text[-_END_CHARS:]}"


def phrases(seen: str) -> list[str]:
    """Return the words of a text and its phrases of two and three words in lower case, as often as they stand there."""
    words = _WORD.findall(seen.translate(_APOSTROPHES).lower())
    found = list(words)
    for length in range(2, _LONGEST_PHRASE + 1):
        found += map(" ".join, zip(*[words[start:] for start in range(length)], strict=False))
    return found


def measures(seen: str, n_chars: int, rules: RoutingDecision) -> tuple[float, ...]:
    """Return the numbers of MEASURES.

    `seen` is the part of a text that is looked at, `n_chars` the length of all of it, `rules` what the rules decided.
    """
    n_words = seen.count(" ") + 1 + max(0, n_chars - len(seen)) // 6
    n_digits = len(_DIGIT.findall(seen))
    return (
        log1p(n_words) / 6.0,
        min(seen.count("?"), 3) / 3.0,
        min(len(_NAME.findall(seen)), 5) / 5.0,
        min(n_digits, 10) / 10.0,
        min(seen.count("\n"), 8) / 8.0,
        min(1.0, 10.0 * len(_CODE_SIGN.findall(seen)) / max(1, len(seen))),
        min(_n_trace_signs(seen, n_digits), 3) / 3.0,
        float(n_digits >= _YEAR_DIGITS and _YEAR.search(seen) is not None),
        float(seen[:1].islower()),
        float(seen.rstrip().endswith("?")),
        float(rules.staleness == "slow"),
        float(rules.staleness == "daily"),
        float(rules.staleness == "realtime"),
        float(rules.intent == "chat"),
        float(rules.intent == "analysis"),
        float(rules.intent == "error"),
        float(rules.complexity == "medium"),
        float(rules.complexity == "high"),
    )


def _n_trace_signs(seen: str, n_digits: int) -> int:
    if not n_digits and not any(failure in seen for failure in _FAILURES):
        return 0
    return len(_TRACE_SIGN.findall(seen))

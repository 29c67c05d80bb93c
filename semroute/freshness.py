"""How soon a right answer turns wrong, judged from the wording of the question alone.

The rules are word lists in a fixed order, English only, checked sentence by sentence; the most perishable sentence
decides. The order matters: words that point at this very day ("right now", "today") beat a year named beside them,
a year or a past event beats a topic that changes ("population", "record"), and a question for a way of doing
something ("how do I check the weather from the app?") is not about the changing thing at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from semroute import _time_words as time_words
from semroute._wording import asked_sentences, is_how_to, is_telling
from semroute.errors import ConfigError

if TYPE_CHECKING:
    import re

    from semroute.router.decision import Staleness

LIFETIMES: Final[Mapping[Staleness, timedelta | None]] = MappingProxyType(
    {"timeless": timedelta(days=30), "slow": timedelta(days=7), "daily": timedelta(hours=1), "realtime": None}
)
_PERISHABLE_FIRST: Final[tuple[Staleness, ...]] = ("realtime", "daily", "slow", "timeless")

_RULES: Final[tuple[tuple[Staleness, str, re.Pattern[str]], ...]] = (
    ("realtime", "time-sensitive", time_words.THIS_VERY_DAY),
    ("timeless", "fixed in time", time_words.FIXED_IN_TIME),
    ("realtime", "time-sensitive", time_words.CHANGES_BY_THE_HOUR),
    ("daily", "changes by the day", time_words.CHANGES_BY_THE_DAY),
    ("timeless", "over and done", time_words.OVER_AND_DONE),
    ("slow", "changes by the year", time_words.CHANGES_BY_THE_YEAR),
)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How perishable an answer is, and the words that say so."""

    staleness: Staleness
    reason: str


def lifetime(staleness: Staleness, lifetimes: Mapping[Staleness, timedelta | None] = LIFETIMES) -> timedelta | None:
    """Return how long an answer may be kept; None means that it may not be kept at all.

    Raises ConfigError for a lifetime that is not positive.
    """
    kept_for = lifetimes[staleness]
    if kept_for is not None and kept_for <= timedelta(0):
        raise ConfigError(f"the lifetime of '{staleness}' answers must be longer than 0 seconds, not {kept_for}")
    return kept_for


@lru_cache(maxsize=32)
def judge_freshness(text: str) -> Freshness:
    """Judge how soon a right answer to a text turns wrong.

    The latest answers are remembered, because the cacheability rules and the router both ask about one request.
    """
    judged = [_judge_sentence(sentence) for sentence in asked_sentences(text)]
    if not judged:
        return Freshness("timeless", "no words to judge")
    return min(judged, key=lambda freshness: _PERISHABLE_FIRST.index(freshness.staleness))


def _judge_sentence(sentence: str) -> Freshness:
    if is_how_to(sentence):
        return Freshness("timeless", "asks for a way or a rule")
    if is_telling(sentence):
        return Freshness("timeless", "tells what happened")
    about_time = time_words.NOT_ABOUT_TIME.sub(" ", time_words.DISCOURSE_NOW.sub("", sentence))
    for staleness, what, pattern in _RULES:
        found = pattern.search(about_time)
        if found is not None:
            return Freshness(staleness, f"{what}: '{found.group().strip()}'")
    return Freshness("timeless", "no time-sensitive words")

"""Whether a request may be cached at all: the rules' first answer, from the facts of the request alone.

FULL uses both tiers, EXACT_ONLY the exact tier alone, BYPASS neither reads nor stores. Tools on offer are no reason
against caching: what an agent is told is served like any other answer, and admission keeps tool calls out of the
semantic tier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from semroute._own_words import NAMES_ONESELF, NEW_EACH_TIME, OWN_STATE, STATE_OF_A_THING
from semroute._wording import asked_sentences, asks_for_rule, first_match, is_how_to, is_hypothetical
from semroute.errors import ConfigError
from semroute.freshness import judge_freshness

if TYPE_CHECKING:
    from semroute.freshness import Freshness

DEFAULT_MAX_TEMPERATURE = 1.0


class Cacheability(StrEnum):
    """Which tiers may serve and keep the answer to a request."""

    FULL = "full"
    EXACT_ONLY = "exact_only"
    BYPASS = "bypass"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules need to know about a request."""

    query: str
    names_user: bool = False
    """The scope names the user, so that an answer about the asker's own affairs stays with the asker."""
    has_attachments: bool = False
    """The user's turn holds images, audio, files or other blocks that are not text."""
    temperature: float | None = None
    """The sampling temperature that the caller set; None where it set none."""
    fits_embedder: bool | None = None
    """Whether the query is within the embedder's limit; None where that is not known yet."""
    is_users_turn: bool = True
    """The last turn is the user's own; False for a tool's result or a turn of the model to be continued."""


@dataclass(frozen=True, slots=True)
class CacheabilityLimits:
    """Settings of the rules."""

    max_temperature: float = DEFAULT_MAX_TEMPERATURE
    """Above it the caller wants variety, so that only the very same request may share an answer."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_temperature) and self.max_temperature >= 0.0):
            raise ConfigError(f"max_temperature must be a number of at least 0.0, not {self.max_temperature!r}")


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which tiers may be used, why, and how perishable the answer is."""

    cacheability: Cacheability
    reason: str
    freshness: Freshness


def judge_cacheability(facts: Facts, limits: CacheabilityLimits | None = None) -> Judgement:
    """Judge which tiers may serve and keep the answer to a request."""
    if limits is None:
        limits = CacheabilityLimits()
    freshness = judge_freshness(facts.query)
    bypass = _reason_to_bypass(facts, freshness)
    if bypass is not None:
        return Judgement(Cacheability.BYPASS, bypass, freshness)
    exact_only = _reason_for_exact_only(facts, limits)
    if exact_only is not None:
        return Judgement(Cacheability.EXACT_ONLY, exact_only, freshness)
    return Judgement(Cacheability.FULL, freshness.reason, freshness)


def own_state(text: str) -> str | None:
    """Return the words that ask for the state of the asker's own affairs, or None.

    "Where is my order?" asks for a state; "how do I change my address?" and "what if my order is late?" ask for a way
    or a rule, which is the same for everybody.
    """
    for sentence in asked_sentences(text):
        if asks_for_rule(sentence) or is_hypothetical(sentence):
            continue
        found = first_match(STATE_OF_A_THING, sentence)
        if found is None and NAMES_ONESELF.search(sentence) is not None:
            found = first_match(OWN_STATE, sentence)
        if found is not None:
            return found
    return None


def wish_for_a_new_answer(text: str) -> str | None:
    """Return the words that wish for another answer than the last one ("another joke", "roll a die"), or None."""
    for sentence in asked_sentences(text):
        if is_how_to(sentence):
            continue
        found = first_match(NEW_EACH_TIME, sentence)
        if found is not None:
            return found
    return None


def _reason_to_bypass(facts: Facts, freshness: Freshness) -> str | None:
    if not facts.is_users_turn:
        return None
    if freshness.staleness == "realtime":
        return freshness.reason
    if not facts.names_user:
        state = own_state(facts.query)
        if state is not None:
            return f"asks for a state of the user's own, and the scope names no user: '{state}'"
    wish = wish_for_a_new_answer(facts.query)
    return None if wish is None else f"wishes for a new answer: '{wish}'"


def _reason_for_exact_only(facts: Facts, limits: CacheabilityLimits) -> str | None:
    if not facts.query[:1].isalpha() and not any(map(str.isalpha, facts.query)):
        return "the query has no letters to compare by meaning"
    if not facts.is_users_turn:
        return "the last turn is not the user's"
    if facts.has_attachments:
        return "the request has attachments"
    if facts.temperature is not None and not facts.temperature <= limits.max_temperature:
        return f"temperature {facts.temperature:g} is over {limits.max_temperature:g}"
    if facts.fits_embedder is False:
        return "the query is longer than the embedder's limit"
    return None

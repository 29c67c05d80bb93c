"""The router by rules: word lists instead of a model, so that its decision is the same every time and costs nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from semroute.freshness import judge_freshness
from semroute.router.decision import Complexity, Intent, RoutingDecision

if TYPE_CHECKING:
    from semroute.entry import FloatVector
    from semroute.freshness import Freshness
    from semroute.request import Request

_OPENING_CHARS: Final = 2_000
_LONG_WORDS: Final = 120
_SHORT_WORDS: Final = 25

_ERROR: Final = re.compile(
    r"Traceback \(most recent call last\)|^\s+at [\w.$<>]+\([\w.]+:\d+\)|^\s*File \".+\", line \d+"
    r"|^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception): |^thread '.+' panicked at|^panic: |Segmentation fault"
    r"|^(?:FATAL|ERROR|CRITICAL)\b.*:",
    re.MULTILINE,
)
_MARKS_OF_ERRORS: Final = (":", '"', "'", "Traceback", "Segmentation fault")
"""One of these stands in every error; most questions have none."""
_SMALL_TALK: Final = re.compile(
    r"^\W*(?:hi|hello|hey|howdy|good (?:morning|afternoon|evening|night)|greetings|thanks?"
    r"|thank you(?: (?:so|very) much)?"
    r"|cheers|bye|goodbye|see you|ok|okay|cool|great|nice|yes|no|sure|how are you(?: doing)?(?: today)?|what's up"
    r"|who are you|what's your name|what is your name|nice to meet you|there|again|everyone|all|for (?:the|your) help"
    r"|tell me a joke|that (?:helped|helps)(?: a lot)?|\W)+$",
    re.IGNORECASE,
)
_ASKS_TO_ANALYSE: Final = (
    r"\b(?:compare|contrast|analy[sz]e|analysis|evaluate|assess|critique|pros and cons|trade-?offs?|advantages and"
    r"|differences? between|step by step|derive|prove|refactor|debug|design a|architect|plan a|outline a"
    r"|write (?:an?|the|me an?) (?:\w+ ){0,3}(?:essay|report|article|proposal|program|story|paper|speech|review|plan)"
    r"|in (?:depth|detail)|implications|root cause|recommend a strategy|summari[sz]e)\b"
)
_ANALYSIS: Final = re.compile(_ASKS_TO_ANALYSE, re.IGNORECASE)
_ANALYSIS_IN_LOWER_CASE: Final = re.compile(_ASKS_TO_ANALYSE)
"""Finds in a lowered text of plain letters what the other one finds in any, and takes a third of the time."""
_SEVERAL_PARTS: Final = re.compile(r"```|^\s*(?:\d+[.)]|[-*]) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RuleRouter:
    """Decides by word lists; always fully confident, so that the gate's default threshold applies."""

    @property
    def name(self) -> str:
        return "rules"

    def route(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        """Decide about a request from the text of its query alone."""
        return decide(request.query)


def decide(query: str) -> RoutingDecision:
    """Decide about a query by its words."""
    intent = _intent(query)
    return _decision(intent, _complexity(query, intent), judge_freshness(query))


@lru_cache(maxsize=256)
def _decision(intent: Intent, complexity: Complexity, freshness: Freshness) -> RoutingDecision:
    """Return a decision; all questions judged alike share it, since checking a new one takes its time."""
    return RoutingDecision(
        intent=intent,
        complexity=complexity,
        cache_strategy="bypass" if freshness.staleness == "realtime" else "standard",
        staleness=freshness.staleness,
        confidence=1.0,
        origin="rules",
        reason=freshness.reason,
    )


def _intent(query: str) -> Intent:
    opening = query[:_OPENING_CHARS]
    if any(mark in opening for mark in _MARKS_OF_ERRORS) and _ERROR.search(opening) is not None:
        return "error"
    if len(opening) <= 120 and _SMALL_TALK.match(opening) is not None:
        return "chat"
    return "analysis" if _asks_to_analyse(opening) else "retrieval"


def _asks_to_analyse(opening: str) -> bool:
    if opening.isascii():
        return _ANALYSIS_IN_LOWER_CASE.search(opening.lower()) is not None
    return _ANALYSIS.search(opening) is not None


def _complexity(query: str, intent: Intent) -> Complexity:
    word_count = len(query[: 10 * _OPENING_CHARS].split())
    if intent == "chat":
        return "low"
    if intent == "error" or word_count > _LONG_WORDS:
        return "high"
    if intent == "analysis":
        return "high" if word_count > _SHORT_WORDS or _SEVERAL_PARTS.search(query[:_OPENING_CHARS]) else "medium"
    return "low" if word_count <= _SHORT_WORDS and query.count("?") <= 1 else "medium"

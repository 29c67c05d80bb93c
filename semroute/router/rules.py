"""The router by rules: word lists instead of a model, so that its decision is the same every time and costs nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from semroute.freshness import judge_freshness
from semroute.router.decision import Complexity, Intent, RoutingDecision

if TYPE_CHECKING:
    from semroute.entry import FloatVector
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
_SMALL_TALK: Final = re.compile(
    r"^\W*(?:hi|hello|hey|howdy|good (?:morning|afternoon|evening|night)|greetings|thanks?"
    r"|thank you(?: (?:so|very) much)?"
    r"|cheers|bye|goodbye|see you|ok|okay|cool|great|nice|yes|no|sure|how are you(?: doing)?(?: today)?|what's up"
    r"|who are you|what's your name|what is your name|nice to meet you|there|again|everyone|all|for (?:the|your) help"
    r"|tell me a joke|that (?:helped|helps)(?: a lot)?|\W)+$",
    re.IGNORECASE,
)
_ANALYSIS: Final = re.compile(
    r"\b(?:compare|contrast|analy[sz]e|analysis|evaluate|assess|critique|pros and cons|trade-?offs?|advantages and"
    r"|differences? between|step by step|derive|prove|refactor|debug|design a|architect|plan a|outline a"
    r"|write (?:an?|the|me an?) (?:\w+ ){0,3}(?:essay|report|article|proposal|program|story|paper|speech|review|plan)"
    r"|in (?:depth|detail)|implications|root cause|recommend a strategy|summari[sz]e)\b",
    re.IGNORECASE,
)
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
    freshness = judge_freshness(query)
    intent = _intent(query)
    return RoutingDecision(
        intent=intent,
        complexity=_complexity(query, intent),
        cache_strategy="bypass" if freshness.staleness == "realtime" else "standard",
        staleness=freshness.staleness,
        confidence=1.0,
        origin="rules",
        reason=freshness.reason,
    )


def _intent(query: str) -> Intent:
    opening = query[:_OPENING_CHARS]
    if _ERROR.search(opening) is not None:
        return "error"
    if len(opening) <= 120 and _SMALL_TALK.match(opening) is not None:
        return "chat"
    if _ANALYSIS.search(opening) is not None:
        return "analysis"
    return "retrieval"


def _complexity(query: str, intent: Intent) -> Complexity:
    word_count = len(query[: 10 * _OPENING_CHARS].split())
    if intent == "chat":
        return "low"
    if intent == "error" or word_count > _LONG_WORDS:
        return "high"
    if intent == "analysis":
        return "high" if word_count > _SHORT_WORDS or _SEVERAL_PARTS.search(query[:_OPENING_CHARS]) else "medium"
    return "low" if word_count <= _SHORT_WORDS and query.count("?") <= 1 else "medium"

"""What the tests of routed models share: a router whose decisions can be told beforehand, and what an answer says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessageChunk, BaseMessage

from semroute import Request
from semroute.errors import RouterError
from semroute.router.decision import RoutingDecision

if TYPE_CHECKING:
    from semroute.entry import FloatVector

EASY, HARD = "What are cats?", "Prove what cats are"


class TellingRouter:
    """Decides by the first word of a query: "Prove" is hard, "Fail" fails, all else is easy."""

    name = "telling"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.confidence = 1.0

    def route(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        self.asked.append(request.query)
        if request.query.startswith("Fail"):
            raise RouterError("it was told to")
        complexity = "high" if request.query.startswith("Prove") else "low"
        return RoutingDecision(complexity=complexity, confidence=self.confidence, reason="told so")


class WaveringRouter(TellingRouter):
    """Is not sure of anything until it is asked a second time, and finds everything hard then."""

    def __init__(self) -> None:
        super().__init__()
        self.confidence = 0.6
        self.second_looks = 0

    def reconsider(
        self, request: Request, vector: FloatVector | None, decision: RoutingDecision, similarity: float | None
    ) -> RoutingDecision:
        self.second_looks += 1
        return decision.model_copy(update={"complexity": "high", "confidence": 1.0})

    async def areconsider(
        self, request: Request, vector: FloatVector | None, decision: RoutingDecision, similarity: float | None
    ) -> RoutingDecision:
        return self.reconsider(request, vector, decision, similarity)


def told(message: BaseMessage) -> dict[str, Any]:
    marker: dict[str, Any] = message.response_metadata["semroute"]
    return marker


def tier_and_model(message: BaseMessage) -> tuple[str, str]:
    return told(message)["tier"], told(message)["model"]


def added(chunks: Iterable[AIMessageChunk]) -> AIMessageChunk:
    first, *rest = chunks
    total = first
    for chunk in rest:
        total = total + chunk  # type: ignore[assignment]  # chunks of one kind add up to that kind
    return total

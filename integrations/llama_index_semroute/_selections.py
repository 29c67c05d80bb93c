"""What a selector of ours answers, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.base_selector import SelectorResult, SingleSelection
from pydantic import BaseModel, ConfigDict

from llama_index_semroute._nearness import described
from semroute.entry import JSON, Answer

if TYPE_CHECKING:
    from llama_index.core.tools.types import ToolMetadata

    from llama_index_semroute._nearness import Near
    from semroute.calls.call import Call
    from semroute.result import Hit


class SelectorDecision(BaseModel):
    """How a selection came about."""

    model_config = ConfigDict(frozen=True)

    origin: Literal["embedder", "selector", "cache"]
    """The descriptions' likeness decided, or the inner selector, or what that had said before."""
    similarities: tuple[float, ...] | None = None
    """Of the question and each choice's description, in the order of the choices; None where nothing was embedded."""
    semroute: dict[str, Any] | None = None
    """How the lookup of the inner selector's answer went; None where there was none."""


class SemrouteSelection(SelectorResult):
    """A selector's result, 0-based, with how sure it is and how it came about."""

    confidence: float | None = None
    """From 0 to 1; None where the inner selector decided and tells none."""
    decision: SelectorDecision


def nearest(near: Near) -> SemrouteSelection:
    similarity = near.similarities[near.index]
    reason = f"its description is nearest: similarity {similarity:.2f}, confidence {near.confidence:.2f}"
    return SemrouteSelection(
        selections=[SingleSelection(index=near.index, reason=reason)],
        confidence=near.confidence,
        decision=SelectorDecision(origin="embedder", similarities=near.similarities),
    )


def selected(result: SelectorResult, near: Near | None) -> SemrouteSelection:
    """Return a selector's result in objects of our own: some selectors change theirs when they are asked again."""
    return SemrouteSelection(
        selections=[each.model_copy() for each in result.selections],
        confidence=_confidence(result),
        decision=SelectorDecision(origin="selector", similarities=None if near is None else near.similarities),
    )


def explained(selection: SemrouteSelection, near: Near | None, call: Call[SemrouteSelection]) -> SemrouteSelection:
    told: dict[str, Any] = {"similarities": None if near is None else near.similarities}
    if call.explanation is not None:
        told["semroute"] = call.explanation.as_dict()
    return selection.model_copy(update={"decision": selection.decision.model_copy(update=told)})


def answer_of(result: SelectorResult, choices: Sequence[ToolMetadata], latency_s: float) -> Answer | None:
    """Return what is kept of a selection, 0-based; None for one that names what is not there."""
    if not result.selections or not all(0 <= each.index < len(choices) for each in result.selections):
        return None
    payload: dict[str, JSON] = {
        "selections": [[each.index, each.reason] for each in result.selections],
        "confidence": _confidence(result),
    }
    names = [f"{each.index}: {described(choices[each.index])}" for each in result.selections]
    return Answer("\n".join(names), payload=payload, latency_s=latency_s)


def _confidence(result: SelectorResult) -> float | None:
    """Return how sure a selector is, where its results tell."""
    confidence = getattr(result, "confidence", None)
    return confidence if isinstance(confidence, float) else None


class _Kept(BaseModel):
    """The payload of a kept selection."""

    model_config = ConfigDict(strict=True)

    selections: list[tuple[int, str]]
    confidence: float | None = None


def revived(hit: Hit, count: int) -> SemrouteSelection | None:
    """Return the selection of a hit in fresh objects, or None where it cannot be read."""
    try:
        kept = _Kept.model_validate_json(json.dumps(hit.answer.payload))
    except ValueError:
        return None
    if not kept.selections or not all(0 <= index < count for index, _ in kept.selections):
        return None
    return SemrouteSelection(
        selections=[SingleSelection(index=index, reason=reason) for index, reason in kept.selections],
        confidence=kept.confidence,
        decision=SelectorDecision(origin="cache"),
    )

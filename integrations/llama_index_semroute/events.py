"""What LlamaIndex's own handlers are told of the cache."""

from __future__ import annotations

from typing import Any, Final

from llama_index.core.instrumentation.event_handlers import BaseEventHandler, NullEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher

from semroute.result import Explanation

LLM: Final = "llm"
"""The subject of a lookup that a model makes."""
_DISPATCHER: Final = get_dispatcher("llama_index_semroute")


class SemrouteLookupEvent(BaseEvent):
    """A lookup has ended: what of (`subject`), in which tier, and why.

    `explanation` is the object that stands in `response.metadata["semroute"]`.
    """

    subject: str
    tier: str
    explanation: dict[str, Any]

    @classmethod
    def class_name(cls) -> str:
        return "SemrouteLookupEvent"


def tell(subject: str, explanation: Explanation | None) -> None:
    """Tell LlamaIndex's event handlers of a lookup; one that failed, and so has no explanation, is left out."""
    if explanation is not None and _is_heard(subject):
        _DISPATCHER.event(
            SemrouteLookupEvent(subject=subject, tier=explanation.tier, explanation=explanation.as_dict())
        )


def _is_heard(subject: str) -> bool:
    """Say whether anybody listens: an event takes as long to make as an entry to read."""
    handlers = (*_DISPATCHER.event_handlers, *get_dispatcher().event_handlers)
    return any(not isinstance(each, NullEventHandler) and _hears(each, subject) for each in handlers)


def _hears(handler: BaseEventHandler, subject: str) -> bool:
    return subject == LLM or not getattr(handler, "hears_models_only", False)

"""What the models inside an engine have told of their answers, which its response does not pass on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index_instrumentation import get_dispatcher

from llama_index_semroute._llm_codec import Told
from llama_index_semroute.events import LLM, SemrouteLookupEvent
from semroute.admission import admit
from semroute.entry import Answer, Usage


@dataclass(slots=True)
class Overheard:
    """The calls of one answer: their tokens, and whether one of them was cut short or refused."""

    usage: Usage | None = None
    finish_reason: str | None = None
    is_refusal: bool = False
    is_counted: bool = False
    """Whether a model is cached itself, so that its calls are counted already."""
    outer: Overheard | None = None
    """That of an engine round this one."""
    _raws: list[object] = field(default_factory=list)

    def hear(self, raw: object, extra: dict[str, Any]) -> None:
        """Take down what a call has told; one that calls itself by another name tells it twice."""
        if raw is not None and any(known is raw for known in self._raws):
            return
        self._raws.append(raw)
        told = Told.by(raw, extra)
        if told.usage is not None:
            before = Usage(0, 0) if self.usage is None else self.usage
            counts = told.usage
            self.usage = Usage(before.input_tokens + counts.input_tokens, before.output_tokens + counts.output_tokens)
        self.is_refusal = self.is_refusal or told.is_refusal
        if self.finish_reason is None or admit(Answer("…", finish_reason=self.finish_reason)).stored:
            self.finish_reason = told.finish_reason
        if self.outer is not None:
            self.outer.hear(raw, extra)

    def count_no_more(self) -> None:
        """Leave the counting to the cache of a model inside."""
        self.is_counted = True
        if self.outer is not None:
            self.outer.count_no_more()

    def added_to(self, answer: Answer) -> Answer:
        """Return an answer with what its models have told; it names no model whose calls are counted already."""
        told = replace(answer, finish_reason=self.finish_reason, is_refusal=self.is_refusal)
        return replace(told, model=None) if self.is_counted else replace(told, usage=self.usage)


_HEARING: ContextVar[Overheard | None] = ContextVar("semroute_overheard", default=None)


class _Ear(BaseEventHandler):
    """Hears the ends of model calls, for those who listen."""

    hears_models_only: bool = True

    @classmethod
    def class_name(cls) -> str:
        return "SemrouteEar"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        listener = _HEARING.get()
        if listener is None:
            return
        if isinstance(event, SemrouteLookupEvent) and event.subject == LLM:
            listener.count_no_more()
        elif isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent) and event.response is not None:
            listener.hear(event.response.raw, event.response.additional_kwargs)


def listener() -> Overheard:
    """Return a new listener, within that of an engine round this one."""
    root = get_dispatcher()
    if not any(isinstance(handler, _Ear) for handler in root.event_handlers):
        root.add_event_handler(_Ear())
    return Overheard(outer=_HEARING.get())


@contextmanager
def hearing(overheard: Overheard) -> Iterator[None]:
    """Listen to the model calls of a block."""
    token = _HEARING.set(overheard)
    try:
        yield
    finally:
        _HEARING.reset(token)

"""What `cached()` lays over an LLM's class: the one place where its calls meet the cache.

The plain classes here and in `_llm_templates` stand in front of the LLM's own class. They carry no annotations of
their own, because pydantic would take those for fields, and no spans or callbacks: the LLM has its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from llama_index_semroute._llm_call import (
    LLMCall,
    aanswered,
    answered,
    astreamed,
    chat_call,
    completion_call,
    streamed,
)
from semroute.binding import bound, rebound
from semroute.calls.streams import asteps, is_inside, steps

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
    from llama_index.core.llms.llm import LLM

    Model = LLM
else:
    Model = object


class CachedCalls(Model):
    """The eight calls of an LLM, out of the cache; tools, agents and structured output are made of them."""

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        own: Any = super()
        call = chat_call(self, messages, kwargs)
        reply: ChatResponse = answered(self, call, partial(own.chat, messages, **kwargs))
        return reply

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        own: Any = super()
        call = chat_call(self, messages, kwargs)
        return await aanswered(self, call, partial(own.achat, messages, **kwargs))

    def complete(self, prompt: str, *args: Any, **kwargs: Any) -> CompletionResponse:
        own: Any = super()
        call = completion_call(self, prompt, args, kwargs)
        reply: CompletionResponse = answered(self, call, partial(own.complete, prompt, *args, **kwargs))
        return reply

    async def acomplete(self, prompt: str, *args: Any, **kwargs: Any) -> CompletionResponse:
        own: Any = super()
        call = completion_call(self, prompt, args, kwargs)
        return await aanswered(self, call, partial(own.acomplete, prompt, *args, **kwargs))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        own: Any = super()
        call = chat_call(self, messages, kwargs)
        return _stream(self, call, partial(own.stream_chat, messages, **kwargs))

    def stream_complete(self, prompt: str, *args: Any, **kwargs: Any) -> Any:
        own: Any = super()
        call = completion_call(self, prompt, args, kwargs)
        return _stream(self, call, partial(own.stream_complete, prompt, *args, **kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        own: Any = super()
        call = chat_call(self, messages, kwargs)
        return await _astream(self, call, partial(own.astream_chat, messages, **kwargs))

    async def astream_complete(self, prompt: str, *args: Any, **kwargs: Any) -> Any:
        own: Any = super()
        call = completion_call(self, prompt, args, kwargs)
        return await _astream(self, call, partial(own.astream_complete, prompt, *args, **kwargs))


def _stream(llm: LLM, call: LLMCall | None, begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Return a stream that belongs to the scope in which it was asked for, wherever it is read."""
    if is_inside(llm):
        return begin()
    return steps(partial(rebound, bound()), partial(streamed, llm, call, begin))


async def _astream(llm: LLM, call: LLMCall | None, begin: Callable[[], Awaitable[Any]]) -> AsyncIterator[Any]:
    if is_inside(llm):
        stream: AsyncIterator[Any] = await begin()
        return stream
    return asteps(partial(rebound, bound()), partial(astreamed, llm, call, begin))

"""What `cached()` lays over a chat model's class: the one place where its calls meet the cache.

The plain classes here and in `_mixin_streams` stand in front of the model's own class. They carry no annotations of
their own, because pydantic would take those for fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Self, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult

from langchain_semroute._call import Calling, open_call
from langchain_semroute._identity import forget
from langchain_semroute._merge import normalised
from langchain_semroute._replay import replay
from langchain_semroute.cache import LOOKED_UP, SemrouteCache
from semroute.calls.streams import inside, is_inside
from semroute.calls.traffic import calling

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun

    Model = BaseChatModel
else:
    Model = object

Stop = list[str] | None


class CachedCalls(Model):
    """`invoke`, `batch`, `generate` and their asynchronous twins, out of the cache."""

    def _get_llm_string(self, stop: Stop = None, **kwargs: Any) -> str:
        if is_inside(self):
            return LOOKED_UP
        self.__dict__.pop("_serialized", None)  # outlives assignments and model_copy (langchain#39598)
        return super()._get_llm_string(stop=stop, **kwargs)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if not is_inside(self):  # what a model changes while it answers is its state, not its identity
            forget(self)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copy = super().model_copy(update=update, deep=deep)
        forget(copy)
        return copy

    async def agenerate(self, messages: list[list[BaseMessage]], *args: Any, **kwargs: Any) -> LLMResult:
        with calling():
            return await super().agenerate(messages, *args, **kwargs)

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: Stop = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = open_call(self, messages, stop, kwargs)
        if call is None:
            with past_the_cache(self):
                return super()._generate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)
        try:
            served = call.served()
            if served is not None:
                return self._semroute_hit(served, run_manager, kwargs)
            with inside(self):
                result = super()._generate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)
            call.keep(result.generations)
            return _told(call, result)
        finally:
            call.end()

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: Stop = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = open_call(self, messages, stop, kwargs)
        if call is None:
            with past_the_cache(self):
                return await super()._agenerate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)
        try:
            served = await call.aserved()
            if served is not None:
                return await self._asemroute_hit(served, run_manager, kwargs)
            with inside(self):
                result = await super()._agenerate_with_cache(messages, stop=stop, run_manager=run_manager, **kwargs)
            await call.akeep(result.generations)
            return _told(call, result)
        finally:
            call.end()

    def _semroute_hit(
        self, served: list[ChatGeneration], manager: CallbackManagerForLLMRun | None, kwargs: dict[str, Any]
    ) -> ChatResult:
        """Return a hit; handlers that listen to tokens or events hear it as they would hear a fresh answer."""
        shaped = [normalised(generation, self.output_version) for generation in served]
        if manager is not None:
            if self._should_use_protocol_streaming(async_api=False, run_manager=manager, **kwargs):
                self._replay_v2_events_for_cache_hit(shaped, run_manager=manager, **kwargs)
            elif self._should_stream(async_api=False, run_manager=manager, **kwargs):
                for chunk in heard(self, shaped[0]):
                    manager.on_llm_new_token(cast("str", chunk.message.content), chunk=chunk)
        return ChatResult(generations=shaped)

    async def _asemroute_hit(
        self, served: list[ChatGeneration], manager: AsyncCallbackManagerForLLMRun | None, kwargs: dict[str, Any]
    ) -> ChatResult:
        shaped = [normalised(generation, self.output_version) for generation in served]
        if manager is not None:
            if self._should_use_protocol_streaming(async_api=True, run_manager=manager, **kwargs):
                await self._areplay_v2_events_for_cache_hit(shaped, run_manager=manager, **kwargs)
            elif self._should_stream(async_api=True, run_manager=manager, **kwargs):
                for chunk in heard(self, shaped[0]):
                    await manager.on_llm_new_token(cast("str", chunk.message.content), chunk=chunk)
        return ChatResult(generations=shaped)


def heard(model: BaseChatModel, generation: ChatGeneration) -> Iterator[ChatGenerationChunk]:
    """Yield the chunks of a hit under the id of its message, so that listeners know both for one."""
    for chunk in chunks_of(model, generation):
        chunk.message.id = generation.message.id
        yield chunk


def chunks_of(model: BaseChatModel, generation: ChatGeneration) -> Iterator[ChatGenerationChunk]:
    """Yield the chunks of a hit, in pieces as long as the model's cache says."""
    cache = model.cache
    return replay(generation, cache.replay_chunk_chars if isinstance(cache, SemrouteCache) else len(generation.text))


def past_the_cache(model: BaseChatModel) -> AbstractContextManager[None]:
    """Keep a call that must not be cached away from the model's own SemrouteCache; other caches are left alone."""
    return inside(model) if isinstance(model.cache, SemrouteCache) else nullcontext()


def _told(call: Calling, result: ChatResult) -> ChatResult:
    for generation in result.generations:
        call.marked(generation.message)
    return result

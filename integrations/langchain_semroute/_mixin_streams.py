"""The streaming side of a cached model: served from the cache, stored when read to the end, bound to its scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models._compat_bridge import amessage_to_events, message_to_events
from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from langchain_semroute._call import Calling, open_call
from langchain_semroute._merge import merged
from langchain_semroute._mixin import Model, Stop, chunks_of
from langchain_semroute._routed_attempt import anoted, noted
from semroute.binding import Binding, bound, rebound
from semroute.calls.streams import asteps, inside, is_inside, steps

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.runnables import RunnableConfig


class BoundStreams(Model):
    """Streams belong to the scope in which they were asked for, wherever they are read."""

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: Stop = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        return steps(partial(rebound, bound()), partial(super().stream, input, config, stop=stop, **kwargs))

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: Stop = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        return asteps(partial(rebound, bound()), partial(super().astream, input, config, stop=stop, **kwargs))

    def stream_events(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        events: Any = super().stream_events(input, config, **kwargs)
        if isinstance(events, ChatModelStream):
            return _pumped_in(bound(), events)
        return steps(partial(rebound, bound()), lambda: events)

    def astream_events(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        events: Any = super().astream_events(input, config, **kwargs)
        if kwargs.get("version") == "v3":
            return _started_in(bound(), events)
        return asteps(partial(rebound, bound()), lambda: events)


class CachedStream(Model):
    """`stream` out of the cache, for a model that has `_stream`."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: Stop = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        begin = partial(super()._stream, messages, stop=stop, run_manager=run_manager, **kwargs)
        call = None if is_inside(self) else open_call(self, messages, stop, kwargs)
        return noted(begin()) if call is None else _streamed(self, call, begin)


class CachedAsyncStream(Model):
    """`astream` out of the cache, for a model that has `_astream` or `_stream`."""

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: Stop = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        begin = partial(super()._astream, messages, stop=stop, run_manager=run_manager, **kwargs)
        call = None if is_inside(self) else open_call(self, messages, stop, kwargs)
        # LangChain's own _astream falls back to _stream: inside(self) keeps that from a second lookup.
        return anoted(asteps(partial(inside, self), begin)) if call is None else _astreamed(self, call, begin)


class CachedEvents(Model):
    """Protocol events out of the cache, for a model that produces them itself."""

    def _stream_chat_model_events(self, messages: list[BaseMessage], **kwargs: Any) -> Iterator[Any]:
        native: Any = super()
        begin = partial(native._stream_chat_model_events, messages, **kwargs)
        call = None if is_inside(self) else open_call(self, messages, *_arguments(kwargs))
        return noted(begin()) if call is None else _events(self, call, begin)


class CachedAsyncEvents(Model):
    """The asynchronous twin of `CachedEvents`."""

    def _astream_chat_model_events(self, messages: list[BaseMessage], **kwargs: Any) -> AsyncIterator[Any]:
        native: Any = super()
        begin = partial(native._astream_chat_model_events, messages, **kwargs)
        call = None if is_inside(self) else open_call(self, messages, *_arguments(kwargs))
        return anoted(begin()) if call is None else _aevents(self, call, begin)


def _arguments(kwargs: dict[str, Any]) -> tuple[Stop, dict[str, Any]]:
    return kwargs.get("stop"), {key: value for key, value in kwargs.items() if key not in ("stop", "run_manager")}


def _streamed(
    model: BaseChatModel, call: Calling, begin: Callable[[], Iterator[ChatGenerationChunk]]
) -> Iterator[ChatGenerationChunk]:
    try:
        served = call.served()
        if served is not None:
            yield from chunks_of(model, served[0])
            return
        taken: list[ChatGenerationChunk] = []
        for chunk in steps(partial(inside, model), begin):
            yield _taken(call, chunk, taken)
        call.keep(merged(taken, model.output_version))
    finally:
        call.end()


async def _astreamed(
    model: BaseChatModel, call: Calling, begin: Callable[[], AsyncIterator[ChatGenerationChunk]]
) -> AsyncIterator[ChatGenerationChunk]:
    try:
        served = await call.aserved()
        if served is not None:
            for chunk in chunks_of(model, served[0]):
                yield chunk
            return
        taken: list[ChatGenerationChunk] = []
        async for chunk in asteps(partial(inside, model), begin):
            yield _taken(call, chunk, taken)
        await call.akeep(merged(taken, model.output_version))
    finally:
        call.end()


def _taken(call: Calling, chunk: ChatGenerationChunk, taken: list[ChatGenerationChunk]) -> ChatGenerationChunk:
    """Keep a copy of a chunk, because LangChain goes on to change the one it is given; mark the first."""
    taken.append(chunk.model_copy(deep=True))
    if len(taken) == 1:
        call.marked(chunk.message)
    return chunk


def _events(model: BaseChatModel, call: Calling, begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    try:
        served = call.served()
        if served is not None:
            yield from message_to_events(served[0].message)
            return
        sum_of_events = ChatModelStream()
        for event in steps(partial(inside, model), begin):
            sum_of_events.dispatch(event)
            if sum_of_events.done:  # the event that ends a message is the last that anybody asks for
                call.keep(_generation(sum_of_events))
            yield event
    finally:
        call.end()


async def _aevents(model: BaseChatModel, call: Calling, begin: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
    try:
        served = await call.aserved()
        if served is not None:
            async for event in amessage_to_events(served[0].message):
                yield event
            return
        sum_of_events = ChatModelStream()
        async for event in asteps(partial(inside, model), begin):
            sum_of_events.dispatch(event)
            if sum_of_events.done:
                await call.akeep(_generation(sum_of_events))
            yield event
    finally:
        call.end()


def _generation(events: ChatModelStream) -> list[ChatGeneration]:
    message = events.output_message
    return [] if message is None else [ChatGeneration(message=message.model_copy(deep=True))]


def _pumped_in(binding: Binding, stream: ChatModelStream) -> ChatModelStream:
    """Have a stream of protocol events pumped under a binding, whoever reads it and where."""
    pump, start = stream._request_more, stream._ensure_started

    def pump_one() -> bool:
        with rebound(binding):
            return pump is not None and pump()

    def start_it() -> None:
        with rebound(binding):
            if start is not None:
                start()

    stream.set_start(start_it)
    stream.bind_pump(pump_one)
    return stream


async def _started_in(binding: Binding, coming: Awaitable[AsyncChatModelStream]) -> AsyncChatModelStream:
    """Have the producer of an asynchronous event stream started under a binding: its task copies the context."""
    stream = await coming
    start = stream._ensure_started

    async def start_it() -> None:
        with rebound(binding):
            if start is not None:
                await start()

    stream.set_start(start_it)
    return stream

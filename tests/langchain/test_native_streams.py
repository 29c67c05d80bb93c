"""Models that stream in other ways than by `_stream`: protocol events of their own, or asynchronously only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.callbacks.base import AsyncCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models._compat_bridge import amessage_to_events, message_to_events
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tracers._streaming import _V2StreamingCallbackHandler
from langchain_semroute import cached
from pydantic import Field

from semroute import SemanticCache

ASKED = "What are cats?"
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Named(BaseChatModel):
    calls: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "named"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "named-1"}

    def _reply(self, messages: list[BaseMessage], way: str) -> AIMessage:
        self.calls.append(way)
        return AIMessage(f"You said: {messages[-1].text}", response_metadata={"finish_reason": "stop"})

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages, "generate"))])


class Native(Named):
    """Produces protocol events itself."""

    def _stream_chat_model_events(self, messages: list[BaseMessage], **kwargs: Any) -> Iterator[Any]:
        yield from message_to_events(self._reply(messages, "events"))

    async def _astream_chat_model_events(self, messages: list[BaseMessage], **kwargs: Any) -> AsyncIterator[Any]:
        async for event in amessage_to_events(self._reply(messages, "aevents")):
            yield event


class AsyncOnly(Named):
    """Streams on an event loop only."""

    async def _astream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for word in self._reply(messages, "astream").text.split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(f"{word} "))


async def test_events_of_a_models_own_are_stored_and_served(cache: SemanticCache) -> None:
    native = Native()
    model = cached(native, cache)
    assert model.stream_events(ASKED, version="v3").output.text == f"You said: {ASKED}"
    assert model.stream_events(ASKED, version="v3").output.text == f"You said: {ASKED}"
    assert (await (await model.astream_events(ASKED, version="v3"))).text == f"You said: {ASKED}"
    assert model.invoke(ASKED).text == f"You said: {ASKED}"
    assert native.calls == ["events"]


async def test_asynchronous_events_of_a_models_own_are_stored_and_served(cache: SemanticCache) -> None:
    native = Native()
    model = cached(native, cache)
    for _ in range(2):
        assert (await (await model.astream_events(ASKED, version="v3"))).text == f"You said: {ASKED}"
    assert native.calls == ["aevents"]


class Heard(BaseCallbackHandler, _V2StreamingCallbackHandler):
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self.events.append(event["event"])


class AsyncHeard(AsyncCallbackHandler, _V2StreamingCallbackHandler):
    def __init__(self) -> None:
        self.events: list[str] = []

    async def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self.events.append(event["event"])


async def test_a_handler_of_events_hears_a_hit_as_it_hears_a_miss(cache: SemanticCache) -> None:
    native = Native()
    model = cached(native, cache)
    fresh, hit, ahit = Heard(), Heard(), AsyncHeard()
    model.invoke(ASKED, config={"callbacks": [fresh]})
    model.invoke(ASKED, config={"callbacks": [hit]})
    await model.ainvoke(ASKED, config={"callbacks": [ahit]})
    assert native.calls == ["events"]
    assert fresh.events == hit.events == ahit.events
    assert fresh.events[0] == "message-start"


async def test_a_model_that_streams_on_a_loop_only_is_served(cache: SemanticCache) -> None:
    plain = AsyncOnly()
    model = cached(plain, cache, replay_chunk_chars=10)
    assert len([chunk async for chunk in model.astream(ASKED)]) == 6
    assert [chunk.text async for chunk in model.astream(ASKED)] == ["You said: ", "What are c", "ats? ", ""]
    assert [chunk.text for chunk in model.stream(ASKED)] == ["You said: What are cats? "]
    assert plain.calls == ["astream"]

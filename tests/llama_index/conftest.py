from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.llms.openai import OpenAI
from pydantic import Field

from semroute import SemanticCache
from tests.langchain.openai_stub import OpenAIStub
from tests.llama_index.parts import Parrot


@pytest.fixture(autouse=True)
def _no_loop_is_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the event loop that LlamaIndex makes for its synchronous calls, and leaves to the garbage collector."""
    yield
    if not inspect.iscoroutinefunction(getattr(request, "function", None)):
        loop = getattr(getattr(asyncio.get_event_loop_policy(), "_local", None), "_loop", None)
        if loop is not None and not loop.is_running():
            loop.close()
            asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def openai_server() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture
def stub(openai_server: OpenAIStub) -> OpenAIStub:
    """Return the loopback server, with nothing counted yet."""
    openai_server.bodies.clear()
    openai_server.headers.clear()
    return openai_server


@pytest.fixture
def make_openai(stub: OpenAIStub) -> Callable[..., OpenAI]:
    """Make LLMs of llama-index-llms-openai that talk to the loopback server."""

    def make(**settings: Any) -> OpenAI:
        given = {"model": "gpt-4o-mini", "temperature": 0.0, "max_retries": 0, "api_key": "sk-test", **settings}
        return OpenAI(api_base=stub.url, reuse_client=False, **given)

    return make


@pytest.fixture
def openai(make_openai: Callable[..., OpenAI]) -> OpenAI:
    return make_openai()


@pytest.fixture
def trusting_core(make_cache: Callable[..., SemanticCache]) -> SemanticCache:
    """A cache without guards, for tests of what is compared by meaning, not of how strictly."""
    return make_cache(guards=())


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


class Listener(BaseEventHandler):
    """Keeps every event that LlamaIndex's handlers are told."""

    events: list[BaseEvent] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Listener"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        self.events.append(event)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


@pytest.fixture
def heard() -> Iterator[Listener]:
    """Listen to the events of LlamaIndex's root dispatcher for as long as a test lasts."""
    listener, root = Listener(), get_dispatcher()
    root.add_event_handler(listener)
    yield listener
    root.event_handlers.remove(listener)

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from langchain_semroute import SemrouteCache
from pydantic import Field

from semroute import SemanticCache

from .openai_stub import OpenAIStub

MakeModel = Callable[..., ChatOpenAI]


def pytest_configure(config: pytest.Config) -> None:
    # The plugin that knows this mark of the standard tests is switched off for the whole suite.
    config.addinivalue_line("markers", "benchmark: a timing of the standard tests, run once")


@pytest.fixture(scope="session")
def openai_server() -> Iterator[Any]:
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture
def stub(openai_server: Any) -> Any:
    """Return the loopback server, with nothing counted yet."""
    openai_server.bodies.clear()
    openai_server.headers.clear()
    return openai_server


@pytest.fixture
def make_openai(stub: Any) -> MakeModel:
    """Make chat models of langchain-openai that talk to the loopback server."""

    def make(**settings: Any) -> ChatOpenAI:
        given = {"model": "gpt-4o-mini", "temperature": 0, "max_retries": 0, **settings}
        return ChatOpenAI(base_url=stub.url, api_key="sk-test", **given)

    return make


@pytest.fixture
def openai(make_openai: MakeModel) -> ChatOpenAI:
    return make_openai()


@pytest.fixture
def lc_cache(cache: SemanticCache) -> SemrouteCache:
    return SemrouteCache(cache=cache)


@pytest.fixture
def trusting_core(make_cache: Callable[..., SemanticCache]) -> SemanticCache:
    """A cache without guards, for tests of what is compared by meaning, not of how strictly."""
    return make_cache(guards=())


@pytest.fixture
def benchmark() -> Callable[[Callable[[], object]], None]:
    """Run what a standard test would time, once: timing is the benchmark command's business."""

    def once(act: Callable[[], object]) -> None:
        act()

    return once


class Parrot(BaseChatModel):
    """A chat model without a provider: says what `replies` says, or repeats the last words; counts its calls."""

    model: str = "parrot-1"
    replies: dict[str, str] = Field(default_factory=dict)
    calls: list[str] = Field(default_factory=list)
    before: Any = None
    """Called with the words before each answer, to make a call slow or fail."""

    @property
    def _llm_type(self) -> str:
        return "parrot"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model}

    def _reply(self, messages: list[BaseMessage]) -> str:
        words = str(messages[-1].text)
        self.calls.append(words)
        if self.before is not None:
            self.before(words)
        return self.replies.get(words, f"You said: {words}")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        counts = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
        metadata = {"model_name": self.model, "finish_reason": "stop"}
        message = AIMessage(self._reply(messages), usage_metadata=counts, response_metadata=metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])


class StreamingParrot(Parrot):
    """A parrot that speaks word by word."""

    between: Any = None
    """Called before each word but the first."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        words = self._reply(messages).split(" ")
        for index, word in enumerate(words):
            if index and self.between is not None:
                self.between()
            piece = word if index == 0 else f" {word}"
            yield ChatGenerationChunk(message=AIMessageChunk(piece))
        counts = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
        metadata = {"model_name": self.model, "finish_reason": "stop"}
        last = AIMessageChunk("", usage_metadata=counts, response_metadata=metadata, chunk_position="last")
        yield ChatGenerationChunk(message=last)


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def streaming_parrot() -> StreamingParrot:
    return StreamingParrot()

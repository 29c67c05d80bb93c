"""LangChain's own suites for chat models, over a cached ChatOpenAI: with an empty cache, and with a full one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_semroute import SemrouteCache, cached
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from semroute import SemanticCache
from semroute.testing.embedders import HashEmbedder

NOWHERE = "http://127.0.0.1:9/v1"


def new_core() -> SemanticCache:
    return SemanticCache("memory://", embedder=HashEmbedder())


class TestUnits(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return type(cached(ChatOpenAI(model="gpt-4o-mini", api_key="sk-test"), new_core()))

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-4o-mini", "base_url": NOWHERE, "cache": SemrouteCache(cache=new_core())}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"OPENAI_API_KEY": "sk-env"}, {"model": "gpt-4o-mini"}, {"openai_api_key": "sk-env"}

    @pytest.fixture(autouse=True)
    def _key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")

    def test_the_model_under_test_is_one_of_ours(self, model: BaseChatModel) -> None:
        assert isinstance(model, ChatOpenAI)
        assert type(model) is not ChatOpenAI
        assert isinstance(model.cache, SemrouteCache)


@pytest.fixture(scope="module")
def cores() -> Iterator[dict[str, SemanticCache]]:
    """Keep the cache that each cold test has filled, by its name, for the warm test of that name."""
    made: dict[str, SemanticCache] = {}
    yield made
    for core in made.values():
        core.close()


@pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema")
class _OverOpenAI(ChatModelIntegrationTests):
    @pytest.fixture
    def model(
        self,
        request: pytest.FixtureRequest,
        stub: Any,
        cores: dict[str, SemanticCache],
        monkeypatch: pytest.MonkeyPatch,
    ) -> BaseChatModel:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        core = cores.setdefault(request.node.name, new_core())
        special = getattr(request, "param", {})
        return cached(ChatOpenAI(**{**self.standard_chat_model_params, **self.chat_model_params, **special}), core)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-4o-mini", "base_url": self.url, "api_key": "sk-test", "stream_usage": True}

    url: str = NOWHERE

    @pytest.fixture(autouse=True)
    def _url(self, openai_server: Any) -> None:
        self.url = openai_server.url

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-4o"


class TestCold(_OverOpenAI):
    """Every test meets an empty cache."""


class TestWarm(_OverOpenAI):
    """Every test meets the cache that the cold test of its name has filled."""

    @pytest.fixture(autouse=True)
    def _only_hits(self, request: pytest.FixtureRequest, stub: Any, cores: dict[str, SemanticCache]) -> Iterator[None]:
        is_filled = request.node.name in cores
        yield
        if is_filled and request.node.originalname not in ASKS_BESIDE_THE_CACHE:
            assert stub.calls == 0


ASKS_BESIDE_THE_CACHE = frozenset({"test_stop_sequence", "test_agent_loop"})
"""The one makes a plain model of its own for its second question, the other asks for today's weather."""

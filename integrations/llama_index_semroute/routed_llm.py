"""RoutedLLM: one LLM in the place of several, with one cache, that picks the right one for each call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from pydantic import PrivateAttr

from llama_index_semroute._cores import CacheLike, check_settings
from llama_index_semroute._llm_codec import MARKER
from llama_index_semroute._llm_templates import RenderedCalls
from llama_index_semroute._routed_call import aanswered, answered, astreamed, opened, streamed
from llama_index_semroute._routed_pool import Pool, calls_functions, pool_of
from llama_index_semroute._routed_request import chat_asked, completion_asked, tools_asked
from semroute.errors import ConfigError

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

    from llama_index_semroute._llm_request import QueryOf
    from semroute.cache import SemanticCache
    from semroute.entry import JSON
    from semroute.router import Router
    from semroute.router.catalog import ModelCatalog
    from semroute.router.outcomes import Outcomes


class RoutedLLM(RenderedCalls, FunctionCallingLLM):
    """Several LLMs in the place of one: each call is served from the cache, or by the LLM that it needs.

    `models` are LLMs by name; `catalog` (a ModelCatalog or the path of its TOML file) tells tier, price and
    capabilities of each. Without one they count as ordered from the weakest to the strongest. `cache` is what `cached`
    takes, and its router decides; `router` is for the cache that is made where none is given, a LearnedRouter by
    default. `least_tier` is a floor of quality for every call, as `semroute.scope(least_tier=…)` is for some.
    `outcomes` are told of LLMs that failed.

    With a `group`, named by the application, the LLMs stand in for one another: an answer is served whichever of them
    it came from, but never one of a weaker tier than the floor. Without one, an answer is served only where its own
    LLM is to answer: the router is asked before the cache then, once for each new request.

    `chat(…, model="large")` names the LLM; that is exact, and shares no answers with a group. An LLM whose provider
    fails is followed by the next one that can do what is asked, in a stream only before its first chunk. The response's
    `additional_kwargs["semroute"]` tells the decision, the LLM that answered and those that failed before it.

    It takes the place of an LLM in engines and agents: calls with tools, and structured output, go to LLMs that can
    call functions. Nothing of a call is kept in this object. Raises ConfigError where no LLM can do what a call needs.
    """

    _pool: Pool = PrivateAttr()

    def __init__(
        self,
        models: Mapping[str, LLM],
        *,
        cache: CacheLike = None,
        catalog: ModelCatalog | str | Path | None = None,
        group: str | None = None,
        least_tier: int = 1,
        router: Router | None = None,
        outcomes: Outcomes | None = None,
        query: QueryOf | None = None,
        replay_chunk_chars: int = 40,
        **settings: Any,
    ) -> None:
        check_settings(type(self), settings)
        super().__init__(**settings)
        self._pool = pool_of(
            models,
            cache=cache,
            catalog=catalog,
            group=group,
            least_tier=least_tier,
            router=router,
            outcomes=outcomes,
            query=query,
            replay_chunk_chars=replay_chunk_chars,
        )
        if "callback_manager" in settings:
            self.callback_manager = self.callback_manager

    def __repr__(self) -> str:
        names = ", ".join(f"{model.name} (tier {model.tier})" for model in self.catalog)
        return f"<RoutedLLM of {names}>"

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        pool = getattr(self, "_pool", None)  # there is none yet while the fields are validated
        if name == "callback_manager" and pool is not None:
            # `Settings` sets it, for the handlers that are to hear of the models' calls.
            for member in pool.members.values():
                member.llm.callback_manager = value

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a RoutedLLM cannot be pickled, because it holds a cache: make one in each process")

    @classmethod
    def class_name(cls) -> str:
        return "RoutedLLM"

    @property
    def catalog(self) -> ModelCatalog:
        """The models that are chosen from."""
        return self._pool.catalog

    @property
    def cache(self) -> SemanticCache:
        return self._pool.core

    @property
    def failures(self) -> dict[str, int]:
        """How many calls have failed since this was made, by the model's name."""
        return self._pool.failures.by_model()

    @property
    def metadata(self) -> LLMMetadata:
        """What all of the LLMs are good for: prompts are packed for the one with the smallest window."""
        llms = [member.llm for member in self._pool.members.values()]
        smallest = min((llm.metadata for llm in llms), key=lambda each: each.context_window)
        return smallest.model_copy(
            update={
                "model_name": "/".join(self.catalog.names),
                "is_chat_model": all(llm.metadata.is_chat_model for llm in llms),
                "is_function_calling_model": any(map(calls_functions, llms)),
            }
        )

    # --- the eight calls -----------------------------------------------------------------------------------------

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        asked, named = chat_asked(messages, kwargs)
        return answered(opened(self._pool, asked, named), lambda llm: llm.chat(messages, **asked.arguments))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        asked, named = chat_asked(messages, kwargs)
        return await aanswered(opened(self._pool, asked, named), lambda llm: llm.achat(messages, **asked.arguments))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        asked, named = chat_asked(messages, kwargs)
        return streamed(opened(self._pool, asked, named), lambda llm: llm.stream_chat(messages, **asked.arguments))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        asked, named = chat_asked(messages, kwargs)
        return astreamed(opened(self._pool, asked, named), lambda llm: llm.astream_chat(messages, **asked.arguments))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        asked, named = completion_asked(prompt, formatted, kwargs)
        call = opened(self._pool, asked, named)
        return answered(call, lambda llm: llm.complete(prompt, formatted, **asked.arguments))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        asked, named = completion_asked(prompt, formatted, kwargs)
        call = opened(self._pool, asked, named)
        return await aanswered(call, lambda llm: llm.acomplete(prompt, formatted, **asked.arguments))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        asked, named = completion_asked(prompt, formatted, kwargs)
        call = opened(self._pool, asked, named)
        return streamed(call, lambda llm: llm.stream_complete(prompt, formatted, **asked.arguments))

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        asked, named = completion_asked(prompt, formatted, kwargs)
        call = opened(self._pool, asked, named)
        return astreamed(call, lambda llm: llm.astream_complete(prompt, formatted, **asked.arguments))

    # --- tools: each LLM writes them into its request in its own way ---------------------------------------------

    def chat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> ChatResponse:
        asked, named = tools_asked(tools, args, kwargs)
        return answered(opened(self._pool, asked, named), lambda llm: _caller(llm).chat_with_tools(**asked.given()))

    async def achat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> ChatResponse:
        asked, named = tools_asked(tools, args, kwargs)
        call = opened(self._pool, asked, named)
        return await aanswered(call, lambda llm: _caller(llm).achat_with_tools(**asked.given()))

    def stream_chat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> Any:
        asked, named = tools_asked(tools, args, kwargs)
        call = opened(self._pool, asked, named)
        return streamed(call, lambda llm: _caller(llm).stream_chat_with_tools(**asked.given()))

    async def astream_chat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> Any:
        asked, named = tools_asked(tools, args, kwargs)
        call = opened(self._pool, asked, named)
        return astreamed(call, lambda llm: _caller(llm).astream_chat_with_tools(**asked.given()))

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Read the tool calls of a response as the LLM that it came from does."""
        caller = self._answered_by(response)
        return caller.get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kwargs)

    def _prepare_chat_with_tools(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        raise NotImplementedError("which LLM prepares a call is only known when it is made: use chat_with_tools")

    # --- small parts ---------------------------------------------------------------------------------------------

    def _answered_by(self, response: ChatResponse) -> FunctionCallingLLM:
        marker = response.additional_kwargs.get(MARKER)
        name = marker.get("model") if isinstance(marker, Mapping) else None
        names = (name,) if isinstance(name, str) and name in self.catalog else self.catalog.names
        llms = [self._pool.members[each].llm for each in names]
        return _caller(next(filter(calls_functions, llms), llms[0]))

    def _semroute_form(self) -> dict[str, JSON]:
        """Say what it is, for the keys of engines and selectors; raises Unsure."""
        models: list[JSON] = [[model.name, model.tier, self._pool.members[model.name].form()] for model in self.catalog]
        return {"group": self._pool.group, "least_tier": self._pool.least_tier, "models": models}


def _caller(llm: LLM) -> FunctionCallingLLM:
    if not isinstance(llm, FunctionCallingLLM):  # the catalogue says so, and it is asked first
        raise ConfigError(f"{type(llm).__name__} can call no functions")
    return llm

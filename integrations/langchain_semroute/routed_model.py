"""RoutedModel: one runnable in front of several chat models, with one cache, that picks the right one for each call."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AnyMessage
from langchain_core.prompt_values import ChatPromptValueConcrete, StringPromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs

from langchain_semroute._routed_attempt import handing
from langchain_semroute._routed_call import RoutedCall
from langchain_semroute._routed_pool import pool_of
from langchain_semroute._routed_request import Asked, Declaration, applied, schema_declared, tools_declared
from langchain_semroute.cache import QueryOf, SemrouteCache
from semroute.binding import bound, rebound
from semroute.cache import SemanticCache
from semroute.calls.streams import asteps, steps
from semroute.errors import ConfigError
from semroute.router.catalog import ModelCatalog

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from pydantic import BaseModel

    from semroute.router import Router
    from semroute.router.outcomes import Outcomes


_END: Final = object()


class RoutedModel(Runnable[LanguageModelInput, Any]):
    """Several chat models in the place of one: each call is served from the cache, or by the model that it needs.

    `models` are chat models by name; `catalog` (a ModelCatalog or the path of its TOML file) tells tier, price and
    capabilities of each. Without one they count as ordered from the weakest to the strongest. `cache` is what `cached`
    takes, and its router decides; `router` is for the cache that is made where none is given, a LearnedRouter by
    default. `least_tier` is a floor of quality for every call, as `semroute.scope(least_tier=…)` is for some.
    `outcomes` are told of models that failed.

    With a `group`, named by the application, the models stand in for one another: an answer is served whichever of
    them it came from, but never one of a weaker tier than the floor. Without one, an answer is served only where its
    own model is to answer: the router is asked before the cache then, once for each new request.

    `invoke(…, model="large")` or the configuration's `{"configurable": {"model": "large"}}` names the model; that is
    exact, and shares no answers with a group. A model whose provider fails is followed by the next one that can do
    what is asked, in a stream only before its first chunk. The answer's `response_metadata["semroute"]` tells the
    decision, the model that answered and those that failed before it.

    It takes the place of a chat model in chains and agents: `bind_tools`, `with_structured_output`, `bind` and
    `with_config` hold for whichever model is called. Raises ConfigError where no model can do what a call needs.
    """

    def __init__(
        self,
        models: Mapping[str, BaseChatModel],
        *,
        cache: SemrouteCache | SemanticCache | str | Path | None = None,
        catalog: ModelCatalog | str | Path | None = None,
        group: str | None = None,
        least_tier: int = 1,
        router: Router | None = None,
        outcomes: Outcomes | None = None,
        query: QueryOf | None = None,
        replay_chunk_chars: int = 40,
    ) -> None:
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
        self._declared: tuple[Declaration, ...] = ()
        self._arguments: dict[str, Any] = {}
        self._config: RunnableConfig = {}
        self._made_ready: dict[str, Any] = {}

    def __repr__(self) -> str:
        names = ", ".join(f"{model.name} (tier {model.tier})" for model in self.catalog)
        return f"<RoutedModel of {names}>"

    @property
    def catalog(self) -> ModelCatalog:
        """The models that are chosen from."""
        return self._pool.catalog

    @property
    def cache(self) -> SemrouteCache:
        return self._pool.cache

    @property
    def failures(self) -> dict[str, int]:
        """How many calls have failed since this was made, by the model's name."""
        return self._pool.failures.by_model()

    @property
    def InputType(self) -> TypeAlias:
        return str | StringPromptValue | ChatPromptValueConcrete | list[AnyMessage]

    # --- what holds for whichever model is called ----------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type[BaseModel] | Callable[..., Any] | BaseTool],
        **kwargs: Any,
    ) -> Self:
        """Return a routed model that offers tools; only models that can call tools are chosen."""
        named = {"model": kwargs.pop("model")} if "model" in kwargs else {}
        return self._changed(_declared=(*self._declared, tools_declared(tools, kwargs))).bind(**named)

    def with_structured_output(self, schema: dict[str, Any] | type, **kwargs: Any) -> Self:
        """Return a routed model that answers by a schema; only models that can do so are chosen."""
        return self._changed(_declared=(*self._declared, schema_declared(schema, kwargs)))

    def bind(self, **kwargs: Any) -> Self:
        """Return a routed model whose calls have these arguments; `model` names a model of the catalogue."""
        return self._changed(_arguments={**self._arguments, **kwargs})

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Self:
        """Return a routed model whose calls have this configuration."""
        given: Any = kwargs
        return self._changed(_config=merge_configs(self._config, config, given))

    # --- calls ---------------------------------------------------------------------------------------------------

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with self._opened(input, config, kwargs) as call:
            while True:
                turn = call.attempt()
                try:
                    with handing(turn.attempt):
                        return turn.runnable.invoke(input, turn.config, **call.asked.arguments)
                except Exception as error:  # providers raise errors of every kind; what is no provider's goes on
                    call.failed(turn, error)

    async def ainvoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with self._opened(input, config, kwargs) as call:
            while True:
                turn = await call.aattempt()
                try:
                    with handing(turn.attempt):
                        return await turn.runnable.ainvoke(input, turn.config, **call.asked.arguments)
                except Exception as error:  # as above
                    call.failed(turn, error)

    def stream(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Yield the chunks of an answer; the call belongs to the scope that it was made in, wherever it is read."""
        return steps(partial(rebound, bound()), partial(self._streamed, input, config, kwargs))

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Do what `stream` does on the event loop."""
        return asteps(partial(rebound, bound()), partial(self._astreamed, input, config, kwargs))

    def _streamed(
        self, input: LanguageModelInput, config: RunnableConfig | None, kwargs: dict[str, Any]
    ) -> Iterator[Any]:
        with self._opened(input, config, kwargs) as call:
            while True:
                turn = call.attempt()
                begin = partial(turn.runnable.stream, input, turn.config, **call.asked.arguments)
                with closing(steps(partial(handing, turn.attempt), begin)) as chunks:  # type: ignore[type-var]  # it is a generator
                    try:
                        first = next(chunks, _END)
                    except Exception as error:  # as above
                        call.failed(turn, error)
                        continue
                    if first is not _END:
                        yield first
                        yield from chunks
                    return

    async def _astreamed(
        self, input: LanguageModelInput, config: RunnableConfig | None, kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        with self._opened(input, config, kwargs) as call:
            while True:
                turn = await call.aattempt()
                begin = partial(turn.runnable.astream, input, turn.config, **call.asked.arguments)
                async with aclosing(asteps(partial(handing, turn.attempt), begin)) as chunks:  # type: ignore[type-var]  # as above
                    try:
                        first = await anext(chunks, _END)
                    except Exception as error:  # as above
                        call.failed(turn, error)
                        continue
                    if first is not _END:
                        yield first
                        async for chunk in chunks:
                            yield chunk
                    return

    # --- small parts ---------------------------------------------------------------------------------------------

    def _changed(self, **changes: Any) -> Self:
        changed = copy.copy(self)
        changed.__dict__.update(changes, _made_ready={})
        return changed

    def _opened(self, input: LanguageModelInput, config: RunnableConfig | None, kwargs: dict[str, Any]) -> RoutedCall:
        full = ensure_config(merge_configs(self._config, config))
        arguments = {**self._arguments, **kwargs}
        named = _name(arguments.pop("model", None), full)
        any_model = next(iter(self._pool.members.values())).model
        messages = any_model._convert_input(input).to_messages()
        return RoutedCall(self._pool, Asked(messages, self._declared, arguments), full, named, self._ready)

    def _ready(self, name: str) -> Any:
        """Return a model with all that was declared; it is made once, for a model's binding is not changed by calls."""
        ready = self._made_ready.get(name)
        if ready is None:
            ready = self._made_ready[name] = applied(self._pool.members[name].model, self._declared)
        return ready


def _name(given: object, config: RunnableConfig) -> str | None:
    """Return the model that a call names, in its arguments or in its configuration."""
    named = config.get("configurable", {}).get("model") if given is None else given
    if named is not None and not isinstance(named, str):
        raise ConfigError(f"model must be the name of a model in the catalogue, not {named!r}")
    return named

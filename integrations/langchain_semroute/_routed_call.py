"""One call of a routed model: the core's, whose turns are runnables of LangChain."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.outputs import ChatGeneration

from langchain_semroute._call import Call
from langchain_semroute._routed_attempt import Attempt
from semroute.calls import routing
from semroute.calls.routing import Asking, floor

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from langchain_core.runnables import RunnableConfig

    from langchain_semroute._routed_pool import Pool
    from langchain_semroute._routed_request import Asked
    from semroute.entry import JSON
    from semroute.request import Request
    from semroute.router.catalog import CatalogModel
    from semroute.trail import Ahead

_Turn: TypeAlias = "routing.Turn[Call, list[ChatGeneration]]"


class RoutedCall(AbstractContextManager["RoutedCall", None]):
    """A call on its way: `attempt` says whose turn it is, until one has answered.

    Raises ConfigError where no model can do what is asked, or the one that the application has named.
    """

    def __init__(
        self,
        pool: Pool,
        asked: Asked,
        config: RunnableConfig,
        named: str | None,
        ready: Callable[[str], Any],
    ) -> None:
        """`ready` returns a model by name, with all that was declared on the routed model."""

        def request(names: tuple[str, ...], group: str | None) -> Request:
            return pool.request(asked, names, group)

        def opened(request: Request, ahead: Ahead | None) -> Call:
            return Call(pool.cache, request, ahead)

        self.asked = asked
        self._pool = pool
        self._ready = ready
        self._config = config
        counts_tokens = any(model.context_tokens is not None for model in pool.catalog)
        needs = asked.needs(floor(pool.least_tier), counts_tokens=counts_tokens)
        self._routed: routing.RoutedCall[Call, list[ChatGeneration]] = routing.RoutedCall(
            pool, Asking(needs, named, request, opened)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._routed.__exit__(kind, error, trace)

    def attempt(self) -> Turn:
        """Look up what has to be looked up, and return whose turn it is."""
        return self._turn(self._routed.next())

    async def aattempt(self) -> Turn:
        """Do what `attempt` does, without ever blocking the event loop."""
        return self._turn(await self._routed.anext())

    def failed(self, turn: Turn, error: Exception) -> None:
        """Note that a turn has failed; raises its error where no other model is to be asked."""
        if not turn.attempt.has_failed_unheard or _leaves_node(error):
            raise error
        self._routed.failed(turn.model, error)

    def _turn(self, turn: _Turn) -> Turn:
        attempt = Attempt(turn.call, self._pool.members[turn.model.name].held, turn.served, turn.told)
        return Turn(turn.model, self._ready(turn.model.name), attempt, self._told(turn))

    def _told(self, turn: _Turn) -> RunnableConfig:
        """Return the call's configuration, with the routing in the metadata of its trace."""
        told: dict[str, JSON] = {"semroute_model": turn.model.name}
        if turn.call.explanation is not None:
            told["semroute_tier"] = turn.call.explanation.tier
        decision, failed = self._routed.decision, self._routed.failed_before
        if decision is not None:
            kept = ("intent", "complexity", "confidence", "origin")
            told |= {f"semroute_{name}": getattr(decision, name) for name in kept}
        if failed:
            told["semroute_fallbacks"] = len(failed)
        config: RunnableConfig = {**self._config, "metadata": {**self._config.get("metadata", {}), **told}}
        if failed:  # the run that failed had it
            config.pop("run_id", None)
        return config


@dataclass(frozen=True, slots=True)
class Turn:
    """A model that is called now, with everything declared on it, and the configuration of its run."""

    model: CatalogModel
    runnable: Any
    attempt: Attempt
    config: RunnableConfig


def _leaves_node(error: Exception) -> bool:
    """Say whether an error is what LangGraph raises to leave a graph's node, and so is no model's failure."""
    langgraph = sys.modules.get("langgraph.errors")
    return langgraph is not None and isinstance(error, langgraph.GraphBubbleUp)

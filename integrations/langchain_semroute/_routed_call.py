"""One call of a routed model: looked up, decided about, and asked of one model after the other until one answers.

In a route group the models share one context: the cache is asked first, and the decision of the same lookup picks the
model on a miss. Without a group an answer is served to its own model only. So the decision comes first (for a request
that came before, the last one about it), and then the lookup within the context of the model that it picks; where a
second look after the miss picks another model, that one is looked up too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_semroute._call import Call
from langchain_semroute._routed_attempt import Attempt
from semroute.binding import bound
from semroute.driver import adrive, drive
from semroute.errors import SemrouteError
from semroute.request import canonical, content_digest
from semroute.router.choice import Choice, choose
from semroute.trail import Ahead

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from langchain_core.outputs import ChatGeneration
    from langchain_core.runnables import RunnableConfig

    from langchain_semroute._routed_pool import Pool
    from langchain_semroute._routed_request import Asked
    from semroute.entry import JSON
    from semroute.request import Request
    from semroute.router.catalog import CatalogModel
    from semroute.router.decision import RoutingDecision

_Ask: TypeAlias = "Call | Request"
"""What has to be waited for: a lookup, or a decision about a request that comes before one."""


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
        self.asked = asked
        self._pool = pool
        self._ready = ready
        self._config = config
        self._named = named
        self._floor = max(pool.least_tier, bound().least_tier)
        counts_tokens = any(model.context_tokens is not None for model in pool.catalog)
        self._needs = asked.needs(self._floor, counts_tokens=counts_tokens)
        self._decision: RoutingDecision | None = None
        self._request_key: str | None = None
        self._choice: Choice | None = None if named is None else choose(pool.catalog, None, self._needs, named=named)
        self._left: list[CatalogModel] = [] if self._choice is None else list(self._choice.chain)
        self._call: Call | None = None
        self._failed: list[JSON] = []
        pool.catalog.able(self._needs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended()

    def attempt(self) -> Turn:
        """Look up what has to be looked up, and return whose turn it is."""
        return drive(self._next(), self._perform)

    async def aattempt(self) -> Turn:
        """Do what `attempt` does, without ever blocking the event loop."""
        return await adrive(self._next(), self._aperform)

    def failed(self, turn: Turn, error: Exception) -> None:
        """Note that a turn has failed; raises its error where no other model is to be asked."""
        if not turn.attempt.has_failed_unheard or _is_no_models_failure(error):
            raise error
        self._pool.failed(turn.model)
        self._failed.append({"model": turn.model.name, "error": type(error).__name__})
        if not self._left:
            raise error
        self._pool.cache.notices.tell(
            f"model {turn.model.name!r} failed with {type(error).__name__}, {self._left[0].name!r} is asked instead"
        )

    # --- whose turn it is --------------------------------------------------------------------------------------

    @property
    def _is_shared(self) -> bool:
        """Whether the models of this call share their answers; naming a model is exact."""
        return self._pool.group is not None and self._named is None

    def _next(self) -> Generator[_Ask, Any, Turn]:
        if self._is_shared:
            return (yield from self._next_of_group())
        return (yield from self._next_alone())

    def _next_of_group(self) -> Generator[_Ask, Any, Turn]:
        call = self._call
        if call is None:
            request = self._pool.request(self.asked, self._pool.catalog.names, self._pool.group)
            call = self._call = Call(self._pool.cache, replace(request, least_tier=self._floor, is_routed=True))
            served: list[ChatGeneration] | None = yield call
            explanation = call.explanation
            answered_by = None if explanation is None else explanation.model
            if served is not None and answered_by is not None and answered_by in self._pool.catalog:
                return self._turn(self._pool.catalog[answered_by], call, served)
            self._choose(None if explanation is None else explanation.decision)
        return self._turn(self._left.pop(0), call, None)

    def _next_alone(self) -> Generator[_Ask, Any, Turn]:
        is_first = self._choice is None
        ahead: Ahead | None = None
        if is_first:
            ahead = yield from self._decided()
            self._choose(ahead.decision)
        model = self._left.pop(0)
        call, served = yield from self._looked_up(model, ahead, is_routed=is_first)
        again = None if call.explanation is None else call.explanation.decision
        if is_first and served is None and again is not None:
            self._choose(again)
            picked = self._left.pop(0)
            if picked is not model:
                model = picked
                call, served = yield from self._looked_up(model, ahead, is_routed=False)
        return self._turn(model, call, served)

    def _looked_up(
        self, model: CatalogModel, ahead: Ahead | None, *, is_routed: bool
    ) -> Generator[_Ask, Any, tuple[Call, list[ChatGeneration] | None]]:
        self._ended()
        request = self._pool.request(self.asked, (model.name,), None)
        call = self._call = Call(self._pool.cache, replace(request, is_routed=is_routed), ahead)
        served: list[ChatGeneration] | None = yield call
        return call, served

    def _decided(self) -> Generator[_Ask, Any, Ahead]:
        """Ask the router before there is a lookup that does, unless it knows the request."""
        request = self._pool.request(self.asked, self._pool.catalog.names, None)
        self._request_key = content_digest(canonical([request.system, request.context, request.query]))
        known = self._pool.decisions.about(self._request_key)
        if known is not None:
            return Ahead(known)
        ahead: Ahead = yield request
        return ahead

    def _choose(self, decision: RoutingDecision | None) -> None:
        self._decision = decision
        if decision is not None and self._request_key is not None:
            self._pool.decisions.add(self._request_key, decision)
        self._choice = choose(self._pool.catalog, decision, self._needs)
        self._left = list(self._choice.chain)

    def _turn(self, model: CatalogModel, call: Call, served: list[ChatGeneration] | None) -> Turn:
        # What a weaker model says in the place of one that failed would be served long after that one is back.
        is_kept = not self._is_shared or self._choice is None or model.tier >= self._choice.model.tier
        call.turns_to(model, is_routed=self._named is None, is_kept=is_kept)
        told: dict[str, JSON] = {
            "model": model.name,
            "choice": None if served is not None or self._choice is None else self._choice.reason,
            "decision": None if self._decision is None else self._decision.model_dump(),
            "fallback_from": list(self._failed),
        }
        attempt = Attempt(call, self._pool.members[model.name].held, served, told)
        return Turn(model, self._ready(model.name), attempt, self._told(model, call))

    def _told(self, model: CatalogModel, call: Call) -> RunnableConfig:
        """Return the call's configuration, with the routing in the metadata of its trace."""
        told: dict[str, Any] = {"semroute_model": model.name}
        if call.explanation is not None:
            told["semroute_tier"] = call.explanation.tier
        if self._decision is not None:
            kept = ("intent", "complexity", "confidence", "origin")
            told |= {f"semroute_{name}": getattr(self._decision, name) for name in kept}
        if self._failed:
            told["semroute_fallbacks"] = len(self._failed)
        config: RunnableConfig = {**self._config, "metadata": {**self._config.get("metadata", {}), **told}}
        if self._failed:  # the run that failed had it
            config.pop("run_id", None)
        return config

    def _ended(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.end()

    def _perform(self, ask: _Ask) -> Any:
        return ask.served() if isinstance(ask, Call) else self._pool.cache.core.decide(ask)

    async def _aperform(self, ask: _Ask) -> Any:
        return await (ask.aserved() if isinstance(ask, Call) else self._pool.cache.core.adecide(ask))


@dataclass(frozen=True, slots=True)
class Turn:
    """A model that is called now, with everything declared on it, and the configuration of its run."""

    model: CatalogModel
    runnable: Any
    attempt: Attempt
    config: RunnableConfig


def _is_no_models_failure(error: Exception) -> bool:
    """Say whether an error is not the provider's, so that no other model would do any better.

    Such are our own, and what LangGraph raises to leave a graph's node.
    """
    langgraph = sys.modules.get("langgraph.errors")
    leaves_node = langgraph is not None and isinstance(error, langgraph.GraphBubbleUp)
    return leaves_node or isinstance(error, SemrouteError)

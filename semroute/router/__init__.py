"""Routers: one structured decision about a request."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.entry import FloatVector
    from semroute.request import Request
    from semroute.router.budget import Budget
    from semroute.router.cascade import CascadeRouter
    from semroute.router.catalog import CatalogModel, ModelCatalog
    from semroute.router.decision import RoutingDecision
    from semroute.router.decision_log import DecisionLog
    from semroute.router.learned import LearnedRouter
    from semroute.router.llm import LLMRouter
    from semroute.router.outcomes import Outcomes
    from semroute.router.preference import GoodEnough, StrongShare, WorthOfQuality
    from semroute.router.rules import RuleRouter

__all__ = [
    "Budget",
    "CascadeRouter",
    "CatalogModel",
    "DecisionLog",
    "FittedRouter",
    "GoodEnough",
    "LLMRouter",
    "LearnedRouter",
    "ModelCatalog",
    "Outcomes",
    "Reconsidering",
    "Router",
    "RoutingDecision",
    "RuleRouter",
    "StrongShare",
    "WaitingRouter",
    "WorthOfQuality",
    "check_embedder",
    "checked_router",
]

_WHERE: Final = {
    "Budget": "budget",
    "CascadeRouter": "cascade",
    "CatalogModel": "catalog",
    "DecisionLog": "decision_log",
    "GoodEnough": "preference",
    "LLMRouter": "llm",
    "LearnedRouter": "learned",
    "ModelCatalog": "catalog",
    "Outcomes": "outcomes",
    "RoutingDecision": "decision",
    "RuleRouter": "rules",
    "StrongShare": "preference",
    "WorthOfQuality": "preference",
}


@runtime_checkable
class Router(Protocol):
    """Decides what kind of question a request is, and how its answer may be cached."""

    @property
    def name(self) -> str: ...

    def route(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        """Decide about a request; `vector` is its query's embedding where one was made. Raises RouterError."""
        ...


@runtime_checkable
class FittedRouter(Protocol):
    """A router that was fitted on vectors, and understands none but those of the same embedder."""

    @property
    def embedder(self) -> str:
        """Identity of the embedder."""
        ...


def checked_router(router: Router) -> Router:
    """Return a router as it is; raises ConfigError for what is none, which would only show when it is first asked."""
    if isinstance(router, type) or not isinstance(router, Router):
        raise ConfigError(f"router must be one, such as RuleRouter() or LearnedRouter(file=…), not {router!r}")
    return router


def check_embedder(router: object, embedder: str | None) -> None:
    """Raise ConfigError where a router was fitted on the vectors of another embedder."""
    fitted_on = getattr(router, "embedder", embedder)  # quicker than asking whether it is a FittedRouter
    if embedder is not None and fitted_on not in (None, embedder):
        raise ConfigError(
            f"the router was fitted on vectors of {fitted_on}, and is given those of {embedder}: "
            "use that embedder, or train a router for this one (semroute router train)"
        )


@runtime_checkable
class WaitingRouter(Protocol):
    """A router that waits for something, such as a model, and can do so without blocking the event loop."""

    async def aroute(self, request: Request, vector: FloatVector | None) -> RoutingDecision: ...


@runtime_checkable
class Reconsidering(Protocol):
    """A router that can take a second look, which costs more, where it may change something."""

    def reconsider(
        self, request: Request, vector: FloatVector | None, decision: RoutingDecision, similarity: float | None
    ) -> RoutingDecision:
        """Return a better decision, or the earlier one where a second look is not worth it. Raises RouterError.

        `similarity` is that of a candidate that a surer decision might serve; None after a miss.
        """
        ...

    async def areconsider(
        self, request: Request, vector: FloatVector | None, decision: RoutingDecision, similarity: float | None
    ) -> RoutingDecision: ...


def __getattr__(name: str) -> object:
    """Import what few programs need when it is first asked for."""
    if name in _WHERE:
        return getattr(import_module(f"semroute.router.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

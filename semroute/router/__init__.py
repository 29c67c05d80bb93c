"""Routers: one structured decision about a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.entry import FloatVector
    from semroute.request import Request
    from semroute.router.decision import RoutingDecision


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

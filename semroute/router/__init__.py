"""Routers: one structured decision about a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

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

"""One routed call: looked up, decided about, and asked of one model after the other until one answers.

In a route group the models share one context: the cache is asked first, and the decision of the same lookup picks the
model on a miss. Without a group an answer is served to its own model only. So the decision comes first (for a request
that came before, the last one about it), and then the lookup within the context of the model that it picks; where a
second look after the miss picks another model, that one is looked up too. It also comes first, in a group too, where a
request has no words of its own to decide about (a rendered template): the router is shown the question in it then.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from semroute.binding import bound
from semroute.calls.call import Call
from semroute.driver import adrive, drive
from semroute.errors import SemrouteError
from semroute.request import canonical, content_digest
from semroute.router.choice import Choice, choose
from semroute.trail import Ahead

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from semroute.calls.pool import Pool
    from semroute.entry import JSON
    from semroute.request import Request
    from semroute.router.catalog import CatalogModel, Needs
    from semroute.router.decision import RoutingDecision

T = TypeVar("T")
C = TypeVar("C", bound="Call[Any]")


@dataclass(frozen=True, slots=True)
class Turn(Generic[C, T]):
    """A model whose turn it is: to hand out what the lookup found, or to answer."""

    model: CatalogModel
    call: C
    served: T | None
    told: dict[str, JSON]
    """What the routing adds to what the lookup says of itself."""


@dataclass(frozen=True, slots=True)
class Asking(Generic[C]):
    """What a routed call asks, in the words of a framework."""

    needs: Needs
    named: str | None
    """The model that the application has named."""
    request: Callable[[tuple[str, ...], str | None], Request]
    """Builds the request of the call within the context of some models, by name, and of their group."""
    open: Callable[[Request, Ahead | None], C]
    """Opens the call of a request."""
    words: str | None = None
    """What the router is to decide about where the request has no words of its own: those in a rendered template."""

    def is_decided_by(self, request: Request) -> bool:
        """Say whether the router can see in a request what is asked."""
        return bool(request.query) or self.words is None

    def decided_about(self, request: Request) -> Request:
        """Return the request as the router is to see it."""
        return request if self.words is None or request.query else replace(request, query=self.words)


class RoutedCall(AbstractContextManager["RoutedCall[C, T]", None], Generic[C, T]):
    """A call on its way: `next` says whose turn it is, until one has answered.

    C is the integration's kind of Call, T what that serves. Raises ConfigError where no model can do what is asked, or
    the one that the application has named.
    """

    def __init__(self, pool: Pool, asking: Asking[C]) -> None:
        self._pool = pool
        self._asking = asking
        self._needs = asking.needs
        self._named = asking.named
        self.decision: RoutingDecision | None = None
        self.failed_before: list[JSON] = []
        """The models that have failed, in turn."""
        self._request_key: str | None = None
        named = None if self._named is None else choose(pool.catalog, None, self._needs, named=self._named)
        self._choice: Choice | None = named
        self._left: list[CatalogModel] = [] if named is None else list(named.chain)
        self._call: C | None = None
        pool.catalog.able(self._needs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended()

    def next(self) -> Turn[C, T]:
        """Look up what has to be looked up, and return whose turn it is."""
        return drive(self._next(), self._perform)

    async def anext(self) -> Turn[C, T]:
        """Do what `next` does, without ever blocking the event loop."""
        return await adrive(self._next(), self._aperform)

    def failed(self, model: CatalogModel, error: Exception) -> None:
        """Note that a model has failed; raises its error where no other model is to be asked.

        An error of our own is not the provider's: no other model would do any better.
        """
        if isinstance(error, SemrouteError):
            raise error
        self._pool.failed(model)
        self.failed_before.append({"model": model.name, "error": type(error).__name__})
        if not self._left:
            raise error
        self._pool.notices.tell(
            f"model {model.name!r} failed with {type(error).__name__}, {self._left[0].name!r} is asked instead"
        )

    # --- whose turn it is --------------------------------------------------------------------------------------

    @property
    def _is_shared(self) -> bool:
        """Whether the models of this call share their answers; naming a model is exact."""
        return self._pool.group is not None and self._named is None

    def _next(self) -> Generator[C | Request, Any, Turn[C, T]]:
        if self._is_shared:
            return (yield from self._next_of_group())
        return (yield from self._next_alone())

    def _next_of_group(self) -> Generator[C | Request, Any, Turn[C, T]]:
        call = self._call
        if call is None:
            request = self._asking.request(self._pool.catalog.names, self._pool.group)
            ahead = None if self._asking.is_decided_by(request) else (yield from self._decided(request))
            request = replace(request, least_tier=self._needs.least_tier, is_routed=ahead is None)
            call = self._call = self._asking.open(request, ahead)
            served: T | None = yield call
            explanation = call.explanation
            answered_by = None if explanation is None else explanation.model
            if served is not None and answered_by is not None and answered_by in self._pool.catalog:
                return self._turn(self._pool.catalog[answered_by], call, served)
            self._choose(_decision(call) if ahead is None else ahead.decision)
        return self._turn(self._left.pop(0), call, None)

    def _next_alone(self) -> Generator[C | Request, Any, Turn[C, T]]:
        is_first = self._choice is None
        ahead: Ahead | None = None
        if is_first:
            ahead = yield from self._decided(self._asking.request(self._pool.catalog.names, None))
            self._choose(ahead.decision)
        model = self._left.pop(0)
        call, served = yield from self._looked_up(model, ahead, is_routed=is_first)
        again = _decision(call)
        if is_first and served is None and again is not None:
            self._choose(again)
            picked = self._left.pop(0)
            if picked is not model:
                model = picked
                call, served = yield from self._looked_up(model, ahead, is_routed=False)
        return self._turn(model, call, served)

    def _looked_up(
        self, model: CatalogModel, ahead: Ahead | None, *, is_routed: bool
    ) -> Generator[C | Request, Any, tuple[C, T | None]]:
        self._ended()
        request = self._asking.request((model.name,), None)
        request = replace(request, is_routed=is_routed and self._asking.is_decided_by(request))
        call = self._call = self._asking.open(request, ahead)
        served: T | None = yield call
        return call, served

    def _decided(self, request: Request) -> Generator[C | Request, Any, Ahead]:
        """Ask the router before there is a lookup that does, unless it knows the request."""
        self._request_key = content_digest(canonical([request.system, request.context, request.query]))
        known = self._pool.decisions.about(self._request_key)
        if known is not None:
            return Ahead(known)
        asked = self._asking.decided_about(request)
        ahead: Ahead = yield asked
        return ahead if asked is request else Ahead(ahead.decision)  # the vector of other words is none of its own

    def _choose(self, decision: RoutingDecision | None) -> None:
        self.decision = decision
        if decision is not None and self._request_key is not None:
            self._pool.decisions.add(self._request_key, decision)
        self._choice = choose(self._pool.catalog, decision, self._needs)
        self._left = list(self._choice.chain)

    def _turn(self, model: CatalogModel, call: C, served: T | None) -> Turn[C, T]:
        # What a weaker model says in the place of one that failed would be served long after that one is back.
        is_kept = not self._is_shared or self._choice is None or model.tier >= self._choice.model.tier
        call.turns_to(model, is_routed=self._named is None, is_kept=is_kept)
        told: dict[str, JSON] = {
            "model": model.name,
            "choice": None if served is not None or self._choice is None else self._choice.reason,
            "decision": None if self.decision is None else self.decision.model_dump(),
            "fallback_from": list(self.failed_before),
        }
        return Turn(model, call, served, told)

    def _ended(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.end()

    def _perform(self, ask: C | Request) -> Any:
        return ask.served() if isinstance(ask, Call) else self._pool.core.decide(ask)

    async def _aperform(self, ask: C | Request) -> Any:
        return await (ask.aserved() if isinstance(ask, Call) else self._pool.core.adecide(ask))


def _decision(call: Call[Any]) -> RoutingDecision | None:
    return None if call.explanation is None else call.explanation.decision


def floor(least_tier: int) -> int:
    """Return the floor of quality of a call that begins now: the pool's own or the scope's, whichever is higher."""
    return max(least_tier, bound().least_tier)


def with_told(known: object, told: Mapping[str, JSON]) -> dict[str, Any]:
    """Return what a lookup says of itself with what its routing adds; where that knows nothing, the lookup's stands."""
    marker = known if isinstance(known, dict) else {}
    return {**marker, **{key: value for key, value in told.items() if value is not None or marker.get(key) is None}}

"""The drivers of the flow: they only perform its steps, on the calling thread or on an event loop.

Here and only here failures are caught: whatever a store, an embedder, a router or a guard raises becomes the flow's
`StepFailed`, is counted, and is seen by the part's circuit breaker.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from semroute.aliases import Aliases
from semroute.background import Workers
from semroute.breaker import Breaker, State
from semroute.embedders import Batching, InProcess
from semroute.entry import Alias
from semroute.errors import EmbedderError
from semroute.gathering import Embedded, Gathering, same_length
from semroute.guards import acheck
from semroute.result import Verdict
from semroute.router import Reconsidering, WaitingRouter, check_embedder
from semroute.router.decision import RoutingDecision
from semroute.steps import Embed, Get, Judge, Put, Reconsider, Route, Search, Step, StepFailed
from semroute.stores import Health
from semroute.telemetry import Event, FailureEvent, StateEvent

if TYPE_CHECKING:
    from semroute.embedders import Embedder
    from semroute.entry import Candidate, FloatVector
    from semroute.guards import Guard
    from semroute.router import Router
    from semroute.stores import Store

S = TypeVar("S")
T = TypeVar("T")

_NEVER: Final = sys.maxsize
"""So many failures in a row that a breaker stays closed."""


class Driver:
    """Performs steps against a store, an embedder and a router, each behind a breaker of its own."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        router: Router,
        emit: Callable[[Event], None],
        embed_deadline_s: float,
        clock: Callable[[], float],
        breaker_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._router = router
        self._emit = emit
        self._embed_deadline_s = embed_deadline_s
        self._clock = clock
        self._breakers = {
            part: Breaker(part, self._changed, clock=breaker_clock)
            for part in ("store", "embedder", "router", "second look", "lease")
        }
        if isinstance(store, Health):  # it guards its shards itself: one that is dead must not cost the others
            for part in ("store", "lease"):
                self._breakers[part] = Breaker(part, self._changed, failures_to_open=_NEVER, clock=breaker_clock)
            store.watch(self._changed)
        threads = min(4, os.cpu_count() or 1)
        self._workers = Workers(threads, "semroute-embed")
        length = embedder.length if isinstance(embedder, Batching) else same_length
        self._gathering = Gathering(self._embed_each, self._workers, threads, length)
        # Asked of a protocol once, for that takes longer than a decision.
        self._in_process = embedder if isinstance(embedder, InProcess) else None
        self._waiting_router = router if isinstance(router, WaitingRouter) else None
        self._aliases = Aliases(store, self._alias_failed)

    def open(self) -> bytes:
        """Open the store and return its digest key; raises StepFailed."""
        return self.guarded("store", self._store.open)

    async def aopen(self) -> bytes:
        return await self.aguarded("store", self._store.aopen)

    def close(self) -> None:
        """Wait for the aliases that are being stored, and let the worker threads go."""
        self._aliases.close()
        self._workers.close()

    def drive(self, steps: Generator[Step, Any, T]) -> T:
        """Perform the steps of a flow one by one, and return what it returns."""
        return drive(steps, self.perform)

    async def adrive(self, steps: Generator[Step, Any, T]) -> T:
        """Do what `drive` does on the event loop, without ever blocking it."""
        return await adrive(steps, self.aperform)

    def perform(self, step: Step) -> Any:
        """Perform one step; raises StepFailed."""
        match step:
            case Get(address):
                self._aliases.wait(address.exact)
                return self.guarded("store", lambda: self._store.get(address, now=self._clock()))
            case Embed(text):
                return self.guarded("embedder", lambda: self._embed_in_time(text))
            case Search(address, vector, embedder, k):
                return self.guarded(
                    "store", lambda: self._store.search(address, vector, embedder=embedder, k=k, now=self._clock())
                )
            case Put(Alias() as alias):
                self._allowed("store")
                return self._aliases.put(alias)
            case Put(record):
                return self.guarded("store", lambda: self._store.put(record))
            case Judge(guards, query, candidate):
                return self._judge(guards, query, candidate)
            case Route():
                return self._route(step)
            case Reconsider():
                return self._reconsider(step)

    async def aperform(self, step: Step) -> Any:
        match step:
            case Get(address):
                await self._aliases.await_one(address.exact)
                return await self.aguarded("store", lambda: self._store.aget(address, now=self._clock()))
            case Embed(text):
                return await self.aguarded("embedder", lambda: self._aembed_in_time(text))
            case Search(address, vector, embedder, k):
                return await self.aguarded(
                    "store", lambda: self._store.asearch(address, vector, embedder=embedder, k=k, now=self._clock())
                )
            case Put(Alias() as alias):
                self._allowed("store")
                return self._aliases.put(alias)
            case Put(record):
                return await self.aguarded("store", lambda: self._store.aput(record))
            case Judge(guards, query, candidate):
                return await self._ajudge(guards, query, candidate)
            case Route():
                return await self._aroute(step)
            case Reconsider():
                return await self._areconsider(step)

    def _route(self, step: Route) -> RoutingDecision:
        def decide() -> RoutingDecision:
            check_embedder(self._router, step.embedder)
            return checked(self._router.route(step.request, step.vector), RoutingDecision)

        return self.guarded("router", decide)

    async def _aroute(self, step: Route) -> RoutingDecision:
        router = self._waiting_router
        if router is None:
            return self._route(step)

        async def decide() -> RoutingDecision:
            check_embedder(router, step.embedder)
            return checked(await router.aroute(step.request, step.vector), RoutingDecision)

        return await self.aguarded("router", decide)

    def _reconsider(self, step: Reconsider) -> RoutingDecision:
        router = self._router
        if not isinstance(router, Reconsidering):
            return step.decision
        asked = (step.request, step.vector, step.decision, step.similarity)
        return self.guarded("second look", lambda: checked(router.reconsider(*asked), RoutingDecision))

    async def _areconsider(self, step: Reconsider) -> RoutingDecision:
        router = self._router
        if not isinstance(router, Reconsidering):
            return step.decision
        asked = (step.request, step.vector, step.decision, step.similarity)
        return checked(await self.aguarded("second look", lambda: router.areconsider(*asked)), RoutingDecision)

    def _judge(self, guards: tuple[Guard, ...], query: str, candidate: Candidate) -> tuple[Verdict, ...]:
        verdicts: list[Verdict] = []
        for guard in guards:
            try:
                verdict = checked(guard.check(query, candidate), Verdict)
            except Exception as error:  # a guard may be the user's code: what it cannot verify is refused
                verdict = self._unverified(guard, error)
            verdicts.append(verdict)
            if not verdict.passed:
                break
        return tuple(verdicts)

    async def _ajudge(self, guards: tuple[Guard, ...], query: str, candidate: Candidate) -> tuple[Verdict, ...]:
        verdicts: list[Verdict] = []
        for guard in guards:
            try:
                verdict = checked(await acheck(guard, query, candidate), Verdict)
            except Exception as error:  # as above
                verdict = self._unverified(guard, error)
            verdicts.append(verdict)
            if not verdict.passed:
                break
        return tuple(verdicts)

    def _unverified(self, guard: Guard, error: Exception) -> Verdict:
        """Count a guard that failed, and refuse for it."""
        self._emit(FailureEvent("guard", told(error)))
        return Verdict(guard.name, passed=False, why=f"unverifiable: it failed: {told(error)}")

    def guarded(self, part: str, act: Callable[[], T]) -> T:
        """Act behind the part's breaker; any failure becomes StepFailed."""
        breaker = self._allowed(part)
        try:
            result = act()
        except Exception as error:  # fail open: store, embedder and router may be the user's code
            raise self._failed(breaker, error) from error
        breaker.succeeded()
        return result

    async def aguarded(self, part: str, act: Callable[[], Awaitable[T]]) -> T:
        breaker = self._allowed(part)
        try:
            result = await act()
        except Exception as error:  # fail open, as above
            raise self._failed(breaker, error) from error
        breaker.succeeded()
        return result

    def _allowed(self, part: str) -> Breaker:
        breaker = self._breakers[part]
        if not breaker.allows():
            raise StepFailed(f"{part} is left alone after failures: {breaker.reason}")
        return breaker

    def _failed(self, breaker: Breaker, error: Exception) -> StepFailed:
        breaker.failed(told(error))
        self._emit(FailureEvent(breaker.part, told(error)))
        return StepFailed(f"{breaker.part} failed: {told(error)}")

    @property
    def _only_computes(self) -> bool:
        """Whether the embedder cannot hang: it is in this process, and loaded."""
        return self._in_process is not None and self._in_process.is_ready

    def _embed(self, text: str) -> Embedded:
        if not self._embedder.fits(text):
            return None
        return self._checked(self._embedder.embed([text])[0]), self._embedder.identity

    def _embed_each(self, texts: Sequence[str]) -> list[Embedded | Exception]:
        """Embed texts together; where that fails each by itself, so that none suffers for another."""
        try:
            fitting = [text for text in texts if self._embedder.fits(text)]
            vectors = dict(zip(fitting, map(self._checked, self._embedder.embed(fitting)), strict=True))
            identity = self._embedder.identity
            return [(vectors[text], identity) if text in vectors else None for text in texts]
        except Exception as error:  # an embedder may be the user's code; each caller gets the error of its own text
            return [error] if len(texts) == 1 else [self._embed_each([text])[0] for text in texts]

    def _checked(self, vector: FloatVector) -> FloatVector:
        """Return a vector of unit length: a cosine of others, or of no numbers at all, would pass for likeness."""
        length_squared = float(vector @ vector)
        if not 0.98 <= length_squared <= 1.02:
            raise EmbedderError(f"the embedder's vector has length {length_squared**0.5:g}: it must be 1")
        return vector

    def _embed_in_time(self, text: str) -> Embedded:
        if self._only_computes:
            return self._embed(text)
        try:
            waiting = self._workers.pool().submit(self._embed, text)
        except RuntimeError:
            # The interpreter is ending and starts no threads any more: what the writer still stores needs its vector.
            return self._embed(text)
        try:
            return waiting.result(timeout=self._embed_deadline_s)
        except TimeoutError:
            waiting.cancel()
            raise self._too_slow() from None

    async def _aembed_in_time(self, text: str) -> Embedded:
        if self._only_computes:
            return await self._gathering.embed(text, deadline_s=self._embed_deadline_s)
        try:
            async with asyncio.timeout(self._embed_deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._workers.pool(), self._embed, text)
        except TimeoutError:
            raise self._too_slow() from None

    def _too_slow(self) -> TimeoutError:
        return TimeoutError(f"no vector within {self._embed_deadline_s:g} s")

    def _alias_failed(self, error: Exception) -> None:
        self._failed(self._breakers["store"], error)

    def _changed(self, part: str, state: State, reason: str) -> None:
        self._emit(StateEvent(part, state, reason))


def drive(steps: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """Perform the steps of a flow one by one with `perform`, and return what the flow returns."""
    try:
        step = next(steps)
        while True:
            try:
                result = perform(step)
            except StepFailed as failure:
                step = steps.throw(failure)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


async def adrive(steps: Generator[S, Any, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """Do what `drive` does on the event loop."""
    try:
        step = next(steps)
        while True:
            try:
                result = await perform(step)
            except StepFailed as failure:
                step = steps.throw(failure)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


def checked(result: object, kind: type[T]) -> T:
    """Return what a part gave, or raise TypeError where it is not what the part's seam promises."""
    if not isinstance(result, kind):
        raise TypeError(f"it gave {result!r} and not a {kind.__name__}")
    return result


def told(error: BaseException) -> str:
    """Say an error in one line for a person."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""SemanticCache: one object with a sync and an async face, both driving the flow of `semroute.flow`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from semroute import flow
from semroute._closing import Closing
from semroute.background import Writer
from semroute.binding import bound
from semroute.calls.corpora import Corpora
from semroute.calls.flights import Flights
from semroute.calls.pace import Pace
from semroute.calls.traffic import Traffic
from semroute.care import Care
from semroute.config import Settings
from semroute.defaults import default_embedder, rules_of, store_of
from semroute.driver import Driver
from semroute.entry import Address, Answer
from semroute.errors import ConfigError
from semroute.gate import Policy
from semroute.keyring import Keyring
from semroute.leading import leading_of
from semroute.ledger import CostLedger
from semroute.pending import Pending
from semroute.prices import priced
from semroute.rehearsal import Recorder, StepRecord, Trace
from semroute.request import Digests, Request
from semroute.result import Explanation, Hit, Lookup, Miss, NotStored, Queued, Stored, Update
from semroute.router import Reconsidering, check_embedder, checked_router
from semroute.router.rules import RuleRouter
from semroute.steps import Step, StepFailed
from semroute.telemetry import CallEvent, Counters, Event, LookupEvent, Stats, UpdateEvent
from semroute.trail import Ahead, Trail
from semroute.withholding import Withholding

if TYPE_CHECKING:
    from semroute.ageing import Ageing
    from semroute.embedders import Embedder
    from semroute.guards import Guard
    from semroute.guards.shipped import NamedVerifier
    from semroute.leading import Lead
    from semroute.prices import Price
    from semroute.router import Router
    from semroute.router.catalog import ModelCatalog
    from semroute.stores import Store, StoreSize
    from semroute.telemetry import Listener

_OnTheWay: TypeAlias = tuple[str, Trail]
_NOWHERE: Final = Address("", "", "")


class SemanticCache(Care, Closing):
    """Answers by exact key, and by meaning behind a gate and guards.

    `store` is a URL ("sqlite:///answers.db", "redis://host:6379", "memory://"), a path or a Store; None is the embedded
    store in the user's data folder. Several are the shards of one ring, `replicas` of which keep each answer.
    Every other part has a default: the ONNX embedder, the rule router, the learned verifier (or, for another embedder
    than the one it was fitted on, the lexical guards) and the built-in policy; `policy` may be the file that
    `semroute tune` wrote. `guards` of your own are always asked, and then no verifier stands behind them but the one
    that you give. `verifier` may be the file that `semroute verifier train` wrote, or False for none. A policy that
    names another verifier than the one that stands is refused. `prices`, by
    model or as a ModelCatalog, let hits and the ledger say what was spent and saved. `ageing` shortens the lives of
    answers that a model takes for perishable, in the background.
    With `mode="shadow"` nothing is served, and with `canary=0.1` a tenth of all questions: what would have been served
    to the others is taken down in a shadow log, for `semroute review`. Settings that are not given come from the
    environment and from semroute.toml (see `semroute.config.Settings`).

    Nothing is opened or loaded before the first call; `preload` does it at start-up. Lookups and updates never raise
    for what fails outside: the request goes on to the model. All methods may be called from any thread and loop.
    """

    def __init__(
        self,
        store: str | Path | Store | None = None,
        *more_stores: str | Path | Store,
        embedder: Embedder | None = None,
        router: Router | None = None,
        guards: Iterable[Guard] | None = None,
        verifier: NamedVerifier | None = None,
        policy: Policy | str | Path | None = None,
        prices: Mapping[str, Price] | ModelCatalog | None = None,
        listeners: Iterable[Listener] = (),
        settings: Settings | None = None,
        ageing: Ageing | None = None,
        clock: Callable[[], float] = time.time,
        **named_settings: Any,
    ) -> None:
        if settings is not None and named_settings:
            raise ConfigError(f"give either settings or {sorted(named_settings)}, not both")
        self.settings = Settings.load(named_settings) if settings is None else settings
        self.store = store_of(store, more_stores, self.settings, clock)
        self.embedder = default_embedder() if embedder is None else embedder
        self.router: Router = checked_router(RuleRouter() if router is None else router)
        rules = rules_of(self.settings, policy, guards, verifier)
        self.rules = replace(rules, reconsiders=isinstance(self.router, Reconsidering))
        self.flights = Flights()
        self.traffic = Traffic(self.flights, self.settings.flight_deadline_s)
        self.pace = Pace()
        self.corpora = Corpora()
        self._clock = clock
        self._counters, told = Counters(), tuple(listeners)
        self.ledger = CostLedger.of(prices)
        self._withholding = Withholding(self.settings, told)
        self._listeners: tuple[Listener, ...] = (self._counters, self.ledger, *told, *self._withholding.default_log)
        self._driver = Driver(self.store, self.embedder, self.router, self._emit, self.settings.embed_deadline_s, clock)
        self._leading = leading_of(self.store, self._driver, self.settings, clock)
        self._writer = Writer(self.settings.write_queue)
        self._keyring = Keyring(self.store, self._driver, self.settings.strip)
        self._pending = Pending()
        self._ageing = ageing

    def __repr__(self) -> str:
        return f"<SemanticCache {self.store!r}, {self.embedder!r}, policy {self.rules.policy.version!r}>"

    def __copy__(self) -> Self:
        """A cache is a shared resource: copies of what holds it share it."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def request(self, query: str, **parts: Any) -> Request:
        """Build a request in the scope of the running context; `parts` are those of `Request.of`."""
        binding = bound()
        named = {"scope": binding.scope, "tags": binding.tags, "ttl": binding.ttl, "bypass": binding.bypass}
        return Request.of(query, **{"words": binding.query, **named, **parts})

    def lookup(self, request: Request | str, *, ahead: Ahead | None = None) -> Lookup:
        """Look a request up: Hit with an answer, Miss, or Bypass. A plain string takes the scope it is called in.

        `ahead` is what `decide` has found out about the same words.
        """
        began = time.perf_counter()
        asked = self.request(request) if isinstance(request, str) else request
        try:
            digests = self._keyring.open()
        except StepFailed as failure:
            known = self.decide(asked, ahead=ahead) if asked.is_routed else Ahead()
            return self._looked_up(asked, _unopened(failure, known), None, began)
        steps, on_the_way = self._looking(asked, digests, ahead)
        return self._looked_up(asked, self._driver.drive(steps), on_the_way, began)

    async def alookup(self, request: Request | str, *, ahead: Ahead | None = None) -> Lookup:
        """Do what `lookup` does, without ever blocking the event loop."""
        began = time.perf_counter()
        asked = self.request(request) if isinstance(request, str) else request
        try:
            digests = await self._keyring.aopen()
        except StepFailed as failure:
            known = await self.adecide(asked, ahead=ahead) if asked.is_routed else Ahead()
            return self._looked_up(asked, _unopened(failure, known), None, began)
        steps, on_the_way = self._looking(asked, digests, ahead)
        return self._looked_up(asked, await self._driver.adrive(steps), on_the_way, began)

    def decide(self, request: Request | str, *, ahead: Ahead | None = None) -> Ahead:
        """Have the router decide about a request before its lookup, as where the decision names the model.

        The store is not asked. What fails leaves no decision.
        """
        asked, trail = self.request(request) if isinstance(request, str) else request, Trail.of(_NOWHERE, ahead)
        self._driver.drive(flow.decide(asked, self._keyring.words(asked), trail))
        return trail.ahead

    async def adecide(self, request: Request | str, *, ahead: Ahead | None = None) -> Ahead:
        """Do what `decide` does, without ever blocking the event loop."""
        asked, trail = self.request(request) if isinstance(request, str) else request, Trail.of(_NOWHERE, ahead)
        await self._driver.adrive(flow.decide(asked, self._keyring.words(asked), trail))
        return trail.ahead

    def update(self, request: Request | str, answer: Answer | str) -> Update:
        """Store the answer to a request that missed, where admission and freshness allow it.

        In the background (`write="background"`) the answer is only queued, and the result says so, unless the queue
        is full: then it is stored at once.
        """
        asked, given = self._given(request, answer)
        return Queued() if self._is_queued(asked, given) else self._write(asked, given)

    async def aupdate(self, request: Request | str, answer: Answer | str) -> Update:
        """Do what `update` does, without ever blocking the event loop."""
        asked, given = self._given(request, answer)
        if self._is_queued(asked, given):
            return Queued()
        try:
            digests = await self._keyring.aopen()
        except StepFailed as failure:
            return self._updated(NotStored(str(failure)))
        return self._updated(await self._driver.adrive(self._updating(asked, given, digests)))

    def called(self, request: Request, answer: Answer) -> Answer:
        """Count what a model was paid for an answer, and return the answer with its price; updates do so themselves."""
        answer = priced(answer, self.ledger.prices)
        self._emit(CallEvent(request, answer))
        return answer

    def explain(self, request: Request | str) -> Trace:
        """Walk through a lookup as it would go; nothing is served, stored or counted.

        Raises StoreError or ConfigError where the store cannot be opened.
        """
        asked = self.request(request) if isinstance(request, str) else request
        digests = self._keyring.require()
        trail = Trail(digests.address(asked))
        recorder = Recorder(self._driver)
        steps = flow.lookup(asked, digests.words(asked), trail, self.rules, self._clock())
        explanation = recorder.drive(steps).explanation
        judgement = trail.judged(asked, self.rules)
        judged = StepRecord("cacheability", f"{judgement.cacheability}: {judgement.reason}", 0.0)
        return Trace(explanation, (judged, *recorder.records))

    def key(self, request: Request) -> str:
        """Return the exact key of a request, as flights and entries are named by it. Raises StoreError."""
        return self._keyring.require().address(request).exact

    async def akey(self, request: Request) -> str:
        """Do what `key` does, without ever blocking the event loop."""
        return (await self._keyring.arequire()).address(request).exact

    def lead(self, request: Request) -> Hit | Lead | None:
        """Say who is to call the model after a miss, where other processes may have missed the same request.

        A Lead is this caller's to use, and to end by `land`. Where another process leads, this waits for its answer,
        up to `flight_deadline_s`, and returns it as a Hit. None means: call the model, there is nobody to tell.
        """
        if self._leading is None:
            return None
        try:
            digests = self._keyring.open()
        except StepFailed:
            return None
        words = digests.words(request)
        address = digests.address(request, words)
        return self._leading.lead(request, words, address, self.rules) if self._withholding.serves(address) else None

    async def alead(self, request: Request) -> Hit | Lead | None:
        """Do what `lead` does, without ever blocking the event loop."""
        if self._leading is None:
            return None
        try:
            digests = await self._keyring.aopen()
        except StepFailed:
            return None
        words = digests.words(request)
        address = digests.address(request, words)
        return (
            await self._leading.alead(request, words, address, self.rules)
            if self._withholding.serves(address)
            else None
        )

    def land(self, lead: Lead, result: Update | None) -> None:
        """End a lead with what came of its update, None where there was no answer to store; returns at once."""
        if isinstance(result, Queued) and self._writer.offer(lead.land_as_stored):
            return
        lead.land(is_answered=isinstance(result, Stored))

    def listen(self, listener: Listener) -> None:
        """Tell a listener every event from now on."""
        self._listeners += (listener,)

    def use_policy(self, policy: Policy) -> None:
        """Decide by another policy from the next lookup on; aliases made under the old one are looked at again."""
        self.rules = replace(self.rules, policy=policy)

    def stats(self) -> Stats:
        """Return what this object has counted since it was made."""
        return self._counters.stats()

    def size(self) -> StoreSize | None:
        """Return how much the store holds, or None where it cannot say. Raises StoreError."""
        from semroute.stores import Sizing

        return self.store.size() if isinstance(self.store, Sizing) else None

    def preload(self) -> None:
        """Open the store and load the model now.

        Raises StoreError, EmbedderError or ConfigError: at start-up nothing fails open.
        """
        digests = self._keyring.require()
        vector = self.embedder.embed(["preload"])[0]
        address = digests.address(Request.of("preload", system="semroute preload"))
        check_embedder(self.router, self.embedder.identity)
        self.store.search(address, vector, embedder=self.embedder.identity, k=1, now=self._clock())

    def flush(self) -> None:
        """Wait until every background update that was queued before is stored."""
        self._writer.flush()

    def close(self) -> None:
        """Store what is queued and let go of the store; using the cache again opens it again."""
        self._let_go()
        self.store.close()

    async def aclose(self) -> None:
        """Do what `close` does, without ever blocking the event loop."""
        await asyncio.to_thread(self._let_go)
        await self.store.aclose()

    def _let_go(self) -> None:
        """Store what is queued, and end the threads; a later call starts new ones."""
        self._writer.close()
        if self._ageing is not None:
            self._ageing.close()
        if self._leading is not None:
            self._leading.close()
        self._driver.close()
        self._withholding.close()
        self._keyring.forget()

    def _looking(
        self, asked: Request, digests: Digests, ahead: Ahead | None
    ) -> tuple[Generator[Step, Any, Lookup], _OnTheWay]:
        words = digests.words(asked)
        trail = Trail.of(digests.address(asked, words), ahead)
        trail.serves = self._withholding.serves(trail.address)
        return flow.lookup(asked, words, trail, self.rules, self._clock()), (words, trail)

    def _given(self, request: Request | str, answer: Answer | str) -> tuple[Request, Answer]:
        asked = self.request(request) if isinstance(request, str) else request
        given = Answer(answer) if isinstance(answer, str) else answer
        return asked, self.called(asked, given)

    def _updating(self, request: Request, answer: Answer, digests: Digests) -> Generator[Step, Any, Update]:
        exact, words = digests.address(request).exact, digests.words(request)
        trail = self._pending.take(exact)
        if trail is None:
            trail = Trail(digests.address(request))
        else:
            self._take_down(request, words, trail, answer)
        labels = digests.labels(request, exact, answer.documents)
        result: Update = yield from flow.update(request, words, answer, trail, labels, self.rules, self._clock())
        if self._ageing is not None and trail.stored is not None:
            self._ageing.consider(trail.stored, trail.decision, store=self.store, rules=self.rules)
        return result

    def _is_queued(self, request: Request, answer: Answer) -> bool:
        """Say whether an update waits for the background writer; where its queue is full the caller writes."""
        return self.settings.write == "background" and self._writer.offer(lambda: self._write(request, answer))

    def _write(self, request: Request, answer: Answer) -> Update:
        try:
            digests = self._keyring.open()
        except StepFailed as failure:
            return self._updated(NotStored(str(failure)))
        return self._updated(self._driver.drive(self._updating(request, answer, digests)))

    def _looked_up(self, asked: Request, result: Lookup, on_the_way: _OnTheWay | None, began: float) -> Lookup:
        """Note and return a result; one that shadow mode withholds becomes a miss."""
        if on_the_way is not None:
            words, trail = on_the_way
            trail.result = result
            result = self._withholding.withheld(result, trail)
            if isinstance(result, Miss):
                self._pending.add(trail)
                result = replace(result, learnt=trail.ahead)
            else:
                self._take_down(asked, words, trail, None)
        self._emit(LookupEvent(result, time.perf_counter() - began, asked.scope))
        return result

    def _take_down(self, asked: Request, words: str, trail: Trail, real_answer: Answer | None) -> None:
        """Tell the listeners that keep records what a lookup found, and what the model answered instead."""
        digests = self._keyring.digests
        if not self._withholding.takes_down or digests is None:
            return
        documents = () if real_answer is None else real_answer.documents
        labels = digests.labels(asked, trail.address.exact, documents)
        event = self._withholding.event(words, trail, real_answer, labels, self._clock())
        if event is not None:
            self._emit(event)

    def _updated(self, result: Update) -> Update:
        self._emit(UpdateEvent(result))
        return result

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            with suppress(Exception):  # a listener that fails must not hurt the request
                listener.on(event)


def _unopened(failure: StepFailed, known: Ahead) -> Miss:
    return Miss(Explanation("miss", str(failure), failures=(str(failure),), decision=known.decision))

"""One call of a model or an engine on its way through the cache: looked up, waited for, or made and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from semroute.errors import SemrouteError
from semroute.leading import Lead
from semroute.prices import priced
from semroute.result import Bypass, Explanation, Hit, Lookup, Miss, NotStored, Saved, Update

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.calls.flights import Flight
    from semroute.calls.notices import Notices
    from semroute.calls.traffic import Boarding
    from semroute.entry import Answer
    from semroute.request import Request
    from semroute.router.catalog import CatalogModel
    from semroute.trail import Ahead

T = TypeVar("T")


class Call(Generic[T]):
    """A call of what an integration has cached, whose answers are of type T.

    `served` or `aserved` first: what is to be handed out, or None, and then the model is to be asked and its answer
    given to `store` or `astore`. `end` is called last, whatever happens. None raises for what fails in the cache.
    `revive` makes of a hit what is handed out, fresh for each caller; None is a hit that cannot be, and so a miss.
    """

    def __init__(
        self,
        cache: SemanticCache,
        request: Request,
        revive: Callable[[Hit], T | None],
        notices: Notices,
        ahead: Ahead | None = None,
    ) -> None:
        self._cache = cache
        self._request = request
        self._revive = revive
        self._notices = notices
        self._ahead = ahead
        self._key: str | None = None
        self._flight: Flight | None = None
        self._lead: Lead | None = None
        self._is_bypassed = False
        self._is_kept = True
        self._began = self._called = time.perf_counter()
        self._model: CatalogModel | None = None
        self.explanation: Explanation | None = None
        """How the lookup went; None where it failed."""
        self.learnt: Ahead | None = None
        """What a lookup that missed has found out: the vector of the words among it."""

    @property
    def request(self) -> Request:
        """What is asked."""
        return self._request

    @property
    def latency_s(self) -> float:
        """How long the model has been at work, in seconds."""
        return time.perf_counter() - self._called

    def served(self) -> T | None:
        """Return what a hit or the leader of the same call under way has answered, or None."""
        try:
            return self._served()
        except Exception as error:  # fail open: a broken cache must never break the call
            self._notices.failed("lookup", error)
            return None

    async def aserved(self) -> T | None:
        """Do what `served` does, without ever blocking the event loop."""
        await self._cache.pace.turn()
        try:
            return await self._aserved()
        except Exception as error:  # fail open
            self._notices.failed("lookup", error)
            return None

    def store(self, answer_of: Callable[[], Answer | None]) -> None:
        """Store what the model answered, where it is admitted, and hand it to those who wait."""
        try:
            answer = self._counted(answer_of())
            if answer is not None:
                self._land(answer, self._cache.update(self._request, answer))
        except Exception as error:  # fail open: the answer is paid for and must reach the caller
            self._notices.failed("update", error)

    async def astore(self, answer_of: Callable[[], Answer | None]) -> None:
        """Do what `store` does, without ever blocking the event loop."""
        try:
            answer = self._counted(answer_of())
            if answer is not None:
                self._land(answer, await self._cache.aupdate(self._request, answer))
        except Exception as error:  # fail open
            self._notices.failed("update", error)

    def turns_to(self, model: CatalogModel, *, is_routed: bool, is_kept: bool = True) -> None:
        """Say which model of a catalogue is called now: its name and tier go with the answer, which may be kept."""
        self._model, self._called, self._is_kept = model, time.perf_counter(), is_kept
        self._request = replace(self._request, is_routed=is_routed)

    def rests(self, is_idle: bool = True) -> None:
        """Say that a stream was handed out which nobody reads as yet, or that it is read now.

        Who waits for the same answer must not wait for a reader who may be waiting for them.
        """
        if self._flight is not None:
            self._flight.is_idle = is_idle

    def end(self) -> None:
        """Let those who wait call for themselves, if nothing has been handed to them."""
        self._end_flight(None)
        self._end_lead(None)

    # --- small parts -------------------------------------------------------------------------------------------

    def _served(self) -> T | None:
        cache = self._cache
        found = self._looked_up(cache.lookup(self._request, ahead=self._ahead))
        if found is not None or self._is_bypassed:
            return found
        try:
            self._key = cache.key(self._request)
        except SemrouteError:  # a store that cannot be opened: the lookup has said so
            return None
        boarding = self._boarded(self._key, is_async=False)
        if boarding.has_landed:
            found = self._handed_on(cache.lookup(self._request, ahead=self._ahead))
        elif boarding.flight is not None and not boarding.leads:
            found = self._followed(self._key, cache.traffic.wait(boarding.flight))
        return self._led(cache.lead(self._request)) if found is None and self._flight is not None else found

    async def _aserved(self) -> T | None:
        cache = self._cache
        found = self._looked_up(await cache.alookup(self._request, ahead=self._ahead))
        if found is not None or self._is_bypassed:
            return found
        try:
            self._key = await cache.akey(self._request)
        except SemrouteError:
            return None
        boarding = self._boarded(self._key, is_async=True)
        if boarding.has_landed:
            found = self._handed_on(await cache.alookup(self._request, ahead=self._ahead))
        elif boarding.flight is not None and not boarding.leads:
            found = self._followed(self._key, await cache.traffic.wait_async(boarding.flight))
        return self._led(await cache.alead(self._request)) if found is None and self._flight is not None else found

    def _boarded(self, key: str, *, is_async: bool) -> Boarding:
        boarding = self._cache.traffic.board(key, self._began, is_async=is_async)
        if boarding.leads:
            self._flight = boarding.flight
        return boarding

    def _looked_up(self, result: Lookup) -> T | None:
        self.explanation = result.explanation
        self._is_bypassed = isinstance(result, Bypass)
        if isinstance(result, Miss):
            self.learnt = result.learnt
        return self._revive(result) if isinstance(result, Hit) else None

    def _handed_on(self, result: Lookup) -> T | None:
        """Return what the leader finds on looking again, and hand it to those who have begun to wait for the leader."""
        found = self._looked_up(result)
        if found is not None and isinstance(result, Hit):
            self._end_flight(result.answer)
        return found

    def _led(self, outcome: Hit | Lead | None) -> T | None:
        """Return what another process has answered, or keep the lead among processes for the call to come."""
        if isinstance(outcome, Lead):
            self._lead = outcome
        return self._handed_on(outcome) if isinstance(outcome, Hit) else None

    def _followed(self, key: str, answer: Answer | None) -> T | None:
        """Return the leader's answer in fresh objects, marked as a hit."""
        if answer is None or (answer.tier or 0) < self._request.least_tier:
            return None
        tokens = None if answer.usage is None else answer.usage.total_tokens
        self.explanation = Explanation(
            tier="l1",
            reason="the same request was under way",
            hit_id=key,
            similarity=1.0,
            age_s=0.0,
            model=answer.model,
            saved=Saved(tokens, answer.usd, answer.latency_s),
        )
        return self._revive(Hit(answer, self.explanation))

    def _counted(self, answer: Answer | None) -> Answer | None:
        """Return the answer that is to be stored; one that is not is only counted."""
        model = self._model
        if answer is not None and model is not None:
            answer = replace(answer, model=model.name, tier=model.tier)
            answer = answer if model.price is None else priced(answer, {model.name: model.price})
        if answer is None or (self._is_kept and not self._is_bypassed):
            return answer
        self._cache.called(self._request, answer)
        return None

    def _land(self, answer: Answer, result: Update) -> None:
        self._end_flight(None if isinstance(result, NotStored) else answer)
        self._end_lead(result)

    def _end_lead(self, result: Update | None) -> None:
        lead, self._lead = self._lead, None
        if lead is not None:
            self._cache.land(lead, result)

    def _end_flight(self, answer: Answer | None) -> None:
        flight, self._flight = self._flight, None
        if flight is not None and self._key is not None:
            self._cache.traffic.land(self._key, flight, answer)

"""One call of a cached model: looked up, waited for, or made and kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from langchain_core.outputs import ChatGeneration, Generation

from langchain_semroute import _codec
from langchain_semroute._routed_attempt import handed_to
from langchain_semroute.cache import SemrouteCache
from semroute.errors import SemrouteError
from semroute.leading import Lead
from semroute.prices import priced
from semroute.result import Bypass, Explanation, Hit, Lookup, NotStored, Saved, Update

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from langchain_semroute._flight import Boarding
    from semroute.entry import Answer
    from semroute.flights import Flight
    from semroute.request import Request
    from semroute.router.catalog import CatalogModel
    from semroute.trail import Ahead


class Calling(Protocol):
    """What a cached model asks of its call: a `Call` of its own, or its turn in the call of a routed model."""

    def served(self) -> list[ChatGeneration] | None: ...

    async def aserved(self) -> list[ChatGeneration] | None: ...

    def keep(self, generations: Sequence[Generation]) -> None: ...

    async def akeep(self, generations: Sequence[Generation]) -> None: ...

    def marked(self, message: BaseMessage) -> None: ...

    def end(self) -> None: ...


class Call:
    """A model call on its way through the cache.

    `served` or `aserved` first: generations to hand out, or None, and then the model is to be called and its answer
    given to `keep` or `akeep`. `end` is called last, whatever happens. None raises for what fails in the cache.
    """

    def __init__(self, cache: SemrouteCache, request: Request, ahead: Ahead | None = None) -> None:
        self._cache = cache
        self._request = request
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

    def served(self) -> list[ChatGeneration] | None:
        """Return what a hit or the leader of the same call under way has answered, or None."""
        try:
            return self._served()
        except Exception as error:  # fail open: a broken cache must never break the call
            self._cache.failed("lookup", error)
            return None

    async def aserved(self) -> list[ChatGeneration] | None:
        """Do what `served` does, without ever blocking the event loop."""
        await self._cache.pace.turn()
        try:
            return await self._aserved()
        except Exception as error:  # fail open
            self._cache.failed("lookup", error)
            return None

    def keep(self, generations: Sequence[Generation]) -> None:
        """Store what the model answered, where it is admitted, and hand it to those who wait."""
        try:
            answer = self._answer(generations)
            if answer is not None:
                self._land(answer, self._cache.core.update(self._request, answer))
        except Exception as error:  # fail open: the answer is paid for and must reach the caller
            self._cache.failed("update", error)

    async def akeep(self, generations: Sequence[Generation]) -> None:
        """Do what `keep` does, without ever blocking the event loop."""
        try:
            answer = self._answer(generations)
            if answer is not None:
                self._land(answer, await self._cache.core.aupdate(self._request, answer))
        except Exception as error:  # fail open
            self._cache.failed("update", error)

    def turns_to(self, model: CatalogModel, *, is_routed: bool, is_kept: bool = True) -> None:
        """Say which model of a catalogue is called now: its name and tier go with the answer, which may be kept."""
        self._model, self._called, self._is_kept = model, time.perf_counter(), is_kept
        self._request = replace(self._request, is_routed=is_routed)

    def end(self) -> None:
        """Let those who wait call for themselves, if nothing has been handed to them."""
        self._end_flight(None)
        self._end_lead(None)

    def marked(self, message: BaseMessage) -> None:
        """Write into a fresh answer's metadata how its lookup went."""
        if self.explanation is not None:
            marker = {_codec.MARKER: self.explanation.as_dict()}
            message.response_metadata = {**message.response_metadata, **marker}

    # --- small parts -------------------------------------------------------------------------------------------

    def _served(self) -> list[ChatGeneration] | None:
        core, traffic = self._cache.core, self._cache.traffic
        found = self._looked_up(core.lookup(self._request, ahead=self._ahead))
        if found is not None or self._is_bypassed:
            return found
        try:
            self._key = core.key(self._request)
        except SemrouteError:  # a store that cannot be opened: the lookup has said so
            return None
        boarding = self._boarded(self._key, is_async=False)
        if boarding.has_landed:
            found = self._handed_on(core.lookup(self._request, ahead=self._ahead))
        elif boarding.flight is not None and not boarding.leads:
            found = self._followed(self._key, traffic.wait(boarding.flight))
        return self._led(core.lead(self._request)) if found is None and self._flight is not None else found

    async def _aserved(self) -> list[ChatGeneration] | None:
        core, traffic = self._cache.core, self._cache.traffic
        found = self._looked_up(await core.alookup(self._request, ahead=self._ahead))
        if found is not None or self._is_bypassed:
            return found
        try:
            self._key = await core.akey(self._request)
        except SemrouteError:
            return None
        boarding = self._boarded(self._key, is_async=True)
        if boarding.has_landed:
            found = self._handed_on(await core.alookup(self._request, ahead=self._ahead))
        elif boarding.flight is not None and not boarding.leads:
            found = self._followed(self._key, await traffic.wait_async(boarding.flight))
        return self._led(await core.alead(self._request)) if found is None and self._flight is not None else found

    def _boarded(self, key: str, *, is_async: bool) -> Boarding:
        boarding = self._cache.traffic.board(key, self._began, is_async=is_async)
        if boarding.leads:
            self._flight = boarding.flight
        return boarding

    def _looked_up(self, result: Lookup) -> list[ChatGeneration] | None:
        self.explanation = result.explanation
        self._is_bypassed = isinstance(result, Bypass)
        return self._revived(result) if isinstance(result, Hit) else None

    def _handed_on(self, result: Lookup) -> list[ChatGeneration] | None:
        """Return what the leader finds on looking again, and hand it to those who have begun to wait for the leader."""
        found = self._looked_up(result)
        if found is not None and isinstance(result, Hit):
            self._end_flight(result.answer)
        return found

    def _led(self, outcome: Hit | Lead | None) -> list[ChatGeneration] | None:
        """Return what another process has answered, or keep the lead among processes for the call to come."""
        if isinstance(outcome, Lead):
            self._lead = outcome
        return self._handed_on(outcome) if isinstance(outcome, Hit) else None

    def _followed(self, key: str, answer: Answer | None) -> list[ChatGeneration] | None:
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
        return self._revived(Hit(answer, self.explanation))

    def _revived(self, hit: Hit) -> list[ChatGeneration] | None:
        """Return a hit's generations; one that a plain text model left cannot serve a chat model."""
        generations = self._cache.revived(hit)
        if generations is None:
            return None
        chat = [generation for generation in generations if isinstance(generation, ChatGeneration)]
        return chat if len(chat) == len(generations) else None

    def _answer(self, generations: Sequence[Generation]) -> Answer | None:
        """Return the answer that is to be stored; one that is not is only counted."""
        answer = _codec.encode(generations, latency_s=_codec.since(self._called))
        model = self._model
        if answer is not None and model is not None:
            answer = replace(answer, model=model.name, tier=model.tier)
            answer = answer if model.price is None else priced(answer, {model.name: model.price})
        if answer is None or (self._is_kept and not self._is_bypassed):
            return answer
        self._cache.core.called(self._request, answer)
        return None

    def _land(self, answer: Answer, result: Update) -> None:
        self._end_flight(None if isinstance(result, NotStored) else answer)
        self._end_lead(result)

    def _end_lead(self, result: Update | None) -> None:
        lead, self._lead = self._lead, None
        if lead is not None:
            self._cache.core.land(lead, result)

    def _end_flight(self, answer: Answer | None) -> None:
        flight, self._flight = self._flight, None
        if flight is not None and self._key is not None:
            self._cache.traffic.land(self._key, flight, answer)


def open_call(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    stop: list[str] | None,
    arguments: Mapping[str, object],
) -> Calling | None:
    """Return the call of a model that holds a `SemrouteCache`, or None where it is to go past the cache."""
    cache = model.cache
    if not isinstance(cache, SemrouteCache):
        return None
    attempt = handed_to(cache)
    if attempt is not None:
        return attempt
    try:
        request = cache.doubtful(lambda: cache.asker.of_call(model, messages, stop, arguments))
    except Exception as error:  # fail open
        cache.failed("lookup", error)
        return None
    return None if request is None else Call(cache, request)

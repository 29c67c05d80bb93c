"""SemrouteCache: the core's cache behind LangChain's `BaseCache`."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.outputs import Generation

from langchain_semroute import _codec
from langchain_semroute._fresh import UsageMode, revive
from langchain_semroute._request import Asker, Identities, inner_tag
from langchain_semroute._values import Unsure
from semroute.binding import bound
from semroute.cache import SemanticCache
from semroute.calls.notices import Notices
from semroute.errors import ConfigError
from semroute.result import Hit, Lookup

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import BaseMessage

    from semroute.ledger import CostLedger
    from semroute.rehearsal import Trace
    from semroute.request import Request
    from semroute.stores import Store
    from semroute.telemetry import Stats

LOOKED_UP = "semroute: this call was looked up already"
"""Stands for an `llm_string` where a cached model has done the lookup itself."""

_BEGUN_LIMIT = 4_096


class SemrouteCache(BaseCache):
    """An answer cache for every model of an application: `set_llm_cache(SemrouteCache())`.

    `stores` are the core's (a URL, a path or a Store; several are the shards of one ring); `cache` is a core cache to
    use instead. `namespace` binds the cache to a namespace, as `with_namespace` does. `usage` says what hits report as
    used tokens: "zero" (the original counts stand in `response_metadata["semroute"]["saved_usage"]`) or "keep".
    LangChain names a response schema by its class only: such calls are left alone, unless `trust_llm_string` says that
    one name always means one schema. A model class without `_identifying_params` is named by its type only; that is
    taken at its word, with a warning. All other settings are the core's (`semroute.SemanticCache`).

    No method raises for what fails on the way: the model is asked instead, and the failure is logged once.
    """

    def __init__(
        self,
        *stores: str | Path | Store,
        cache: SemanticCache | None = None,
        namespace: str | None = None,
        usage: UsageMode = "zero",
        trust_llm_string: bool = False,
        **settings: Any,
    ) -> None:
        if cache is not None and (stores or settings):
            raise ConfigError("give either a cache or what to make one of, not both")
        if usage not in ("zero", "keep"):
            raise ConfigError(f"usage must be 'zero' or 'keep', not {usage!r}")
        self.core = SemanticCache(*stores, **settings) if cache is None else cache
        self.usage = usage
        self.replay_chunk_chars = 40
        self.notices = Notices("semroute.langchain")
        self.asker = Asker(namespace, notices=self.notices)
        self._identities = Identities(is_trusted=trust_llm_string)
        self._begun: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._lock = Lock()

    def __repr__(self) -> str:
        namespace = "" if self.asker.namespace is None else f", namespace {self.asker.namespace!r}"
        return f"<SemrouteCache of {self.core!r}{namespace}>"

    @property
    def ledger(self) -> CostLedger:
        """What was spent on models, and what hits and routing saved."""
        return self.core.ledger

    def __copy__(self) -> Self:
        """A cache is a shared resource: copies of a model that holds it share it."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def with_namespace(self, namespace: str) -> Self:
        """Return a view of the same cache that is bound to a namespace."""
        return self.view(replace(self.asker, namespace=namespace))

    def view(self, asker: Asker, replay_chunk_chars: int | None = None) -> Self:
        """Return a view that builds its requests by `asker`; everything else is shared."""
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view.asker = asker
        if replay_chunk_chars is not None:
            view.replay_chunk_chars = replay_chunk_chars
        return view

    # --- LangChain's interface ---------------------------------------------------------------------------------

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return the generations of a hit, fresh for this caller, or None."""
        if llm_string == LOOKED_UP:
            return None
        try:
            request = self._asked(prompt, llm_string)
            if request is None:
                return None
            return self._served(self.core.lookup(request), prompt, llm_string)
        except Exception as error:  # fail open: a broken cache must never break the call
            self.failed("lookup", error)
            return None

    async def alookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Do what `lookup` does, without ever blocking the event loop."""
        if llm_string == LOOKED_UP:
            return None
        await self.core.pace.turn()
        try:
            request = self._asked(prompt, llm_string)
            if request is None:
                return None
            return self._served(await self.core.alookup(request), prompt, llm_string)
        except Exception as error:  # fail open
            self.failed("lookup", error)
            return None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store what a model answered, where the core admits it."""
        if llm_string == LOOKED_UP:
            return
        try:
            answer = _codec.encode(return_val, latency_s=self._latency_s(prompt, llm_string))
            request = self._asked(prompt, llm_string)
            if answer is not None and request is not None:
                self.core.update(request, answer)
        except Exception as error:  # fail open: the answer is paid for and must reach the caller
            self.failed("update", error)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Do what `update` does, without ever blocking the event loop."""
        if llm_string == LOOKED_UP:
            return
        await self.core.pace.turn()
        try:
            answer = _codec.encode(return_val, latency_s=self._latency_s(prompt, llm_string))
            request = self._asked(prompt, llm_string)
            if answer is not None and request is not None:
                await self.core.aupdate(request, answer)
        except Exception as error:  # fail open
            self.failed("update", error)

    def clear(self, **kwargs: Any) -> None:
        """Remove the answers of the namespace that this view or the running scope is bound to; unbound, all."""
        try:
            self._clear()
        except Exception as error:  # fail open
            self.failed("clear", error)

    async def aclear(self, **kwargs: Any) -> None:
        """Do what `clear` does, without ever blocking the event loop."""
        await asyncio.to_thread(self.clear, **kwargs)

    # --- the core's care, for this cache ------------------------------------------------------------------------

    def invalidate(self, **named: Any) -> int:
        """Remove the answers that all that is named applies to; see `SemanticCache.invalidate`."""
        return self.core.invalidate(**named)

    def feedback(self, hit_id: str, *, correct: bool) -> int:
        """Say whether a hit was right; see `SemanticCache.feedback`."""
        return self.core.feedback(hit_id, correct=correct)

    def explain(self, model: BaseChatModel, input: LanguageModelInput) -> Trace:
        """Walk through the lookup of a model's call as it would go; nothing is served, stored or counted.

        Raises ConfigError for a call that is never cached, StoreError where the store cannot be opened.
        """
        if not isinstance(model, BaseChatModel):
            raise ConfigError(f"explain() takes a chat model, not {type(model).__name__}: give one model by itself")
        messages = model._convert_input(input).to_messages()
        described = (dumps([message.model_copy(update={"id": None}) for message in messages]), model._get_llm_string())
        try:
            if isinstance(model.cache, SemrouteCache):
                return self.core.explain(model.cache.asker.of_call(model, messages, None, {}))
            return self.core.explain(self.asker.of_strings(*described, self._identities))
        except Unsure as doubt:
            raise ConfigError(f"a call of this model is not cached: {doubt}") from doubt

    def stats(self) -> Stats:
        """Return what has been counted since the cache was made."""
        return self.core.stats()

    def preload(self) -> None:
        """Open the store and load the model now; see `SemanticCache.preload`."""
        self.core.preload()

    def flush(self) -> None:
        """Wait until every background update is stored."""
        self.core.flush()

    def close(self) -> None:
        """Store what is queued and let go of the store; using the cache again opens it again."""
        self.core.close()

    # --- for cached models -------------------------------------------------------------------------------------

    def revived(self, hit: Hit) -> list[Generation] | None:
        """Return the fresh generations of a hit, or None where its payload cannot be read."""
        return revive(hit.answer, hit.explanation, self.usage)

    def failed(self, deed: str, error: Exception) -> None:
        """Note a failure that the caller goes on without."""
        self.notices.failed(deed, error)

    def doubtful(self, ask: Callable[[], Request]) -> Request | None:
        """Return the request that `ask` builds, or None for a call that cannot be told apart with certainty."""
        try:
            return ask()
        except Unsure as doubt:
            self.notices.tell(f"a call is not cached: {doubt}")
            return None

    # --- small parts -------------------------------------------------------------------------------------------

    def _asked(self, prompt: str, llm_string: str) -> Request | None:
        return self.doubtful(lambda: self.asker.of_strings(prompt, llm_string, self._identities))

    def _served(self, result: Lookup, prompt: str, llm_string: str) -> list[Generation] | None:
        if isinstance(result, Hit):
            served = self.revived(result)
            if served is not None:
                return served
        self._begin(prompt, llm_string)
        return None

    def _begin(self, prompt: str, llm_string: str) -> None:
        with self._lock:
            self._begun[hash(prompt), hash(llm_string)] = time.perf_counter()
            if len(self._begun) > _BEGUN_LIMIT:
                self._begun.popitem(last=False)

    def _latency_s(self, prompt: str, llm_string: str) -> float | None:
        with self._lock:
            return _codec.since(self._begun.pop((hash(prompt), hash(llm_string)), None))

    def _clear(self) -> None:
        scope = bound().scope
        inner = self.asker.scoped(bound())[0]
        if inner.is_empty:
            self.core.clear()
            return
        self.core.invalidate(tenant=inner.tenant, namespace=inner.namespace, user=inner.user)
        if self.asker.namespace is not None and scope.namespace is None:
            self.core.invalidate(tenant=inner.tenant, user=inner.user, tag=inner_tag(self.asker.namespace))


def cache_of(cache: SemrouteCache | SemanticCache | str | Path | None) -> SemrouteCache:
    """Return the LangChain cache for whatever names one: itself, a core cache, a store's URL or path, or None."""
    match cache:
        case SemrouteCache():
            return cache
        case SemanticCache():
            return SemrouteCache(cache=cache)
        case None:
            return SemrouteCache()
        case str() | Path():
            return SemrouteCache(cache)
        case _:
            raise ConfigError(f"cache must be a SemrouteCache, a SemanticCache or a store's URL, not {cache!r}")


QueryOf = Callable[[Sequence["BaseMessage"]], str | None]

"""A chain behind a cache, with all the calls of a runnable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.runnables.utils import Input, Output

from langchain_semroute._chain_answer import Keeper, Served
from langchain_semroute._chain_face import ChainFace
from langchain_semroute._chain_replay import Total, marked, replayed, streams_by_key, streams_its_output, unmarked
from langchain_semroute._chain_request import ChainAsker
from langchain_semroute._chain_witness import Witness, atell, tell
from langchain_semroute.cache import SemrouteCache
from semroute.binding import bound, rebound
from semroute.calls.call import Call
from semroute.calls.streams import asteps, steps
from semroute.calls.traffic import calling
from semroute.calls.values import Unsure
from semroute.errors import ConfigError

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun

    from semroute.entry import Answer
    from semroute.rehearsal import Trace
    from semroute.result import Hit

Opened: TypeAlias = Call[Served] | None


class CachedChain(ChainFace[Input, Output], Generic[Input, Output]):
    """A chain behind a cache; made by `cached_chain`. On a miss the chain's run is a child of this one's."""

    def __init__(
        self,
        runnable: Runnable[Input, Output],
        cache: SemrouteCache,
        asker: ChainAsker,
        keeper: Keeper,
        replay_chunk_chars: int,
    ) -> None:
        self.runnable = runnable
        self.cache = cache
        self._asker = asker
        self._keeper = keeper
        self._replay_chunk_chars = replay_chunk_chars

    def __repr__(self) -> str:
        return f"<CachedChain of corpus {self._asker.corpus!r}, {self.cache!r}>"

    def explain(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Trace:
        """Walk through the lookup of a call as it would go; nothing is served, stored or counted.

        Raises ConfigError for a call that is never cached, StoreError where the store cannot be opened.
        """
        try:
            request = self._asker.ask(self.cache.asker, input, ensure_config(config), kwargs)
        except Unsure as doubt:
            raise ConfigError(f"this call is not cached: {doubt}") from doubt
        return self.cache.core.explain(request)

    # --- calls ---------------------------------------------------------------------------------------------------

    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        return self._call_with_config(self._invoked, input, config, **kwargs)

    async def ainvoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        with calling():
            return await self._acall_with_config(self._ainvoked, input, config, **kwargs)

    def stream(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Output]:
        return steps(partial(rebound, bound()), partial(self._streamed, input, config, kwargs))

    def astream(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Output]:
        return asteps(partial(rebound, bound()), partial(self._astreamed, input, config, kwargs))

    def astream_events(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        events: Any = super().astream_events(input, config, **kwargs)
        return events if kwargs.get("version") == "v3" else asteps(partial(rebound, bound()), lambda: events)

    def _invoked(
        self, given: Input, run_manager: CallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> Output:
        call = self._opened(given, config, kwargs)
        if call is None:
            return self.runnable.invoke(given, config, **kwargs)
        try:
            served = call.served()
            tell(call.explanation, config)
            if served is not None:
                return cast("Output", served.output)
            witness = Witness()
            output = self.runnable.invoke(given, witness.hearing(config), **kwargs)
            call.store(lambda: self._kept(call, given, output, witness))
            return cast("Output", marked(output, call.explanation))
        finally:
            call.end()

    async def _ainvoked(
        self, given: Input, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> Output:
        call = self._opened(given, config, kwargs)
        if call is None:
            return await self.runnable.ainvoke(given, config, **kwargs)
        try:
            served = await call.aserved()
            await atell(call.explanation, config)
            if served is not None:
                return cast("Output", served.output)
            witness = Witness()
            output = await self.runnable.ainvoke(given, witness.hearing(config), **kwargs)
            await call.astore(lambda: self._kept(call, given, output, witness))
            return cast("Output", marked(output, call.explanation))
        finally:
            call.end()

    # --- streams: the lookup is done by whoever reads, so that he never waits for himself ----------------------------

    def _streamed(self, given: Input, config: RunnableConfig | None, kwargs: dict[str, Any]) -> Iterator[Output]:
        call = self._begun(given, config, kwargs)
        try:
            served = None if call is None else call.served()
            chunks = partial(self._chunks, given, call, served)
            yield from self._transform_stream_with_config(iter([given]), chunks, config, **kwargs)
        finally:
            if call is not None:
                call.end()

    async def _astreamed(
        self, given: Input, config: RunnableConfig | None, kwargs: dict[str, Any]
    ) -> AsyncIterator[Output]:
        call = self._begun(given, config, kwargs)
        try:
            served = None if call is None else await call.aserved()
            chunks = partial(self._achunks, given, call, served)
            run = self._atransform_stream_with_config(_once(given), chunks, config, **kwargs)
            async with aclosing(run) as pieces:  # type: ignore[type-var]  # it is a generator
                async for piece in pieces:
                    yield piece
        finally:
            if call is not None:
                call.end()

    def _chunks(
        self,
        given: Input,
        call: Opened,
        served: Served | None,
        _: Iterator[Input],
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Iterator[Output]:
        if call is None:
            yield from self.runnable.stream(given, config, **kwargs)
            return
        tell(call.explanation, config)
        if served is not None:
            yield from self._replayed(given, served)
            return
        total, witness = Total(given), Witness()
        for number, chunk in enumerate(self.runnable.stream(given, witness.hearing(config), **kwargs)):
            total.add(unmarked(chunk))
            yield cast("Output", marked(unmarked(chunk), None if number else call.explanation))
        call.store(lambda: self._kept(call, given, total, witness))

    async def _achunks(
        self,
        given: Input,
        call: Opened,
        served: Served | None,
        _: AsyncIterator[Input],
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[Output]:
        if call is None:
            async for chunk in self.runnable.astream(given, config, **kwargs):
                yield chunk
            return
        await atell(call.explanation, config)
        if served is not None:
            for piece in self._replayed(given, served):
                yield piece
            return
        total, witness, number = Total(given), Witness(), 0
        async for chunk in self.runnable.astream(given, witness.hearing(config), **kwargs):
            total.add(unmarked(chunk))
            yield cast("Output", marked(unmarked(chunk), None if number else call.explanation))
            number += 1
        await call.astore(lambda: self._kept(call, given, total, witness))

    # --- small parts -----------------------------------------------------------------------------------------------

    def _opened(self, given: object, config: RunnableConfig, arguments: dict[str, Any]) -> Opened:
        """Return the call of an input, or None where it is to go past the cache."""
        asker, cache = self._asker, self.cache
        try:
            request = cache.doubtful(lambda: asker.ask(cache.asker, given, config, arguments))
        except Exception as error:  # fail open: functions of the application's are asked on the way
            cache.failed("lookup", error)
            return None
        if request is None:
            return None

        def revived(hit: Hit) -> Served | None:
            return self._keeper.revived(hit, given)

        return Call(cache.core, request, revived, cache.notices)

    def _begun(self, given: object, config: RunnableConfig | None, arguments: dict[str, Any]) -> Opened:
        """Return the call of a stream, or None where it is to go past the cache."""
        if streams_its_output(self._asker.runnable):
            return self._opened(given, ensure_config(config), arguments)
        self.cache.notices.tell("a stream is not cached: the pieces of this runnable do not add up to its output")
        return None

    def _kept(self, call: Call[Served], given: object, output: object, witness: Witness) -> Answer | None:
        """Return the answer to be stored, or None where it would not come back as it is."""
        try:
            whole = output.value() if isinstance(output, Total) else output
            return self._keeper.answer(given, whole, witness, call.latency_s)
        except Unsure as doubt:
            self.cache.notices.tell(f"an answer of a chain is not kept: {doubt}")
            return None

    def _replayed(self, given: object, served: Served) -> Iterator[Output]:
        is_by_key = streams_by_key(self._asker.runnable)
        pieces = replayed(served.output, given, self._replay_chunk_chars, is_by_key=is_by_key)
        return cast("Iterator[Output]", pieces)


async def _once(given: Input) -> AsyncIterator[Input]:
    yield given

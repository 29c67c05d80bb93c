"""The turns of a routed call: whose it is hands out what the cache has, or answers, and the next one stands by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from llama_index_semroute._llm_codec import MARKER, Reply
from llama_index_semroute._llm_request import Asked
from llama_index_semroute._routed_request import RoutedAsked, RoutedLLMCall
from semroute.binding import bound, rebound
from semroute.calls import routing
from semroute.calls.routing import Asking, floor, with_told
from semroute.calls.streams import asteps, steps

if TYPE_CHECKING:
    from llama_index.core.llms.llm import LLM

    from llama_index_semroute._routed_pool import Pool
    from semroute.request import Request
    from semroute.trail import Ahead

_Routed: TypeAlias = "routing.RoutedCall[RoutedLLMCall, Reply]"
_Turn: TypeAlias = "routing.Turn[RoutedLLMCall, Reply]"
_END: Final = object()
R = TypeVar("R", ChatResponse, CompletionResponse)


class Opened:
    """A routed call that has begun: in the scope that it was made in, with the needs that it has."""

    def __init__(self, pool: Pool, routed: _Routed) -> None:
        self.routed = routed
        self._pool = pool

    def llm(self, turn: _Turn) -> LLM:
        """Return the LLM whose turn it is."""
        return self._pool.members[turn.model.name].llm


def opened(pool: Pool, routed: RoutedAsked, named: str | None) -> Opened:
    """Begin a call; raises ConfigError where no LLM can do what is asked, or the one that was named."""
    why: str | None = None

    def request(names: tuple[str, ...], group: str | None) -> Request:
        nonlocal why
        asked = pool.request(routed, names, group)
        why = asked.why_bypassed
        return asked.request

    def lookup(request: Request, ahead: Ahead | None) -> RoutedLLMCall:
        return RoutedLLMCall(pool.asker, Asked(request, why), routed.kind, ahead)

    needs = routed.needs(floor(pool.least_tier), counts_tokens=pool.counts_tokens)
    return Opened(pool, routing.RoutedCall(pool, Asking(needs, named, request, lookup, routed.words)))


def answered(call: Opened, ask: Callable[[LLM], R]) -> R:
    """Return the response of a call: out of the cache, or of the first LLM that gives one, which is kept."""
    with call.routed as routed:
        while True:
            turn = routed.next()
            if turn.served is not None:
                served: R = _marked(turn, turn.served)
                return served
            try:
                reply = ask(call.llm(turn))
            except Exception as error:  # providers raise errors of every kind; what is no provider's goes on
                routed.failed(turn.model, error)
                continue
            turn.call.keep(reply)
            fresh: R = _marked(turn, turn.call.marked(reply))
            return fresh


async def aanswered(call: Opened, ask: Callable[[LLM], Awaitable[R]]) -> R:
    """Do what `answered` does, without ever blocking the event loop."""
    with call.routed as routed:
        while True:
            turn = await routed.anext()
            if turn.served is not None:
                served: R = _marked(turn, turn.served)
                return served
            try:
                reply = await ask(call.llm(turn))
            except Exception as error:  # as above
                routed.failed(turn.model, error)
                continue
            await turn.call.akeep(reply)
            fresh: R = _marked(turn, turn.call.marked(reply))
            return fresh


def streamed(call: Opened, begin: Callable[[LLM], Iterator[Reply]]) -> Iterator[Any]:
    """Return the chunks of a call, which belongs to the scope that it was made in, wherever they are read."""
    return steps(partial(rebound, bound()), partial(_streamed, call, begin))


def astreamed(call: Opened, begin: Callable[[LLM], Awaitable[AsyncIterator[Reply]]]) -> AsyncIterator[Any]:
    """Do what `streamed` does on the event loop."""
    return asteps(partial(rebound, bound()), partial(_astreamed, call, begin))


def _streamed(call: Opened, begin: Callable[[LLM], Iterator[Reply]]) -> Iterator[Any]:
    with call.routed as routed:
        while True:
            turn = routed.next()
            if turn.served is not None:
                for piece in turn.call.pieces(turn.served):
                    yield _marked(turn, piece)
                return
            try:
                chunks = iter(begin(call.llm(turn)))
                first: Any = next(chunks, _END)
            except Exception as error:  # as above
                routed.failed(turn.model, error)
                continue
            yield from _taken(turn, first, chunks)
            return


def _taken(turn: _Turn, first: Any, chunks: Iterator[Reply]) -> Iterator[Any]:
    """Yield the chunks of the LLM that has begun to answer, and keep the whole of them."""
    try:
        chunk = first
        while chunk is not _END:
            yield _marked(turn, turn.call.taken(chunk))
            chunk = next(chunks, _END)
        turn.call.keep_taken()
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


async def _astreamed(call: Opened, begin: Callable[[LLM], Awaitable[AsyncIterator[Reply]]]) -> AsyncIterator[Any]:
    with call.routed as routed:
        while True:
            turn = await routed.anext()
            if turn.served is not None:
                for piece in turn.call.pieces(turn.served):
                    yield _marked(turn, piece)
                return
            try:
                chunks = aiter(await begin(call.llm(turn)))
                first: Any = await anext(chunks, _END)
            except Exception as error:  # as above
                routed.failed(turn.model, error)
                continue
            try:
                chunk = first
                while chunk is not _END:
                    yield _marked(turn, turn.call.taken(chunk))
                    chunk = await anext(chunks, _END)
                await turn.call.akeep_taken()
            finally:
                close = getattr(chunks, "aclose", None)
                if close is not None:
                    await close()
            return


def _marked(turn: _Turn, reply: Reply) -> Any:
    """Return a response that also says how it was routed."""
    marker = with_told(reply.additional_kwargs.get(MARKER), turn.told)
    return reply.model_copy(update={"additional_kwargs": {**reply.additional_kwargs, MARKER: marker}})

"""One call of a cached LLM: the core's, with LlamaIndex's responses for answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from llama_index_semroute import _llm_codec
from llama_index_semroute._llm_codec import MARKER, Kind, Reply, Told
from llama_index_semroute._llm_identity import ASKER
from llama_index_semroute._llm_replay import Gathered, replay
from llama_index_semroute._llm_request import Asked, Asker
from llama_index_semroute.events import tell
from semroute.calls.call import Call
from semroute.calls.streams import asteps, inside, is_inside, steps
from semroute.calls.values import Unsure

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.llms.llm import LLM

    from semroute.entry import JSON, Answer
    from semroute.result import Hit


R = TypeVar("R", bound=Reply)


class LLMCall(Call[Reply]):
    """A call on its way through the cache; what the LLM answers is given to `keep` or `akeep`, or `taken` in chunks."""

    def __init__(self, asker: Asker, asked: Asked, kind: Kind) -> None:
        def revived(hit: Hit) -> Reply | None:
            return _llm_codec.revive(hit.answer, hit.explanation, kind)

        super().__init__(asker.cache, asked.request, revived, asker.notices)
        self._asker = asker
        self._asked = asked
        self._gathered: Gathered | None = Gathered()
        self._mark: dict[str, JSON] | None = None

    def looked_up(self) -> Reply | None:
        """Return what the cache serves, and tell LlamaIndex's handlers how that went."""
        return self._announced(self.served())

    async def alooked_up(self) -> Reply | None:
        """Do what `looked_up` does, without ever blocking the event loop."""
        return self._announced(await self.aserved())

    def pieces(self, reply: Reply) -> Iterator[Reply]:
        """Yield what is served as a stream."""
        return replay(reply, self._asker.replay_chunk_chars)

    def keep(self, reply: Reply) -> None:
        """Store what the LLM answered, where it is admitted, and hand it to those who wait."""
        self.store(lambda: self._encoded(reply, Told.by(reply.raw, reply.additional_kwargs)))

    async def akeep(self, reply: Reply) -> None:
        """Do what `keep` does, without ever blocking the event loop."""
        await self.astore(lambda: self._encoded(reply, Told.by(reply.raw, reply.additional_kwargs)))

    def taken(self, chunk: Reply) -> Reply:
        """Note a chunk of a stream, and return it marked."""
        try:
            if self._gathered is not None:
                self._gathered.take(chunk)
        except Exception as error:  # fail open: whatever an integration yields must reach the consumer
            self._gathered = None
            self._notices.failed("reading a stream", error)
        return self.marked(chunk)

    def keep_taken(self) -> None:
        """Store what the chunks make up; called when the stream was read to its end."""
        self.store(self._whole)

    async def akeep_taken(self) -> None:
        """Do what `keep_taken` does, without ever blocking the event loop."""
        await self.astore(self._whole)

    def marked(self, reply: Reply) -> Reply:
        """Return a fresh response that says how its lookup went.

        Handlers and chat memories hold the original, and some integrations write a message's `additional_kwargs` into
        their requests: the mark stands in those of the response, which nothing sends.
        """
        if self.explanation is None or not isinstance(reply, ChatResponse | CompletionResponse):
            return reply
        if self._mark is None:
            self._mark = self.explanation.as_dict()
        extra = {**reply.additional_kwargs, MARKER: dict(self._mark)}
        return reply.model_copy(update={"additional_kwargs": extra})

    def _announced(self, served: Reply | None) -> Reply | None:
        told, why = self.explanation, self._asked.why_bypassed
        if told is not None and told.tier == "bypass" and why is not None:
            self.explanation = replace(told, reason=why)
        elif served is None and told is not None and told.tier not in ("miss", "bypass"):
            self.explanation = replace(told, tier="miss", reason="what is stored cannot be read")
        tell("llm", self.explanation)
        return served

    def _whole(self) -> Answer | None:
        gathered = self._gathered
        if gathered is None:
            return None
        try:
            reply = gathered.whole()
        except Unsure as doubt:
            self._notices.tell(str(doubt))
            return None
        return self._encoded(reply, gathered.told())

    def _encoded(self, reply: Reply, told: Told) -> Answer | None:
        try:
            return _llm_codec.encode(reply, told, model=self._asked.request.model, latency_s=self.latency_s)
        except Unsure as doubt:
            self._notices.tell(str(doubt))
            return None


def chat_call(llm: LLM, messages: Sequence[ChatMessage], arguments: Mapping[str, object]) -> LLMCall | None:
    """Return the call of `chat` or of one of its streams, or None where it is to go past the cache."""
    return _opened(llm, "chat", lambda asker: asker.of_chat(llm, messages, arguments))


def completion_call(llm: LLM, prompt: str, args: Sequence[object], arguments: Mapping[str, Any]) -> LLMCall | None:
    """Return the call of `complete` or of one of its streams, or None where it is to go past the cache."""
    is_formatted = bool(args[0] if args else arguments.get("formatted", False))
    rest = {name: value for name, value in arguments.items() if name != "formatted"}
    return _opened(llm, "completion", lambda asker: asker.of_completion(llm, prompt, is_formatted, rest))


def _opened(llm: LLM, kind: Kind, ask: Callable[[Asker], Asked]) -> LLMCall | None:
    asker = llm.__dict__.get(ASKER)
    if not isinstance(asker, Asker) or is_inside(llm):
        return None
    try:
        return LLMCall(asker, ask(asker), kind)
    except Unsure as doubt:
        asker.notices.tell(f"a call is not cached: {doubt}")
    except Exception as error:  # fail open: a call that cannot be read must still be made
        asker.notices.failed("lookup", error)
    return None


def answered(llm: LLM, call: LLMCall | None, ask: Callable[[], R]) -> R:
    """Return the response of a call: out of the cache, or the LLM's own, which is kept."""
    if call is None:
        with inside(llm):
            return ask()
    try:
        served = call.looked_up()
        if served is not None:
            return cast("R", served)
        with inside(llm):
            reply = ask()
        call.keep(reply)
        return cast("R", call.marked(reply))
    finally:
        call.end()


async def aanswered(llm: LLM, call: LLMCall | None, ask: Callable[[], Awaitable[R]]) -> R:
    """Do what `answered` does, without ever blocking the event loop."""
    if call is None:
        with inside(llm):
            return await ask()
    try:
        served = await call.alooked_up()
        if served is not None:
            return cast("R", served)
        with inside(llm):
            reply = await ask()
        await call.akeep(reply)
        return cast("R", call.marked(reply))
    finally:
        call.end()


def streamed(llm: LLM, call: LLMCall | None, begin: Callable[[], Iterator[Reply]]) -> Iterator[Any]:
    """Yield the chunks of a call: out of the cache, or the LLM's own, which are kept when all are read."""
    fresh = partial(steps, partial(inside, llm), begin)
    if call is None:
        yield from fresh()
        return
    try:
        served = call.looked_up()
        if served is not None:
            yield from call.pieces(served)
            return
        for chunk in fresh():
            yield call.taken(chunk)
        call.keep_taken()
    finally:
        call.end()


async def astreamed(
    llm: LLM, call: LLMCall | None, begin: Callable[[], Awaitable[AsyncIterator[Reply]]]
) -> AsyncIterator[Any]:
    """Do what `streamed` does, without ever blocking the event loop."""
    fresh = asteps(partial(inside, llm), partial(_begun, begin))
    try:
        served = None if call is None else await call.alooked_up()
        if call is not None and served is not None:
            for piece in call.pieces(served):
                yield piece
            return
        async for chunk in fresh:
            yield chunk if call is None else call.taken(chunk)
        if call is not None:
            await call.akeep_taken()
    finally:
        if call is not None:
            call.end()
        await _close(fresh)


async def _begun(begin: Callable[[], Awaitable[AsyncIterator[Reply]]]) -> AsyncIterator[Reply]:
    """Yield the chunks of a stream that has to be awaited first."""
    stream = await begin()
    try:
        async for chunk in stream:
            yield chunk
    finally:
        await _close(stream)


async def _close(stream: AsyncIterator[Reply]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()

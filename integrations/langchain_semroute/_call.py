"""One call of a cached chat model: the core's, with LangChain's generations for answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from langchain_core.outputs import ChatGeneration, Generation

from langchain_semroute import _codec
from langchain_semroute._routed_attempt import handed_to
from langchain_semroute.cache import SemrouteCache
from semroute.calls import call

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from semroute.entry import Answer
    from semroute.request import Request
    from semroute.result import Hit
    from semroute.trail import Ahead


class Calling(Protocol):
    """What a cached model asks of its call: a `Call` of its own, or its turn in the call of a routed model."""

    def served(self) -> list[ChatGeneration] | None: ...

    async def aserved(self) -> list[ChatGeneration] | None: ...

    def keep(self, generations: Sequence[Generation]) -> None: ...

    async def akeep(self, generations: Sequence[Generation]) -> None: ...

    def marked(self, message: BaseMessage) -> None: ...

    def end(self) -> None: ...


class Call(call.Call[list[ChatGeneration]]):
    """A model call on its way through the cache; what the model answers is given to `keep` or `akeep`."""

    def __init__(self, cache: SemrouteCache, request: Request, ahead: Ahead | None = None) -> None:
        def revived(hit: Hit) -> list[ChatGeneration] | None:
            return _chat(cache.revived(hit))

        super().__init__(cache.core, request, revived, cache.notices, ahead)

    def keep(self, generations: Sequence[Generation]) -> None:
        """Store what the model answered, where it is admitted, and hand it to those who wait."""
        self.store(lambda: self._encoded(generations))

    async def akeep(self, generations: Sequence[Generation]) -> None:
        """Do what `keep` does, without ever blocking the event loop."""
        await self.astore(lambda: self._encoded(generations))

    def marked(self, message: BaseMessage) -> None:
        """Write into a fresh answer's metadata how its lookup went."""
        if self.explanation is not None:
            marker = {_codec.MARKER: self.explanation.as_dict()}
            message.response_metadata = {**message.response_metadata, **marker}

    def _encoded(self, generations: Sequence[Generation]) -> Answer | None:
        return _codec.encode(generations, latency_s=self.latency_s)


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


def _chat(generations: Sequence[Generation] | None) -> list[ChatGeneration] | None:
    """Return the generations of a hit; one that a plain text model left cannot serve a chat model."""
    if generations is None:
        return None
    chat = [generation for generation in generations if isinstance(generation, ChatGeneration)]
    return chat if len(chat) == len(generations) else None

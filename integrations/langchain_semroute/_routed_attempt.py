"""One model's turn in a routed call: what was looked up is handed to the model, past its own lookup."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from langchain_semroute._codec import MARKER
from semroute.calls.routing import with_told

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGeneration, Generation

    from langchain_semroute._call import Call
    from langchain_semroute.cache import SemrouteCache
    from semroute.entry import JSON

T = TypeVar("T")


class Attempt:
    """A model's turn: it hands out what the lookup found, or keeps what the model answers.

    The methods are those of `Call`, but that the call goes on when the turn has ended: another model's may follow.
    """

    def __init__(
        self, call: Call, held: SemrouteCache, served: list[ChatGeneration] | None, told: Mapping[str, JSON]
    ) -> None:
        self.told = told
        """What the routing adds to the metadata of the answer."""
        self.has_failed_unheard = False
        """Whether the model was called, and nobody has got anything of an answer."""
        self._call = call
        self._held = held
        self._served = served
        self._is_taken = False

    def take(self, held: SemrouteCache) -> bool:
        """Say whether this is the turn of the model that holds a cache, and has not begun; then it begins."""
        if self._is_taken or held is not self._held:
            return False
        self._is_taken = True
        self.has_failed_unheard = self._served is None
        return True

    def served(self) -> list[ChatGeneration] | None:
        for generation in self._served or ():
            self._tell(generation.message)
        return self._served

    async def aserved(self) -> list[ChatGeneration] | None:
        return self.served()

    def keep(self, generations: Sequence[Generation]) -> None:
        self.has_failed_unheard = not generations
        self._call.keep(generations)

    async def akeep(self, generations: Sequence[Generation]) -> None:
        self.has_failed_unheard = not generations
        await self._call.akeep(generations)

    def marked(self, message: BaseMessage) -> None:
        """Write the marker into an answer or the first chunk of one, which the caller is about to get."""
        self.has_failed_unheard = False
        self._call.marked(message)
        self._tell(message)

    def end(self) -> None:
        """Do nothing: the routed call ends its lookups itself."""

    def _tell(self, message: BaseMessage) -> None:
        marker = with_told(message.response_metadata.get(MARKER), self.told)
        message.response_metadata = {**message.response_metadata, MARKER: marker}


_HANDED: ContextVar[Attempt | None] = ContextVar("semroute_handed", default=None)


@contextmanager
def handing(attempt: Attempt) -> Iterator[None]:
    """Hand a turn to the model that is called in the block."""
    token = _HANDED.set(attempt)
    try:
        yield
    finally:
        _HANDED.reset(token)


def noted(chunks: Iterator[T]) -> Iterator[T]:
    """Yield the chunks of a call that is only streamed for those who listen, and note that they have heard one."""
    attempt = _HANDED.get()
    return chunks if attempt is None else _noted(attempt, chunks)


def _noted(attempt: Attempt, chunks: Iterator[T]) -> Iterator[T]:
    for chunk in chunks:
        attempt.has_failed_unheard = False
        yield chunk


def anoted(chunks: AsyncIterator[T]) -> AsyncIterator[T]:
    """Do what `noted` does for an asynchronous iterator."""
    attempt = _HANDED.get()
    return chunks if attempt is None else _anoted(attempt, chunks)


async def _anoted(attempt: Attempt, chunks: AsyncIterator[T]) -> AsyncIterator[T]:
    async for chunk in chunks:
        attempt.has_failed_unheard = False
        yield chunk


def handed_to(held: SemrouteCache) -> Attempt | None:
    """Return the turn that waits for the model that holds this very view of a cache."""
    attempt = _HANDED.get()
    return attempt if attempt is not None and attempt.take(held) else None

"""Streams of chains: what their chunks add up to, and a stored output in chunks that add up to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessageChunk
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnableSequence,
    RunnableSerializable,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.passthrough import RunnableAssign
from langchain_core.runnables.utils import AddableDict

from langchain_semroute._chain_codec import is_given
from langchain_semroute._codec import MARKER
from langchain_semroute._replay import replay
from langchain_semroute.routed_model import RoutedModel
from semroute.calls.values import Unsure
from semroute.result import Explanation


class Total:
    """The sum of a stream, as LangChain adds it up: what cannot be added stands for all that came before it."""

    def __init__(self, given: object) -> None:
        parts = [given, *(given.values() if isinstance(given, Mapping) else ())]
        self._memo = {id(part): part for part in parts}  # what is handed through stays the same object
        self._count = 0
        self._sum: object = None
        self._doubt: str | None = None

    def add(self, chunk: object) -> None:
        """Add a copy of a chunk, because whoever reads the stream may change his."""
        self._count += 1
        try:
            taken = copy.deepcopy(chunk, dict(self._memo))
        except Exception as error:  # whatever objects are in it: the stream goes on
            self._doubt = f"a chunk cannot be copied: {error}"
            return
        self._sum = taken if self._count == 1 else self._added(taken)

    def value(self) -> object:
        """Return the sum; raises Unsure where a call without streaming might have given something else."""
        if self._count == 0:
            raise Unsure("the stream was empty")
        if self._doubt is not None:
            raise Unsure(self._doubt)
        return self._sum

    def _added(self, chunk: object) -> object:
        if isinstance(chunk, list):
            self._doubt = "a stream of lists may be one of patches"
        try:
            return self._sum + chunk  # type: ignore[operator]  # whether it can be added is the question
        except TypeError:
            if isinstance(chunk, AddableDict | BaseMessageChunk | str):
                self._doubt = f"the chunks of the stream do not add up: {type(chunk).__name__}"
            return chunk


def streams_by_key(runnable: Runnable[object, object]) -> bool:
    """Say whether a chain streams the dict that it answers with key by key."""
    return isinstance(_last(runnable), RunnableParallel | RunnableAssign)


def streams_its_output(runnable: Runnable[object, object]) -> bool:
    """Say whether the chunks of a chain add up to its output, as those of a LangGraph graph do not."""
    return isinstance(_last(runnable), RunnableSerializable | RunnableLambda | RunnableGenerator | RoutedModel)


def _last(runnable: Runnable[object, object]) -> Runnable[object, object]:
    """Return the part of a chain whose chunks are the chain's."""
    match runnable:
        case RunnableSequence():
            return _last(runnable.last)
        case RunnableBindingBase():
            return _last(runnable.bound)
        case RunnableWithFallbacks():
            return _last(runnable.runnable)
        case _:
            return runnable


def replayed(output: object, given: object, characters: int, *, is_by_key: bool) -> Iterator[object]:
    """Yield an output in chunks: text in pieces, a dict key by key where the chain streams it so."""
    if not isinstance(output, dict) or not is_by_key or not output:
        yield from _pieces(output, characters)
        return
    for key, value in output.items():
        pieces = [value] if is_given(given, value) else _pieces(value, characters)
        for piece in pieces:
            yield AddableDict({key: piece})


def marked(output: object, explanation: Explanation | None) -> object:
    """Return an output with how its lookup went, where it is a model's message; others have no place for it."""
    if not isinstance(output, AIMessage) or explanation is None:
        return output
    metadata = {**output.response_metadata, MARKER: explanation.as_dict()}
    return output.model_copy(update={"response_metadata": metadata})


def unmarked(chunk: object) -> object:
    """Return a chunk without the mark of an inner cache: marks of two caches would be added up."""
    if not isinstance(chunk, AIMessageChunk) or MARKER not in chunk.response_metadata:
        return chunk
    kept = {key: value for key, value in chunk.response_metadata.items() if key != MARKER}
    return chunk.model_copy(update={"response_metadata": kept})


def _pieces(value: object, characters: int) -> Iterator[object]:
    match value:
        case str() if value:
            yield from (value[start : start + characters] for start in range(0, len(value), characters))
        case AIMessage():
            for chunk in replay(ChatGeneration(message=value), characters):
                chunk.message.id = value.id
                yield chunk.message
        case _:
            yield value

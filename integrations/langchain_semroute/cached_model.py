"""`cached(model)`: the same chat model, whose every call goes through the cache."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import new_class
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel

from langchain_semroute._mixin import CachedCalls
from langchain_semroute._mixin_streams import (
    BoundStreams,
    CachedAsyncEvents,
    CachedAsyncStream,
    CachedEvents,
    CachedStream,
)
from langchain_semroute.cache import QueryOf, SemrouteCache, cache_of
from semroute.cache import SemanticCache
from semroute.errors import ConfigError

M = TypeVar("M", bound=BaseChatModel)


def cached(
    model: M,
    cache: SemrouteCache | SemanticCache | str | Path | None = None,
    *,
    query: QueryOf | None = None,
    identity: str | None = None,
    replay_chunk_chars: int = 40,
) -> M:
    """Return a copy of a chat model that is served from a cache and fills it: calls, batches, streams, tools, agents.

    The copy is of a subclass of the model's own class. `cache` is a `SemrouteCache`, a core cache, a store's URL or
    None for the default store. `query` finds the user's own words in the messages, where a prompt is a rendered
    template. `identity` names the model where its class does not say which model answers. Streams of hits come in
    pieces of `replay_chunk_chars` characters. Requests of one key that are under way at once share one model call.
    """
    if not isinstance(model, BaseChatModel):
        raise ConfigError(
            f"cached() takes a chat model, not {type(model).__name__}: cache the model first, then bind tools to it; "
            "a RoutedModel caches already"
        )
    if isinstance(replay_chunk_chars, bool) or replay_chunk_chars < 1:
        raise ConfigError(f"replay_chunk_chars must be a whole number of at least 1, not {replay_chunk_chars!r}")
    base = cache_of(cache)
    view = base.view(replace(base.asker, query=query, identity=identity), replay_chunk_chars)
    copy = model.model_copy(update={"cache": view})
    copy.__dict__.pop("_serialized", None)
    if not isinstance(copy, CachedCalls):
        object.__setattr__(copy, "__class__", _cached_class(type(model)))
    return copy


@lru_cache(maxsize=256)
def _cached_class(base: type[BaseChatModel]) -> type[BaseChatModel]:
    """Return the subclass of a model's class whose calls meet the cache; it goes by the name of its base.

    Only what the base can do is laid over: LangChain asks a class whether it has a `_stream` of its own.
    """
    has_stream = base._stream is not BaseChatModel._stream
    has_astream = base._astream is not BaseChatModel._astream
    layers: list[type[Any]] = [CachedCalls, BoundStreams]
    if has_stream:
        layers.append(CachedStream)
    if has_stream or has_astream:
        layers.append(CachedAsyncStream)
    if hasattr(base, "_stream_chat_model_events"):
        layers.append(CachedEvents)
    if hasattr(base, "_astream_chat_model_events"):
        layers.append(CachedAsyncEvents)
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return new_class(base.__name__, (*layers, base), exec_body=lambda body: body.update(names))

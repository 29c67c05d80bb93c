"""`cached(llm)`: the same LLM, whose every call goes through the cache."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import new_class
from typing import Any, Literal, TypeVar

from llama_index.core.llms.llm import LLM
from llama_index.core.llms.structured_llm import StructuredLLM

from llama_index_semroute._cores import CacheLike, checked_pieces, core_of
from llama_index_semroute._llm_identity import ASKER
from llama_index_semroute._llm_mixin import CachedCalls
from llama_index_semroute._llm_request import Asker, QueryOf
from llama_index_semroute._llm_templates import RenderedCalls
from semroute.calls.notices import Notices
from semroute.errors import ConfigError

L = TypeVar("L", bound=LLM)


def cached(
    llm: L,
    cache: CacheLike = None,
    *,
    query: QueryOf | None = None,
    identity: str | None = None,
    replay_chunk_chars: int = 40,
) -> L:
    """Return a copy of an LLM that is served from a cache and fills it: calls, streams, tools, structured output.

    The copy is of a subclass of the LLM's own class. `cache` is a core cache, a store's URL or path, or None for the
    default store. Bare chat is matched by meaning; a rendered template, as query engines and chat engines send it, is
    served to the very same prompt only, unless `query` finds the user's own words in the messages, or
    `semroute.scope(query=…)` names them. `identity` names an LLM whose settings cannot be read. Streams of hits come in
    pieces of `replay_chunk_chars` characters. Requests of one key that are under way at once share one call.

    Copies share the cache. A pickled LLM finds it again where it was named; one whose cache was given as an object
    comes back without, and says so. Raises ConfigError for what is no LLM.
    """
    if isinstance(llm, StructuredLLM):
        raise ConfigError("cached() takes the LLM itself: write cached(llm, …).as_structured_llm(…)")
    if not isinstance(llm, LLM):
        raise ConfigError(f"cached() takes a LlamaIndex LLM, not {type(llm).__name__}")
    name: object = identity
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise ConfigError(f"identity must be a name, or None for none, not {name!r}")
    named: str | Path | Literal[False] | None = cache if cache is None or isinstance(cache, str | Path) else False
    return _laid_over(llm, Asker(core_of(cache), named, query, identity, checked_pieces(replay_chunk_chars)))


def _laid_over(llm: L, asker: Asker) -> L:
    copy = llm.model_copy()
    copy.__dict__[ASKER] = asker
    if not isinstance(copy, CachedCalls):
        object.__setattr__(copy, "__class__", _cached_class(type(llm)))
    return copy


@lru_cache(maxsize=256)
def _cached_class(base: type[LLM]) -> type[LLM]:
    """Return the subclass of an LLM's class whose calls meet the cache; it goes by the name of its base."""

    def reduced(llm: LLM, protocol: object) -> tuple[object, ...]:
        return _restored, _bare(llm, base)

    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    body = {**names, "__reduce_ex__": reduced}
    return new_class(
        base.__name__, (CachedCalls, RenderedCalls, base), exec_body=lambda namespace: namespace.update(body)
    )


def _bare(llm: LLM, base: type[LLM]) -> tuple[Any, ...]:
    """Return an LLM without its cache, and what `_restored` needs to give it one."""
    copy = llm.model_copy()
    asker = copy.__dict__.pop(ASKER, None)
    object.__setattr__(copy, "__class__", base)
    if not isinstance(asker, Asker):
        return copy, False, None, None, 1
    return copy, asker.named, asker.query, asker.identity, asker.replay_chunk_chars


def _restored(
    llm: LLM,
    named: str | Path | Literal[False] | None,
    query: QueryOf | None,
    identity: str | None,
    replay_chunk_chars: int,
) -> LLM:
    """Return an unpickled LLM with the cache that it named."""
    if named is False:
        Notices("semroute.llama_index").tell(
            f"a pickled {type(llm).__name__} came back without its cache: give cached() a store's URL, not a cache"
        )
        return llm
    return cached(llm, named, query=query, identity=identity, replay_chunk_chars=replay_chunk_chars)

"""`cached_chain(chain, corpus=…)`: a RAG chain that is answered before anything is retrieved."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableLike, coerce_to_runnable
from langchain_core.runnables.utils import Input, Output
from pydantic import BaseModel

from langchain_semroute._chain_answer import Keeper, SourcesOf
from langchain_semroute._chain_codec import ChainCodec
from langchain_semroute._chain_input import QueryOf
from langchain_semroute._chain_request import ChainAsker
from langchain_semroute._chain_runnable import CachedChain
from langchain_semroute.cache import SemrouteCache, cache_of
from semroute.cache import SemanticCache
from semroute.errors import ConfigError

__all__ = ["CachedChain", "cached_chain"]


def cached_chain(
    runnable: RunnableLike[Input, Output],
    *,
    corpus: str | None = None,
    corpus_version: str | int | None = None,
    query: QueryOf | None = None,
    cache: SemrouteCache | SemanticCache | str | Path | None = None,
    fingerprint: str | None = None,
    sources: SourcesOf | None = None,
    output: type[BaseModel] | None = None,
    replay_chunk_chars: int = 40,
) -> CachedChain[Input, Output]:
    """Return a runnable that answers as a chain does, out of a cache before anything is retrieved or any model asked.

    `corpus` names the documents that the chain answers from and must be given: two stores with equal settings cannot
    be told apart. `corpus_version` is for those who version them by hand; otherwise answers go by
    `chain.cache.invalidate(doc_ids=[…], corpus=…)`, where a document is known by its id and by `id`, `doc_id` and
    `source` of its metadata.

    `query` names the user's words in the input: a key, or a function of the input. By itself it is the input where that
    is text, the last turn of messages, and of a dict the text under "input", "question" or "query", or the only text
    there is. All the rest of the input is context: it must be equal, as must be what is configured for the call, and
    all that the chain is made of: prompts, models, settings and filters of retrievers, functions. These are read at
    every call. A part that cannot be read (an object or a function that holds one) leaves the chain uncached, which is
    said once, until `fingerprint` stands for it: a text of yours that changes whenever that part does.

    Outputs may be text, JSON, documents, messages and dicts or lists of these; `output` names the pydantic class where
    it is one. What would not come back equal is not kept, which is said once. Parts of the input that the chain hands
    through are on a hit those of the asker. `sources` names the key of the source documents in the output, or is a
    function that returns them or their ids; by itself they are all documents in the output and all that the retrievers
    inside have found. An answer is not kept when a model inside has been cut short or has refused.

    A hit says so in `response_metadata["semroute"]` of a message; other outputs have no place for it. Callback
    handlers are told by a custom event "semroute" (`on_custom_event`), and `explain` says how a lookup would go.
    Streams of hits come in pieces of `replay_chunk_chars` characters. Equal calls that are under way at once share one.
    """
    if not isinstance(corpus, str) or not corpus.strip():
        raise ConfigError(f"name the documents that the chain answers from: corpus='…', not {corpus!r}")
    if isinstance(replay_chunk_chars, bool) or replay_chunk_chars < 1:
        raise ConfigError(f"replay_chunk_chars must be a whole number of at least 1, not {replay_chunk_chars!r}")
    try:
        inner = coerce_to_runnable(cast("Runnable[Input, Output]", runnable))
    except TypeError as error:
        raise ConfigError(f"cached_chain() takes a runnable, not {type(runnable).__name__}") from error
    base = cache_of(cache)
    chain = cast("Runnable[object, object]", inner)
    asker = ChainAsker(chain, query, corpus, corpus_version, fingerprint, output, base.notices)
    return CachedChain(inner, base, asker, Keeper(ChainCodec(output), sources, base), replay_chunk_chars)

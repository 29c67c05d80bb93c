"""The vector of a query, handed down to a retriever that would compute the very same one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.schema import QueryBundle

from llama_index_semroute.embeddings import LlamaIndexEmbedder, SemrouteEmbedding
from semroute.request import fold

if TYPE_CHECKING:
    from llama_index.core.base.base_query_engine import BaseQueryEngine

    from llama_index_semroute._responses import AnyResponse
    from semroute.cache import SemanticCache
    from semroute.calls.call import Call
    from semroute.embedders import Embedder


def handed_down(
    bundle: QueryBundle, engine: BaseQueryEngine, cache: SemanticCache, call: Call[AnyResponse]
) -> QueryBundle:
    """Return a query with the vector that its lookup has computed, where the retriever's model is the cache's own.

    Only for an engine that hands the query as it is to one vector retriever, and a lookup that has compared these very
    words: not some that the application has named in them, and none left out.
    """
    vector = None if call.learnt is None else call.learnt.vector
    if vector is None or bundle.embedding is not None or bundle.custom_embedding_strs:
        return bundle
    words = bundle.query_str
    if call.request.query != words or fold(words) != words or cache.settings.strip:
        return bundle
    retriever = getattr(engine, "retriever", None)
    if not isinstance(retriever, VectorIndexRetriever) or not _is_same(retriever._embed_model, cache.embedder):
        return bundle
    return QueryBundle(words, image_path=bundle.image_path, embedding=vector.tolist())


def _is_same(model: object, embedder: Embedder) -> bool:
    """Say whether an embedding model gives the cache's own vectors, at the length that the cache keeps them in."""
    if isinstance(model, SemrouteEmbedding):
        return model.embedder is embedder or model.embedder.identity == embedder.identity
    return isinstance(embedder, LlamaIndexEmbedder) and embedder.embed_model is model and embedder.is_unit is True

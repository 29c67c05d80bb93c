"""The rival caches, each behind one method: store one question, ask another, in a context that holds nothing else.

Every cache is the real library with the defaults that it ships, but for the embedding: all of them get the vectors of
the same all-MiniLM-L6-v2. A reply has what the library said by its own default threshold, and how similar it says the
stored question is when asked with a threshold that is wide open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Embed = Callable[[str], Vector]

ANYTHING = 2.0
"""The largest cosine distance: a search with it refuses nothing."""
STATIC_THRESHOLD = 0.8


@dataclass(frozen=True, slots=True)
class Reply:
    """What a cache said of one question."""

    similarity: float | None
    """The cosine of the stored question as the cache reports it; None where it finds nothing at all."""
    is_hit: bool


class Peer(Protocol):
    """A cache that is asked one pair at a time."""

    default: str
    """Its own default threshold, in its own words."""

    def ask(self, number: int, stored: str, asked: str) -> Reply:
        """Store one question in an empty context and ask the other."""


class StaticThreshold:
    """A plain cosine over the same vectors: the least that a semantic cache can be."""

    default = f"cosine >= {STATIC_THRESHOLD}"

    def __init__(self, embed: Embed) -> None:
        self._embed = embed

    def ask(self, number: int, stored: str, asked: str) -> Reply:
        similarity = float(self._embed(stored) @ self._embed(asked))
        return Reply(similarity, similarity >= STATIC_THRESHOLD)


class RedisVL:
    """redisvl's SemanticCache: one index, each pair behind a tag filter of its own, which is its way of isolation."""

    def __init__(self, embed: Embed, url: str) -> None:
        from redisvl.extensions.cache.llm import SemanticCache
        from redisvl.utils.vectorize import CustomTextVectorizer

        vectorizer = CustomTextVectorizer(embed=lambda text: embed(text).tolist())
        tag = {"name": "pair", "type": "tag"}
        self._cache = SemanticCache(name="redisvl", vectorizer=vectorizer, redis_url=url, filterable_fields=[tag])
        self.default = f"cosine distance <= {self._cache.distance_threshold}"

    def ask(self, number: int, stored: str, asked: str) -> Reply:
        from redisvl.query.filter import Tag

        own = Tag("pair") == str(number)
        self._cache.store(stored, "the answer", filters={"pair": str(number)})
        found = self._cache.check(asked, filter_expression=own, distance_threshold=ANYTHING)
        similarity = 1.0 - float(found[0]["vector_distance"]) if found else None
        return Reply(similarity, bool(self._cache.check(asked, filter_expression=own)))


class LangChainRedis:
    """langchain-redis' RedisSemanticCache, emptied for each pair.

    It has no filter in its search: entries of another llm_string crowd out the right one and are dropped afterwards, so
    that an index which holds other pairs would turn its hits into misses.
    """

    def __init__(self, embed: Embed, url: str) -> None:
        from langchain_core.embeddings import Embeddings
        from langchain_redis import RedisSemanticCache

        class Vectors(Embeddings):
            def embed_query(self, text: str) -> list[float]:
                return embed(text).tolist()

            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return [self.embed_query(text) for text in texts]

        self._cache = RedisSemanticCache(embeddings=Vectors(), redis_url=url, name="langchain")
        self.default = f"cosine distance <= {self._cache.cache.distance_threshold}"

    def ask(self, number: int, stored: str, asked: str) -> Reply:
        from langchain_core.outputs import Generation

        self._cache.clear()
        self._cache.update(stored, "a model", [Generation(text="the answer")])
        # What it answers says nothing of the distance; the redisvl cache that it searches does.
        found = self._cache.cache.check(asked, distance_threshold=ANYTHING)
        similarity = 1.0 - float(found[0]["vector_distance"]) if found else None
        return Reply(similarity, self._cache.lookup(asked, "a model") is not None)


class GPTCache:
    """GPTCache with SQLite and faiss as `init_similar_cache` sets it up; each pair's entry is evicted before the next.

    Two Cache objects look at the same files: one with the default configuration, one with the threshold 0, whose
    `hit_callback` tells the similarity. GPTCache says s = 1 - d²/4 with d the Euclidean distance of unit vectors,
    which is (1 + cosine) / 2: its default of 0.8 is a cosine of 0.6.
    """

    def __init__(self, embed: Embed, folder: Path) -> None:
        from gptcache import Cache, Config
        from gptcache.adapter.api import init_similar_cache
        from gptcache.embedding.base import BaseEmbedding
        from gptcache.manager import manager_factory

        class Vectors(BaseEmbedding):
            dimension = len(embed("how long is a vector"))

            def to_embeddings(self, data: str, **_: object) -> Vector:
                return embed(data)

        vectors = Vectors()
        self._files = manager_factory(
            "sqlite,faiss", data_dir=str(folder), vector_params={"dimension": vectors.dimension}
        )
        self._by_default, self._wide_open = Cache(), Cache()
        # The token counter fetches its vocabulary from the network; it takes no part in the decision.
        for cache, config in (
            (self._by_default, Config(enable_token_counter=False)),
            (self._wide_open, Config(enable_token_counter=False, similarity_threshold=0.0)),
        ):
            init_similar_cache(cache_obj=cache, embedding=vectors, data_manager=self._files, config=config)
        self.default = f"similarity >= {self._by_default.config.similarity_threshold} on its scale, cosine >= 0.6"

    def ask(self, number: int, stored: str, asked: str) -> Reply:
        from gptcache.adapter.api import get, put

        self._evict_all()
        put(stored, "the answer", cache_obj=self._by_default)
        found: list[tuple[object, float]] = []
        get(asked, cache_obj=self._wide_open, hit_callback=found.extend)
        is_hit = get(asked, cache_obj=self._by_default) is not None
        return Reply(2.0 * found[0][1] - 1.0 if found else None, is_hit)

    def _evict_all(self) -> None:
        ids = self._files.s.get_ids(deleted=False)
        if ids:
            self._files.eviction_manager.soft_evict(ids)
            self._files.eviction_manager.delete()

"""Indices, docstores and ingestion pipelines that take answers out of the cache when their documents change."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from types import new_class
from typing import Any, Final, TypeVar

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices.base import BaseIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.storage.docstore.types import BaseDocumentStore

from llama_index_semroute._cores import CacheLike, core_of
from semroute.cache import SemanticCache
from semroute.documents.nearness import Nearness
from semroute.errors import ConfigError

D = TypeVar("D", bound="BaseIndex[Any] | BaseDocumentStore | IngestionPipeline")

_WATCH: Final = "_semroute_watch"


def watched(
    documents: D,
    *,
    cache: CacheLike,
    corpus: str | None = None,
    nearness: Nearness | None = None,
    retriever: Callable[[], BaseRetriever] | None = None,
) -> D:
    """Return a copy of an index, a docstore or an ingestion pipeline that keeps a cache true to its documents.

    What a changed or deleted document was cited by is removed from the cache, and so is every answer of the corpus
    whose question an added or changed document is near to (see `SemanticCache.invalidate_near`). With
    `retriever`, which makes one that finds the new documents too and is no narrower than that of any engine of the
    corpus (`lambda: index.as_retriever(similarity_top_k=5)`), their questions are retrieved for again, and an answer
    stays where nothing new is found. `corpus` is the name that the query engine has; an index may go without one, as
    its engine may.

    The copy shares the documents themselves with what it was made of; only changes that are made through it are seen.
    They are made first, and answers removed before the call returns: a StoreError then says that the cache could not
    be told, and `cache.invalidate(corpus=…)` makes up for it.

    An index that keeps no nodes in its docstore (a vector store of its own) is watched itself, or its pipeline.
    """
    given: object = documents
    name = given.index_id if corpus is None and isinstance(given, BaseIndex) else corpus
    if name is None:
        raise ConfigError("name the documents, as the query engine does: corpus='handbook'")
    copied = copy.copy(documents)
    copied.__dict__[_WATCH] = Watch(core_of(cache), name, nearness, retriever)
    kind: Any = type(given)
    object.__setattr__(copied, "__class__", _watched_class(kind))
    return copied


class Watch:
    """Tells a cache of what becomes of the documents of a corpus."""

    def __init__(
        self,
        cache: SemanticCache,
        corpus: str,
        nearness: Nearness | None,
        retriever: Callable[[], BaseRetriever] | None,
    ) -> None:
        self._cache = cache
        self._corpus = corpus
        self._nearness = nearness
        self._retriever = retriever

    def gone(self, ids: Iterable[str | None]) -> None:
        """Remove the answers that cite documents, or nodes of them."""
        self._cache.invalidate(doc_ids=[id_ for id_ in ids if id_], corpus=self._corpus)

    def come(self, nodes: Sequence[BaseNode]) -> None:
        """Remove the answers that documents change which are new, or new in this form."""
        new = {id_ for node in nodes for id_ in (node.node_id, node.ref_doc_id)}
        self.gone(new)
        texts = dict.fromkeys(map(_text, nodes))

        retriever = None if self._retriever is None else self._retriever()

        def finds_nothing_new(question: str) -> bool:
            found = [] if retriever is None else retriever.retrieve(question)
            return bool(found) and not any(each.node.node_id in new or each.node.ref_doc_id in new for each in found)

        still_holds = None if retriever is None else finds_nothing_new
        self._cache.invalidate_near(texts, corpus=self._corpus, nearness=self._nearness, still_holds=still_holds)

    def all_gone(self) -> None:
        """Remove every answer of the corpus: nobody knows what has become of its documents."""
        self._cache.invalidate(corpus=self._corpus)

    async def agone(self, ids: Iterable[str | None]) -> None:
        await asyncio.to_thread(self.gone, list(ids))

    async def acome(self, nodes: Sequence[BaseNode]) -> None:
        await asyncio.to_thread(self.come, nodes)


class WatchedDocstore(BaseDocumentStore):
    """Laid over a docstore's class: adding and deleting, with the cache told afterwards."""

    def add_documents(self, docs: Sequence[BaseNode], *args: Any, **kwargs: Any) -> None:
        docs = list(docs)
        new = [node for node in docs if self.get_document_hash(node.node_id) != node.hash]
        super().add_documents(docs, *args, **kwargs)  # type: ignore[safe-super]  # the class that it is laid over has it
        self.__dict__[_WATCH].come(new)

    async def async_add_documents(self, docs: Sequence[BaseNode], *args: Any, **kwargs: Any) -> None:
        docs = list(docs)
        new = [node for node in docs if await self.aget_document_hash(node.node_id) != node.hash]
        await super().async_add_documents(docs, *args, **kwargs)  # type: ignore[safe-super]  # as above
        await self.__dict__[_WATCH].acome(new)

    def delete_document(self, doc_id: str, *args: Any, **kwargs: Any) -> None:
        super().delete_document(doc_id, *args, **kwargs)  # type: ignore[safe-super]  # as above
        self.__dict__[_WATCH].gone([doc_id])

    async def adelete_document(self, doc_id: str, *args: Any, **kwargs: Any) -> None:
        await super().adelete_document(doc_id, *args, **kwargs)  # type: ignore[safe-super]  # as above
        await self.__dict__[_WATCH].agone([doc_id])

    def delete_ref_doc(self, ref_doc_id: str, *args: Any, **kwargs: Any) -> None:
        super().delete_ref_doc(ref_doc_id, *args, **kwargs)  # type: ignore[safe-super]  # as above
        self.__dict__[_WATCH].gone([ref_doc_id])

    async def adelete_ref_doc(self, ref_doc_id: str, *args: Any, **kwargs: Any) -> None:
        await super().adelete_ref_doc(ref_doc_id, *args, **kwargs)  # type: ignore[safe-super]  # as above
        await self.__dict__[_WATCH].agone([ref_doc_id])


class WatchedIndex(BaseIndex[Any]):
    """Laid over an index's class. `insert`, `update_ref_doc` and `refresh_ref_docs` are made of these."""

    def insert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        super().insert_nodes(nodes, **insert_kwargs)
        self.__dict__[_WATCH].come(nodes)

    async def ainsert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        await super().ainsert_nodes(nodes, **insert_kwargs)
        await self.__dict__[_WATCH].acome(nodes)

    def delete_nodes(self, node_ids: list[str], *args: Any, **kwargs: Any) -> None:
        super().delete_nodes(node_ids, *args, **kwargs)
        self.__dict__[_WATCH].gone(node_ids)

    async def adelete_nodes(self, node_ids: list[str], *args: Any, **kwargs: Any) -> None:
        await super().adelete_nodes(node_ids, *args, **kwargs)
        await self.__dict__[_WATCH].agone(node_ids)

    def delete_ref_doc(self, ref_doc_id: str, *args: Any, **kwargs: Any) -> None:
        super().delete_ref_doc(ref_doc_id, *args, **kwargs)
        self.__dict__[_WATCH].gone([ref_doc_id])

    async def adelete_ref_doc(self, ref_doc_id: str, *args: Any, **kwargs: Any) -> None:
        await super().adelete_ref_doc(ref_doc_id, *args, **kwargs)
        await self.__dict__[_WATCH].agone([ref_doc_id])


class WatchedPipeline(IngestionPipeline):
    """Laid over a pipeline's class: the cache is told when a run has ended, with the vector store up to date.

    A run that fails may have taken documents away before: then all answers of the corpus go.
    """

    def run(self, *args: Any, **kwargs: Any) -> Sequence[BaseNode]:
        watch, before = self.__dict__[_WATCH], self._known()
        try:
            nodes = super().run(*args, **kwargs)
        except BaseException:
            watch.all_gone()
            raise
        watch.gone(before - self._known())
        watch.come(nodes)
        return nodes

    async def arun(self, *args: Any, **kwargs: Any) -> Sequence[BaseNode]:
        watch, before = self.__dict__[_WATCH], await asyncio.to_thread(self._known)
        try:
            nodes = await super().arun(*args, **kwargs)
        except BaseException:
            watch.all_gone()
            raise
        await watch.agone(before - await asyncio.to_thread(self._known))
        await watch.acome(nodes)
        return nodes

    def _known(self) -> set[str]:
        """Return the ids of the documents that the pipeline's docstore knows."""
        return set() if self.docstore is None else set(self.docstore.get_all_document_hashes().values())


def _text(node: BaseNode) -> str:
    """Return the text of a node, under the title that its metadata name."""
    title, text = node.metadata.get("title"), node.get_content(MetadataMode.NONE)
    return f"{title}\n\n{text}" if isinstance(title, str) and title else text


@lru_cache(maxsize=64)
def _watched_class(base: type) -> type:
    """Return the subclass of a class whose changes the cache is told of; it goes by the name of its base."""
    layers: tuple[tuple[type, type], ...] = (
        (BaseIndex, WatchedIndex),
        (BaseDocumentStore, WatchedDocstore),
        (IngestionPipeline, WatchedPipeline),
    )
    layer = next(layer for kind, layer in layers if issubclass(base, kind))
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return new_class(base.__name__, (layer, base), exec_body=lambda body: body.update(names))

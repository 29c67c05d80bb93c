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
from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore.types import BaseDocumentStore

from llama_index_semroute._cores import CacheLike, checked_name, core_of
from llama_index_semroute._watch import Watch
from semroute.documents.nearness import Nearness
from semroute.errors import ConfigError
from semroute.request import content_digest

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

    What was made from a changed or deleted document is removed from the cache, and so is every answer of the corpus
    whose question an added or changed document is near to (see `SemanticCache.invalidate_near`), or that was made from
    fewer documents than its retriever may find. With `retriever`, which makes one that finds the new documents too and
    is no narrower than that of any engine of the corpus (`lambda: index.as_retriever(similarity_top_k=5)`), near
    questions are retrieved for again, and their answers stay where nothing new is found. `corpus` is the name that the
    query engine has; an index may go without one, as its engine may.

    The copy shares the documents themselves with what it was made of; only changes that are made through the copy are
    seen. They are made first, and answers removed before the call returns: a StoreError then says that the cache could
    not be told, and `cache.invalidate(corpus=…)` makes up for it.

    An index that keeps no nodes in its docstore (a vector store of its own) is watched itself, or its pipeline.
    """
    given: object = documents
    if not isinstance(given, BaseIndex | BaseDocumentStore | IngestionPipeline):
        raise ConfigError(f"watched() takes an index, a docstore or an IngestionPipeline, not {type(given).__name__}")
    checked_name("corpus", corpus)
    if retriever is not None and not callable(retriever):
        raise ConfigError("retriever must make one when it is called: lambda: index.as_retriever(similarity_top_k=5)")
    names = [name for name in (corpus, given.index_id if isinstance(given, BaseIndex) else None) if name is not None]
    if not names:
        raise ConfigError("name the documents, as the query engine does: corpus='handbook'")
    copied = copy.copy(documents)
    copied.__dict__[_WATCH] = Watch(core_of(cache), names, nearness, retriever)
    kind: Any = type(given)
    object.__setattr__(copied, "__class__", _watched_class(kind))
    return copied


def version_of(documents: Iterable[BaseNode]) -> str:
    """Return a name for documents that changes whenever one of them does, in text or metadata, comes or goes.

    For `SemanticCacheQueryEngine(…, corpus_version=version_of(documents))`, where an index is built anew at each start:
    answers to the same documents are found again, those to other ones are not. Their order and ids do not matter.
    """
    return content_digest("\n".join(sorted(document.hash for document in documents)))


class WatchedDocstore(BaseDocumentStore):
    """Laid over a docstore's class: adding and deleting, with the cache told afterwards."""

    def add_documents(self, docs: Sequence[BaseNode], *args: Any, **kwargs: Any) -> None:
        docs = list(docs)
        new = [node for node in docs if self.get_document_hash(node.node_id) != node.hash]
        with _watch(self).telling() as changes:
            super().add_documents(docs, *args, **kwargs)  # type: ignore[safe-super]  # the class below has it
            changes.gain(new)

    async def async_add_documents(self, docs: Sequence[BaseNode], *args: Any, **kwargs: Any) -> None:
        docs = list(docs)
        new = [node for node in docs if await self.aget_document_hash(node.node_id) != node.hash]
        async with _watch(self).atelling() as changes:
            await super().async_add_documents(docs, *args, **kwargs)  # type: ignore[safe-super]  # as above
            changes.gain(new)

    def delete_document(self, doc_id: str, *args: Any, **kwargs: Any) -> None:
        with _watch(self).telling() as changes:
            super().delete_document(doc_id, *args, **kwargs)  # type: ignore[safe-super]  # as above
            changes.lose([doc_id])

    async def adelete_document(self, doc_id: str, *args: Any, **kwargs: Any) -> None:
        async with _watch(self).atelling() as changes:
            await super().adelete_document(doc_id, *args, **kwargs)  # type: ignore[safe-super]  # as above
            changes.lose([doc_id])

    def delete_ref_doc(self, ref_doc_id: str, *args: Any, **kwargs: Any) -> None:
        with _watch(self).telling() as changes:
            super().delete_ref_doc(ref_doc_id, *args, **kwargs)  # type: ignore[safe-super]  # as above
            changes.lose([ref_doc_id])

    async def adelete_ref_doc(self, ref_doc_id: str, *args: Any, **kwargs: Any) -> None:
        async with _watch(self).atelling() as changes:
            await super().adelete_ref_doc(ref_doc_id, *args, **kwargs)  # type: ignore[safe-super]  # as above
            changes.lose([ref_doc_id])


class WatchedIndex(BaseIndex[Any]):
    """Laid over an index's class. What is made of several changes is told of when the last of them is made."""

    def insert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        with _watch(self).telling() as changes:
            super().insert_nodes(nodes, **insert_kwargs)
            changes.gain(nodes)

    async def ainsert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        async with _watch(self).atelling() as changes:
            await super().ainsert_nodes(nodes, **insert_kwargs)
            changes.gain(nodes)

    def delete_nodes(self, node_ids: list[str], *args: Any, **kwargs: Any) -> None:
        with _watch(self).telling() as changes:
            super().delete_nodes(node_ids, *args, **kwargs)
            changes.lose(node_ids)

    async def adelete_nodes(self, node_ids: list[str], *args: Any, **kwargs: Any) -> None:
        async with _watch(self).atelling() as changes:
            await super().adelete_nodes(node_ids, *args, **kwargs)
            changes.lose(node_ids)

    def delete_ref_doc(self, ref_doc_id: str, *args: Any, **kwargs: Any) -> None:
        with _watch(self).telling() as changes:
            super().delete_ref_doc(ref_doc_id, *args, **kwargs)
            changes.lose([ref_doc_id])

    async def adelete_ref_doc(self, ref_doc_id: str, *args: Any, **kwargs: Any) -> None:
        async with _watch(self).atelling() as changes:
            await super().adelete_ref_doc(ref_doc_id, *args, **kwargs)
            changes.lose([ref_doc_id])

    def update_ref_doc(self, *args: Any, **kwargs: Any) -> None:
        with _watch(self).telling():
            super().update_ref_doc(*args, **kwargs)

    async def aupdate_ref_doc(self, *args: Any, **kwargs: Any) -> None:
        async with _watch(self).atelling():
            await super().aupdate_ref_doc(*args, **kwargs)

    def refresh_ref_docs(self, *args: Any, **kwargs: Any) -> list[bool]:
        with _watch(self).telling():
            return super().refresh_ref_docs(*args, **kwargs)

    async def arefresh_ref_docs(self, *args: Any, **kwargs: Any) -> list[bool]:
        async with _watch(self).atelling():
            return await super().arefresh_ref_docs(*args, **kwargs)


class WatchedPipeline(IngestionPipeline):
    """Laid over a pipeline's class: the cache is told when a run has ended, with the vector store up to date.

    A run that fails may have taken documents away before: then all answers of the corpus go.
    """

    def run(self, *args: Any, **kwargs: Any) -> Sequence[BaseNode]:
        before = self._known()
        try:
            nodes = super().run(*args, **kwargs)
        except BaseException:  # an interrupt or a cancellation too: documents may be gone already
            _watch(self).all_gone()
            raise
        with _watch(self).telling() as changes:
            changes.lose(before - self._known())
            changes.gain(nodes)
        return nodes

    async def arun(self, *args: Any, **kwargs: Any) -> Sequence[BaseNode]:
        before = await asyncio.to_thread(self._known)
        try:
            nodes = await super().arun(*args, **kwargs)
        except BaseException:  # an interrupt or a cancellation too: documents may be gone already
            _watch(self).all_gone()
            raise
        async with _watch(self).atelling() as changes:
            changes.lose(before - await asyncio.to_thread(self._known))
            changes.gain(nodes)
        return nodes

    def _known(self) -> set[str]:
        """Return the ids of the documents that the pipeline's docstore knows."""
        return set() if self.docstore is None else set(self.docstore.get_all_document_hashes().values())


_LAYERS: Final[tuple[tuple[type, type], ...]] = (
    (BaseIndex, WatchedIndex),
    (BaseDocumentStore, WatchedDocstore),
    (IngestionPipeline, WatchedPipeline),
)


def _watch(documents: object) -> Watch:
    watch: Watch = vars(documents)[_WATCH]
    return watch


@lru_cache(maxsize=64)
def _watched_class(base: type) -> type:
    """Return the subclass of a class whose changes the cache is told of; it goes by the name of its base."""
    layer = next(layer for kind, layer in _LAYERS if issubclass(base, kind))
    if issubclass(base, layer):
        return base
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return new_class(base.__name__, (layer, base), exec_body=lambda body: body.update(names))

"""What becomes of the documents of a corpus, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import BaseNode, MetadataMode

from semroute.cache import SemanticCache
from semroute.calls.notices import Notices
from semroute.documents.nearness import Nearness


@dataclass(slots=True)
class Changes:
    """Documents that came or went, by their ids; those that came with their texts."""

    gone: set[str] = field(default_factory=set)
    new: set[str] = field(default_factory=set)
    texts: dict[str, None] = field(default_factory=dict)

    def lose(self, ids: Iterable[str | None]) -> None:
        self.gone.update(id_ for id_ in ids if id_)

    def gain(self, nodes: Sequence[BaseNode]) -> None:
        self.new.update(id_ for node in nodes for id_ in (node.node_id, node.ref_doc_id) if id_)
        self.texts.update(dict.fromkeys(map(_text, nodes)))


class Watch:
    """Tells a cache of what becomes of the documents of a corpus, under each name that it has."""

    def __init__(
        self,
        cache: SemanticCache,
        names: Sequence[str],
        nearness: Nearness | None,
        retriever: Callable[[], BaseRetriever] | None,
    ) -> None:
        self._cache = cache
        self._names = names
        self._nearness = nearness
        self._retriever = retriever
        self._notices = Notices("semroute.llama_index")

    @contextmanager
    def telling(self) -> Iterator[Changes]:
        """Take down the changes of a block, and tell of them when the outermost one ends, however it does."""
        with self._taking_down() as (changes, is_outermost):
            try:
                yield changes
            finally:
                if is_outermost:
                    self.tell(changes)

    @asynccontextmanager
    async def atelling(self) -> AsyncIterator[Changes]:
        """Do what `telling` does, without blocking the event loop."""
        with self._taking_down() as (changes, is_outermost):
            try:
                yield changes
            finally:
                if is_outermost:
                    await asyncio.to_thread(self.tell, changes)

    @contextmanager
    def _taking_down(self) -> Iterator[tuple[Changes, bool]]:
        under_way = _UNDER_WAY.get()
        if under_way is not None and under_way[0] is self:
            yield under_way[1], False
            return
        changes = Changes()
        token = _UNDER_WAY.set((self, changes))
        try:
            yield changes, True
        finally:
            _UNDER_WAY.reset(token)

    def tell(self, changes: Changes) -> None:
        """Remove the answers that changes have made wrong. Raises StoreError and EmbedderError."""
        ids = changes.gone | changes.new
        for name in self._names:
            if ids:
                self._cache.invalidate(doc_ids=ids, corpus=name)
            if changes.texts:
                self._cache.invalidate_near(
                    changes.texts, corpus=name, nearness=self._nearness, still_holds=self._still_holds(changes.new)
                )

    def all_gone(self) -> None:
        """Remove every answer of the corpus: nobody knows what has become of its documents."""
        for name in self._names:
            self._cache.invalidate(corpus=name)

    def _still_holds(self, new: set[str]) -> Callable[[str], bool] | None:
        """Return who says whether the answer to a question stays: where the retriever finds nothing new."""
        if self._retriever is None:
            return None
        make = self._retriever

        def finds_nothing_new(question: str) -> bool:
            try:
                found = make().retrieve(question)
            except Exception as error:  # the application's own, or a vector store's: the answer goes
                self._notices.tell(
                    f"retrieving again failed, near answers are removed: {type(error).__name__}: {error}"
                )
                return False
            return bool(found) and not any({each.node.node_id, each.node.ref_doc_id} & new for each in found)

        return finds_nothing_new


_UNDER_WAY: ContextVar[tuple[Watch, Changes] | None] = ContextVar("semroute_changes_under_way", default=None)


def _text(node: BaseNode) -> str:
    """Return the text of a node, under the title that its metadata name."""
    title, text = node.metadata.get("title"), node.get_content(MetadataMode.NONE)
    return f"{title}\n\n{text}" if isinstance(title, str) and title else text

"""What becomes of cached answers when the documents behind them change, go, or are joined by others."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest
from llama_index.core import Document, StorageContext, SummaryIndex, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index_semroute.documents import version_of, watched
from llama_index_semroute.embeddings import SemrouteEmbedding
from llama_index_semroute.query_engine import SemanticCacheQueryEngine

from semroute import ConfigError, SemanticCache
from semroute.documents.nearness import Nearness
from semroute.errors import StoreError
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.embedders import HashEmbedder
from semroute.testing.stores import FailingStore

from .handbook import PAGES, ReadingLLM, index_of

QUESTIONS = {
    "parking": "Where do visitors park?",
    "kitchen": "Is there a dishwasher in the kitchen?",
    "badges": "What does a new badge cost?",
    "travel": "Are trains booked in second class?",
}


def engine_of(index: Any, cache: SemanticCache, corpus: str | None = "handbook") -> SemanticCacheQueryEngine:
    inner = index.as_query_engine(llm=ReadingLLM(), similarity_top_k=1)
    return SemanticCacheQueryEngine(inner, cache=cache, corpus=corpus)


def fill(engine: SemanticCacheQueryEngine) -> None:
    for page, question in QUESTIONS.items():
        response = engine.query(question)
        assert response.source_nodes[0].node.metadata["page"] == page


def left(engine: SemanticCacheQueryEngine) -> set[str]:
    return {page for page, question in QUESTIONS.items() if engine.explain(question).explanation.tier == "l1"}


class TestIndex:
    def test_a_deleted_document_takes_its_answers_along(self, cache) -> None:
        index = watched(index_of(), cache=cache, corpus="handbook")
        engine = engine_of(index, cache)
        fill(engine)
        index.delete_ref_doc("badges")
        assert left(engine) == {"parking", "kitchen", "travel"}

    def test_a_changed_document_takes_its_answers_along(self, cache) -> None:
        index = watched(index_of(), cache=cache, corpus="handbook")
        fill(engine_of(index, cache))
        changed = Document(text="A new badge costs twelve euros.", doc_id="badges", metadata={"page": "badges"})
        unchanged = Document(text=PAGES["travel"], doc_id="travel", metadata={"page": "travel"})
        assert index.refresh_ref_docs([changed, unchanged]) == [True, False]
        engine = engine_of(index, cache)
        assert left(engine) == {"parking", "kitchen", "travel"}
        assert "twelve" in engine.query(QUESTIONS["badges"]).source_nodes[0].node.text

    def test_an_added_document_takes_the_answers_along_whose_questions_it_is_near_to(self, cache) -> None:
        index = watched(index_of(), cache=cache, corpus="handbook")
        fill(engine_of(index, cache))
        index.insert(Document(text="Visitors park where they like on Sundays.", doc_id="sundays"))
        assert left(engine_of(index, cache)) == {"kitchen", "badges", "travel"}

    def test_a_retriever_spares_the_answers_to_which_nothing_new_is_found(self, cache) -> None:
        plain = index_of()
        fill(engine_of(plain, cache))
        retriever = partial(plain.as_retriever, similarity_top_k=1)
        index = watched(plain, cache=cache, corpus="handbook", retriever=retriever, nearness=Nearness(at_least=0.3))
        index.insert(Document(text="Where do visitors park the dishwasher?", doc_id="more"))
        assert left(engine_of(index, cache)) == {"kitchen", "badges", "travel"}
        without = watched(plain, cache=cache, corpus="handbook", nearness=Nearness(at_least=0.3))
        without.insert(Document(text="There is a second dishwasher in the garage.", doc_id="garage"))
        assert left(engine_of(index, cache)) == {"badges", "travel"}

    async def test_the_asynchronous_side_does_the_same(self, cache) -> None:
        index = watched(index_of(), cache=cache, corpus="handbook")
        fill(engine_of(index, cache))
        await index.adelete_ref_doc("badges")
        await index.ainsert(Document(text="Visitors park where they like on Sundays.", doc_id="sundays"))
        assert left(engine_of(index, cache)) == {"kitchen", "travel"}

    def test_nodes_can_be_deleted_one_by_one(self, cache) -> None:
        index = watched(index_of(), cache=cache, corpus="handbook")
        engine = engine_of(index, cache)
        fill(engine)
        index.delete_nodes(index.ref_doc_info["kitchen"].node_ids)
        assert left(engine) == {"parking", "badges", "travel"}

    def test_an_index_needs_no_name_where_its_engine_has_none(self, cache) -> None:
        index = watched(index_of(), cache=cache)
        fill(engine_of(index, cache, corpus=None))
        index.delete_ref_doc("badges")
        index.insert(Document(text="Visitors park where they like on Sundays.", doc_id="sundays"))
        assert left(engine_of(index, cache, corpus=None)) == {"kitchen", "travel"}

    def test_another_corpus_keeps_its_answers(self, cache) -> None:
        index = watched(index_of(), cache=cache, corpus="handbook")
        other = engine_of(index_of(), cache, "handbook of the other house")
        fill(engine_of(index, cache))
        fill(other)
        index.delete_ref_doc("badges")
        index.insert(Document(text="Visitors park where they like on Sundays.", doc_id="sundays"))
        assert left(other) == set(QUESTIONS)

    def test_what_another_process_changes_is_gone_at_our_next_query(self, make_cache, run_python, tmp_path) -> None:
        cache = make_cache(f"sqlite:///{tmp_path}/answers.db", clock=time.time)
        engine = engine_of(index_of(), cache)
        fill(engine)
        run_python(f"""
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index_semroute import watched
from semroute import SemanticCache
from semroute.testing.embedders import HashEmbedder

cache = SemanticCache("sqlite:///{tmp_path}/answers.db", embedder=HashEmbedder())
documents = [Document(text="A badge.", doc_id="badges")]
index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(2))
index = watched(index, cache=cache, corpus="handbook")
index.delete_ref_doc("badges")
index.insert(Document(text="Visitors park where they like on Sundays.", doc_id="sundays"))
cache.close()
""")
        assert left(engine) == {"kitchen", "travel"}


class TestDocstore:
    def index(self, cache: SemanticCache) -> Any:
        docstore = watched(SimpleDocumentStore(), cache=cache, corpus="handbook")
        return VectorStoreIndex.from_documents(
            [Document(text=text, doc_id=name, metadata={"page": name}) for name, text in PAGES.items()],
            embed_model=SemrouteEmbedding(HashEmbedder()),
            storage_context=StorageContext.from_defaults(docstore=docstore),
        )

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    async def test_it_sees_what_comes_and_goes(self, cache, is_async) -> None:
        index = self.index(cache)
        fill(engine_of(index, cache))
        new = TextNode(text="Visitors park where they like on Sundays.", id_="sundays")
        (travel,) = index.ref_doc_info["travel"].node_ids
        if is_async:
            await index.docstore.adelete_ref_doc("badges")
            await index.docstore.async_add_documents([new])
            await index.docstore.adelete_document(travel)
        else:
            index.docstore.delete_ref_doc("badges")
            index.docstore.add_documents([new])
            index.docstore.delete_document(travel)
        assert left(engine_of(index, cache)) == {"kitchen"}

    def test_what_is_added_again_as_it_was_removes_nothing(self, cache) -> None:
        index = self.index(cache)
        engine = engine_of(index, cache)
        fill(engine)
        index.docstore.add_documents(list(index.docstore.docs.values()), allow_update=True)
        assert left(engine) == set(QUESTIONS)

    def test_it_is_the_docstore_that_it_was_made_of(self, cache, tmp_path) -> None:
        plain = SimpleDocumentStore()
        docstore = watched(plain, cache=cache, corpus="handbook")
        docstore.add_documents([TextNode(text="x", id_="n")])
        assert isinstance(docstore, SimpleDocumentStore)
        assert plain.document_exists("n")
        docstore.persist(str(tmp_path / "docstore.json"))
        assert SimpleDocumentStore.from_persist_path(str(tmp_path / "docstore.json")).document_exists("n")


class TestIngestionPipeline:
    def documents(self, **changed: str) -> list[Document]:
        pages = {**PAGES, **changed}
        return [Document(text=text, doc_id=name, metadata={"page": name}) for name, text in pages.items() if text]

    def pipeline(self, cache: SemanticCache, **parts: Any) -> IngestionPipeline:
        made = IngestionPipeline(
            **{
                "transformations": [SemrouteEmbedding(HashEmbedder())],
                "vector_store": SimpleVectorStore(),
                "docstore": SimpleDocumentStore(),
                "docstore_strategy": DocstoreStrategy.UPSERTS_AND_DELETE,
                **parts,
            }
        )
        return watched(made, cache=cache, corpus="handbook")

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    async def test_a_run_removes_what_it_made_wrong(self, cache, is_async) -> None:
        pipeline = self.pipeline(cache)

        async def run(documents: list[Document]) -> None:
            if is_async:
                await pipeline.arun(documents=documents)
            else:
                await asyncio.to_thread(pipeline.run, documents=documents)

        await run(self.documents())
        engine = engine_of(index_of(), cache)
        fill(engine)
        await run(self.documents())
        assert left(engine) == set(QUESTIONS)
        await run(self.documents(badges="A new badge costs twelve euros.", travel=""))
        assert left(engine) == {"parking", "kitchen"}
        await run(self.documents(badges="A new badge costs twelve euros.", travel="", more="Visitors park on Sundays."))
        assert left(engine) == {"kitchen"}

    def test_a_run_that_fails_removes_all_answers_of_its_corpus(self, cache) -> None:
        class Broken(SemrouteEmbedding):
            def __call__(self, nodes: Any, **kwargs: Any) -> Any:
                raise RuntimeError("the model is gone")

        pipeline = self.pipeline(cache)
        pipeline.run(documents=self.documents())
        engine = engine_of(index_of(), cache)
        fill(engine)
        pipeline.transformations = [Broken(HashEmbedder())]
        with pytest.raises(RuntimeError, match="the model is gone"):
            pipeline.run(documents=self.documents(badges="A new badge costs twelve euros."))
        assert left(engine) == set()

    def test_a_pipeline_without_a_docstore_tells_of_all_that_it_reads(self, cache) -> None:
        pipeline = self.pipeline(cache, docstore=None)
        engine = engine_of(index_of(), cache)
        fill(engine)
        pipeline.run(documents=[Document(text="A new badge costs twelve euros.", doc_id="badges")])
        assert left(engine) == {"parking", "kitchen", "travel"}


def test_documents_without_a_name_are_refused(cache) -> None:
    with pytest.raises(ConfigError, match="corpus="):
        watched(SimpleDocumentStore(), cache=cache)


@pytest.mark.parametrize(
    "made",
    [
        lambda cache: watched("handbook", cache=cache, corpus="handbook"),
        lambda cache: watched(index_of().as_query_engine(llm=ReadingLLM()), cache=cache, corpus="handbook"),
        lambda cache: watched(index_of(), cache=cache, corpus=3),
        lambda cache: watched(index_of(), cache=cache, retriever=index_of().as_retriever()),
        lambda cache: cache.invalidate_near("one text", corpus="handbook"),
    ],
    ids=["text", "engine", "corpus", "retriever", "lone text"],
)
def test_what_cannot_be_meant_is_refused(cache, made) -> None:
    with pytest.raises(ConfigError):
        made(cache)


def test_watching_again_changes_nothing(cache) -> None:
    index = watched(watched(index_of(), cache=cache, corpus="handbook"), cache=cache, corpus="handbook")
    engine = engine_of(index, cache)
    fill(engine)
    index.delete_ref_doc("badges")
    assert left(engine) == {"parking", "kitchen", "travel"}


def test_an_engine_and_a_watch_that_name_the_documents_apart_still_go_together(cache) -> None:
    plain = index_of()
    for corpus in ("handbook", None):
        fill(engine_of(plain, cache, corpus))
    watched(plain, cache=cache, corpus="the handbook").delete_ref_doc("badges")
    for corpus in ("handbook", None):
        assert left(engine_of(plain, cache, corpus)) == {"parking", "kitchen", "travel"}


@pytest.mark.parametrize("kind", [SummaryIndex, VectorStoreIndex], ids=["reads all", "few documents"])
def test_what_was_made_from_all_there_was_goes_with_every_addition(cache, kind) -> None:
    documents = [Document(text=text, doc_id=name) for name, text in PAGES.items()]
    index = watched(kind.from_documents(documents, embed_model=SemrouteEmbedding(HashEmbedder())), cache=cache)
    wide = {} if kind is SummaryIndex else {"similarity_top_k": 5}

    def asked() -> str:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=ReadingLLM(), **wide), cache=cache)
        return engine.query("Summarise the handbook.").metadata["semroute"]["tier"]

    assert [asked(), asked()] == ["miss", "l1"]
    index.insert(Document(text="Zebras are striped.", doc_id="zebras"))
    assert asked() == "miss"


def test_a_change_of_several_steps_is_made_before_the_cache_is_told(make_cache) -> None:
    store = FailingStore(EmbeddedStore("memory://"), frozenset({"delete"}))
    index = watched(index_of(), cache=make_cache(store), corpus="handbook")
    with pytest.raises(StoreError):
        index.update_ref_doc(Document(text="A new badge costs twelve euros.", doc_id="badges"))
    nodes = index.docstore.get_nodes(index.ref_doc_info["badges"].node_ids)
    assert [node.get_content() for node in nodes] == ["A new badge costs twelve euros."]


def test_where_retrieving_again_fails_near_answers_go_and_it_is_said(cache, caplog) -> None:
    def broken() -> Any:
        raise RuntimeError("no such index")

    index = watched(index_of(), cache=cache, corpus="handbook", retriever=broken)
    fill(engine_of(index, cache))
    index.insert(Document(text="Visitors park where they like on Sundays.", doc_id="sundays"))
    assert left(engine_of(index, cache)) == {"kitchen", "badges", "travel"}
    assert "retrieving again failed" in caplog.text


def test_a_version_is_that_of_the_documents_whatever_their_ids_and_order() -> None:
    texts = list(PAGES.values())
    one, other = ([Document(text=text) for text in order] for order in (texts, texts[::-1]))
    assert version_of(one) == version_of(other)
    assert version_of(one) != version_of(one[1:])
    assert version_of(one) != version_of([*one[1:], Document(text="changed")])


def test_a_cache_that_cannot_be_told_says_so_after_the_change(make_cache) -> None:
    store = FailingStore(EmbeddedStore("memory://"))
    cache = make_cache(store)
    index = watched(index_of(), cache=cache, corpus="handbook")
    store.failing = frozenset({"delete"})
    with pytest.raises(StoreError):
        index.delete_ref_doc("badges")
    assert not index.docstore.document_exists("badges")

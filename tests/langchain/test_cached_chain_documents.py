"""Answers of a chain go with the documents that they were made from."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_semroute import cached_chain

from semroute import SemanticCache

from .rag import ASKED, format_docs, indexed, rag, retrieval_chain

DOGS = "what tricks do dogs fetch"


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
@pytest.mark.parametrize("name", ["cats", "cats.md"])
async def test_an_answer_in_plain_text_goes_with_a_document_that_was_found(
    openai: Any, stub: Any, cache: SemanticCache, way: str, name: str
) -> None:
    retriever = indexed([Document("cats do sleep", id="cats", metadata={"source": "cats.md"})]).as_retriever()
    chain = cached_chain(rag(openai, retriever), corpus="pets", cache=cache)
    match way:
        case "invoke":
            chain.invoke(ASKED)
        case "stream":
            list(chain.stream(ASKED))
        case "ainvoke":
            await chain.ainvoke(ASKED)
        case _:
            [piece async for piece in chain.astream(ASKED)]
    assert cache.invalidate(doc_ids=["dogs"], corpus="pets") == 0
    assert cache.invalidate(doc_ids=[name], corpus="zoo") == 0
    assert chain.explain(ASKED).explanation.tier == "l1"
    assert chain.cache.invalidate(doc_ids=[name], corpus="pets") == 1
    assert chain.explain(ASKED).explanation.tier == "miss"
    assert stub.calls == 1


def test_an_answer_goes_with_the_sources_in_the_output(parrot: Any, cache: SemanticCache) -> None:
    def found(text: str) -> dict[str, Any]:
        return {"answer": "Forty-two.", "sources": [(Document("six by nine", metadata={"doc_id": 7}), 0.5)]}

    chain = cached_chain(RunnableLambda(found), corpus="pets", cache=cache)
    fresh = chain.invoke(ASKED)
    assert chain.invoke(ASKED) == fresh
    assert cache.invalidate(doc_ids=["7"]) == 1


@pytest.mark.parametrize("sources", ["context", lambda output: ["cats"], lambda output: output["context"][:1]])
def test_the_application_can_say_where_the_sources_are(openai: Any, cache: SemanticCache, sources: Any) -> None:
    chain = cached_chain(retrieval_chain(openai), corpus="pets", cache=cache, sources=sources)
    fresh = chain.invoke({"input": DOGS})
    named = fresh["context"][0].id if not callable(sources) or sources(fresh) != ["cats"] else "cats"
    assert cache.invalidate(doc_ids=["nobody"]) == 0
    assert cache.invalidate(doc_ids=[named]) == 1


def test_documents_without_a_name_go_with_their_corpus(
    parrot: Any, cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    def found(text: str) -> list[Document]:
        return [Document("six by nine")]

    chain = cached_chain(RunnableLambda(found), corpus="pets", cache=cache)
    assert chain.invoke(ASKED) == chain.invoke(ASKED) == [Document("six by nine")]
    assert "invalidate the answers that are made from it by their corpus" in caplog.text
    assert format_docs(chain.invoke(ASKED)) == "six by nine"
    assert cache.invalidate(corpus="zoo") == 0
    assert cache.invalidate(corpus="pets") == 1


def test_a_document_that_changes_while_the_chain_answers_is_not_forgotten(parrot: Any, cache: SemanticCache) -> None:
    chain = cached_chain(rag(parrot), corpus="pets", cache=cache)
    parrot.before = lambda words: cache.invalidate(corpus="pets")
    chain.invoke(ASKED)
    assert chain.explain(ASKED).explanation.tier == "miss"


def test_documents_that_json_cannot_hold_keep_their_answers_out(openai: Any, stub: Any, cache: SemanticCache) -> None:
    opaque = [Document("cats do sleep", id="cats", metadata={"made_by": object})]
    chain = cached_chain(retrieval_chain(openai, indexed(opaque).as_retriever()), corpus="pets", cache=cache)
    assert [chain.invoke({"input": ASKED})["context"] for _ in range(2)] == [opaque] * 2
    assert stub.calls == 2

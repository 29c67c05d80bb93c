"""cached_chain(chain): a RAG chain, answered before anything is retrieved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_openai import ChatOpenAI
from langchain_semroute import SemrouteCache, cached, cached_chain
from pydantic import BaseModel

import semroute
from semroute import ConfigError, SemanticCache
from semroute.embedders.onnx import OnnxEmbedder
from semroute.stores.embedded import EmbeddedStore
from semroute.telemetry import CallEvent, Event
from semroute.testing.stores import FailingStore

from .rag import ASKED, SAME_IN_OTHER_WORDS, Runs, format_docs, indexed, rag, retrieval_chain

MakeCache = Callable[..., SemanticCache]


class Tokens:
    """Takes down the tokens that models are paid for."""

    def __init__(self, counted: list[int]) -> None:
        self._counted = counted

    def on(self, event: Event) -> None:
        if isinstance(event, CallEvent):
            self._counted.append(0 if event.answer.usage is None else event.answer.usage.total_tokens)


class Fact(BaseModel):
    subject: str
    number: int = 1


def test_a_paraphrase_is_answered_before_anything_is_retrieved(openai: ChatOpenAI, tmp_path: Any) -> None:
    """With the parts that everybody has: the default embedder and verifier, and a store on disk."""
    core = SemanticCache(tmp_path / "answers.db")
    embedder = OnnxEmbedder()
    documents = [
        Document("To reset your password, open Settings and press Reset.", id="reset"),
        Document("Invoices are sent on the first of each month.", id="invoices"),
    ]
    retriever = indexed(documents, embedder).as_retriever(search_kwargs={"k": 1})
    chain = cached_chain(rag(openai, retriever), corpus="handbook", cache=core)
    runs = Runs()
    fresh = chain.invoke("How do I reset my password?", {"callbacks": [runs]})
    assert "press Reset" in fresh
    assert (runs.retrievals, runs.models) == (1, 1)
    assert chain.invoke("How can I reset my password?", {"callbacks": [runs]}) == fresh
    assert (runs.retrievals, runs.models) == (1, 1)
    assert chain.invoke("When are invoices sent?", {"callbacks": [runs]}) != fresh
    assert (runs.retrievals, runs.models) == (2, 2)
    core.close()


async def test_every_way_of_calling_shares_the_answers(openai: Any, stub: Any, trusting_core: SemanticCache) -> None:
    chain = cached_chain(rag(openai), corpus="pets", cache=trusting_core)
    fresh = chain.invoke(ASKED)
    hits = [
        chain.invoke(ASKED),
        chain.invoke(SAME_IN_OTHER_WORDS),
        await chain.ainvoke(ASKED),
        *chain.batch([ASKED, SAME_IN_OTHER_WORDS]),
        *await chain.abatch([ASKED, SAME_IN_OTHER_WORDS]),
        "".join(chain.stream(ASKED)),
        "".join([piece async for piece in chain.astream(ASKED)]),
    ]
    assert hits == [fresh] * len(hits)
    assert stub.calls == 1


@pytest.mark.parametrize("way", ["stream", "astream", "ainvoke", "batch"])
async def test_every_way_of_calling_fills_the_cache(openai: Any, stub: Any, cache: Any, way: str) -> None:
    chain = cached_chain(rag(openai), corpus="pets", cache=cache)
    match way:
        case "stream":
            fresh = "".join(chain.stream(ASKED))
        case "astream":
            fresh = "".join([piece async for piece in chain.astream(ASKED)])
        case "ainvoke":
            fresh = await chain.ainvoke(ASKED)
        case _:
            fresh, _ = chain.batch([ASKED, "what do dogs do"])
    asked = stub.calls
    assert chain.invoke(ASKED) == fresh
    assert stub.calls == asked


def test_a_hit_is_streamed_in_pieces(openai: ChatOpenAI, cache: SemanticCache) -> None:
    chain = cached_chain(rag(openai), corpus="pets", cache=cache, replay_chunk_chars=10)
    fresh = chain.invoke(ASKED)
    pieces = list(chain.stream(ASKED))
    assert len(pieces) > 5
    assert max(map(len, pieces)) == 10
    assert "".join(pieces) == fresh


def test_sources_come_back_equal(openai: Any, stub: Any, trusting_core: SemanticCache) -> None:
    chain = cached_chain(retrieval_chain(openai), corpus="pets", cache=trusting_core)
    fresh = chain.invoke({"input": ASKED})
    hit = chain.invoke({"input": ASKED})
    assert hit == fresh
    assert [type(document) for document in hit["context"]] == [Document]
    assert stub.calls == 1


def test_what_was_handed_through_is_the_askers_own(openai: Any, stub: Any, trusting_core: SemanticCache) -> None:
    chain = cached_chain(retrieval_chain(openai), corpus="pets", cache=trusting_core)
    history = [HumanMessage("Hello"), AIMessage("Good day", id="one")]
    fresh = chain.invoke({"input": ASKED, "chat_history": history})
    again = [HumanMessage("Hello", id="new"), AIMessage("Good day", id="two")]
    hit = chain.invoke({"input": SAME_IN_OTHER_WORDS, "chat_history": again})
    assert stub.calls == 1
    assert hit["input"] == SAME_IN_OTHER_WORDS
    assert hit["chat_history"] is again
    assert (hit["answer"], hit["context"]) == (fresh["answer"], fresh["context"])


@pytest.mark.parametrize("is_filled_by_a_stream", [True, False])
async def test_a_dict_is_streamed_key_by_key(openai: Any, stub: Any, cache: Any, is_filled_by_a_stream: bool) -> None:
    chain = cached_chain(retrieval_chain(openai), corpus="pets", cache=cache, replay_chunk_chars=20)
    given = {"input": ASKED}
    fresh = list(chain.stream(given)) if is_filled_by_a_stream else [chain.invoke(given)]
    pieces = list(chain.stream(given))
    apieces = [piece async for piece in chain.astream(given)]
    assert stub.calls == 1
    assert pieces == apieces
    assert [next(iter(piece)) for piece in pieces[:3]] == ["input", "context", "answer"]
    assert len([piece for piece in pieces if "answer" in piece]) > 1
    assert added(pieces) == added(fresh)


def added(pieces: list[Any]) -> Any:
    total = pieces[0]
    for piece in pieces[1:]:
        total = total + piece
    return total


async def test_a_message_says_how_it_came_about(streaming_parrot: Any, cache: SemanticCache) -> None:
    prompted = RunnableLambda(lambda text: f"Say it: {text}") | streaming_parrot
    chain = cached_chain(prompted, corpus="pets", cache=cache)
    fresh, hit = chain.invoke(ASKED), chain.invoke(ASKED)
    streamed = added(list(chain.stream(ASKED)))
    astreamed = added([piece async for piece in chain.astream("what do dogs do")])
    assert [tier(one) for one in (fresh, hit, streamed, astreamed)] == ["miss", "l1", "l1", "miss"]
    assert fresh.text == hit.text == streamed.text
    assert isinstance(streamed, AIMessageChunk)
    assert hit.id != fresh.id
    assert hit.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert len(streaming_parrot.calls) == 2


def tier(message: Any) -> str:
    return str(message.response_metadata["semroute"]["tier"])


def test_a_cached_model_inside_does_not_disturb_the_mark(streaming_parrot: Any, cache: SemanticCache) -> None:
    model = cached(streaming_parrot, cache)
    chain = cached_chain(RunnableLambda(lambda text: f"Say it: {text}") | model, corpus="pets", cache=cache)
    model.invoke(f"Say it: {ASKED}")
    streamed = added(list(chain.stream(ASKED)))
    assert tier(streamed) == "miss"
    assert tier(chain.invoke(ASKED)) == "l1"
    assert len(streaming_parrot.calls) == 1


def test_answer_and_sources_of_a_parallel_chain_are_kept(openai: Any, stub: Any, cache: SemanticCache) -> None:
    retriever = indexed().as_retriever(search_kwargs={"k": 2})
    both = RunnableParallel(context=retriever, question=RunnablePassthrough())
    answer = RunnablePassthrough.assign(text=lambda found: format_docs(found["context"])) | (
        lambda found: f"{found['text']} {found['question']}"
    )
    chain = cached_chain(both.assign(answer=answer | openai), corpus="pets", cache=cache)
    fresh, hit = chain.invoke(ASKED), chain.invoke(ASKED)
    assert stub.calls == 1
    assert hit["context"] == fresh["context"]
    assert hit["question"] == ASKED
    assert hit["answer"].text == fresh["answer"].text
    assert tier(hit["answer"]) == "l1"


def test_json_and_named_classes_come_back(openai: Any, stub: Any, cache: SemanticCache) -> None:
    bound = openai.bind(response_format={"type": "json_object"})
    plain = cached_chain(bound | JsonOutputParser(), corpus="jokes", cache=cache)
    assert plain.invoke("Tell a joke") == plain.invoke("Tell a joke") == {"setup": "Why?", "punchline": "Because."}
    assert list(plain.stream("Tell a joke"))[-1] == {"setup": "Why?", "punchline": "Because."}
    assert stub.calls == 1

    said = RunnableLambda(lambda text: '{"subject": "cats", "number": 9}')
    typed = cached_chain(said | PydanticOutputParser(pydantic_object=Fact), corpus="facts", cache=cache, output=Fact)
    assert typed.invoke("How many lives?") == typed.invoke("How many lives?") == Fact(subject="cats", number=9)
    assert typed.explain("How many lives?").explanation.tier == "l1"


def test_an_output_that_would_not_come_back_is_not_kept_and_said_once(
    parrot: Any, cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    chain = cached_chain(parrot | (lambda message: Fact(subject=message.text)), corpus="facts", cache=cache)
    assert [chain.invoke(ASKED).subject for _ in range(3)] == [f"You said: {ASKED}"] * 3
    assert len(parrot.calls) == 3
    assert [r.message for r in caplog.records] == [
        "an answer of a chain is not kept: an output holds an object of type Fact"
    ]


async def test_a_stream_that_is_not_read_to_its_end_stores_nothing(streaming_parrot: Any, cache: Any) -> None:
    chain = cached_chain(rag(streaming_parrot), corpus="pets", cache=cache)
    begun = chain.stream(ASKED)
    assert next(begun) == "You"
    begun.close()
    abegun = chain.astream(ASKED)
    assert await anext(abegun) == "You"
    await abegun.aclose()
    assert cache.size().entries == 0
    assert len(cache.flights) == 0


async def test_a_stream_that_fails_stores_nothing(streaming_parrot: Any, cache: SemanticCache) -> None:
    streaming_parrot.between = lambda: 1 / 0
    chain, runs = cached_chain(rag(streaming_parrot), corpus="pets", cache=cache), Runs()
    with pytest.raises(ZeroDivisionError):
        list(chain.stream(ASKED, {"callbacks": [runs]}))
    with pytest.raises(ZeroDivisionError):
        [piece async for piece in chain.astream(ASKED)]
    assert cache.size().entries == 0
    assert len(cache.flights) == 0
    assert isinstance(runs.failed[-1], ZeroDivisionError)


async def test_a_stream_belongs_to_the_scope_that_it_was_asked_in(streaming_parrot: Any, cache: Any) -> None:
    chain = cached_chain(rag(streaming_parrot), corpus="pets", cache=cache)
    with semroute.scope(tenant="acme"):
        begun, abegun = chain.stream(ASKED), chain.astream("what do dogs do")
        events = chain.astream_events("what do wolves do", version="v2")
    list(begun)
    assert [piece async for piece in abegun]
    assert [event async for event in events][-1]["event"] == "on_chain_end"
    asked = (ASKED, "what do dogs do", "what do wolves do")
    assert [chain.explain(words).explanation.tier for words in asked] == ["miss"] * 3
    with semroute.scope(tenant="acme"):
        assert [chain.explain(words).explanation.tier for words in asked] == ["l1"] * 3


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_the_inner_chain_is_a_child_of_its_run(streaming_parrot: Any, cache: Any, way: str) -> None:
    chain = cached_chain(rag(streaming_parrot), corpus="pets", cache=cache)

    async def run() -> Runs:
        runs = Runs()
        config = {"callbacks": [runs]}
        match way:
            case "invoke":
                chain.invoke(ASKED, config)
            case "stream":
                list(chain.stream(ASKED, config))
            case "ainvoke":
                await chain.ainvoke(ASKED, config)
            case _:
                [piece async for piece in chain.astream(ASKED, config)]
        return runs

    miss, hit = await run(), await run()
    (outer, above, name), (_, parent, inner) = miss.chains[:2]
    assert (above, name) == (None, "CachedChain")
    assert (parent, inner) == (outer, "RunnableSequence")
    assert (miss.retrievals, miss.models) == (1, 1)
    assert (hit.retrievals, hit.models, len(hit.chains)) == (0, 0, 1)
    assert miss.ended[-1] == hit.ended[-1] == f"You said: {streaming_parrot.calls[0]}"
    assert miss.events == [("semroute", "miss", outer)]
    assert hit.events == [("semroute", "l1", hit.chains[0][0])]


def test_equal_calls_under_way_share_one(parrot: Any, cache: SemanticCache) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def wait(words: str) -> None:
        is_asked.set()
        may_answer.wait(10)

    parrot.before = wait
    chain = cached_chain(rag(parrot), corpus="pets", cache=cache)
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(chain.invoke(ASKED))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert is_asked.wait(10)
    may_answer.set()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert len(set(answers)) == 1
    assert len(parrot.calls) == 1


async def test_equal_calls_on_a_loop_share_one(parrot: Any, cache: SemanticCache) -> None:
    chain = cached_chain(rag(parrot), corpus="pets", cache=cache)
    answers = await asyncio.gather(*(chain.ainvoke(ASKED) for _ in range(5)))
    assert len(set(answers)) == 1
    assert len(parrot.calls) == 1


async def test_who_reads_a_stream_may_ask_the_same_in_between(streaming_parrot: Any, cache: SemanticCache) -> None:
    chain = cached_chain(rag(streaming_parrot), corpus="pets", cache=cache)
    begun, abegun = chain.stream(ASKED), chain.astream("what do dogs do")
    next(begun)
    await anext(abegun)
    async with asyncio.timeout(cache.settings.flight_deadline_s / 2):
        assert chain.invoke(ASKED).endswith(ASKED)
        assert (await chain.ainvoke("what do dogs do")).endswith("what do dogs do")
    begun.close()
    await abegun.aclose()


@pytest.mark.parametrize("broken", [{"get"}, {"put"}, {"get", "put", "search"}])
async def test_a_store_that_is_down_leaves_the_chain_alone(
    openai: Any, stub: Any, make_cache: MakeCache, broken: set[str]
) -> None:
    core = make_cache(FailingStore(EmbeddedStore("memory://"), frozenset(broken)))
    chain = cached_chain(rag(openai), corpus="pets", cache=core)
    answers = [chain.invoke(ASKED), await chain.ainvoke(ASKED), "".join(chain.stream(ASKED))]
    assert len(set(answers)) == 1
    assert stub.calls == 3


def test_a_graph_is_cached_whole_and_streamed_past_the_cache(
    openai: Any, stub: Any, trusting_core: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    agent = create_agent(openai, [], system_prompt="Be brief.")
    chain = cached_chain(agent, corpus="pets", cache=trusting_core, fingerprint="brief")
    fresh = list(chain.stream({"messages": [HumanMessage(ASKED)]}))
    assert list(fresh[0]) == list(next(agent.stream({"messages": [HumanMessage(ASKED)]})))
    answers = [chain.invoke({"messages": [HumanMessage(words)]}) for words in (ASKED, SAME_IN_OTHER_WORDS)]
    assert [tier(answer["messages"][-1]) for answer in answers[1:]] == ["l2"]
    assert answers[0]["messages"][-1].text == answers[1]["messages"][-1].text
    assert stub.calls == 3
    assert "a stream is not cached" in caplog.text


@pytest.mark.parametrize("ending", ["TRUNCATE", "REFUSE"])
def test_what_a_model_has_not_finished_is_not_kept(openai: Any, stub: Any, cache: Any, ending: str) -> None:
    chain = cached_chain(rag(openai), corpus="pets", cache=cache)
    for _ in range(2):
        chain.invoke(f"what do cats {ending}")
        list(chain.stream(f"what do cats {ending}"))
    assert stub.calls == 4


def test_a_fresh_answer_can_be_asked_for(openai: Any, stub: Any, cache: SemanticCache) -> None:
    chain = cached_chain(rag(openai), corpus="pets", cache=cache)
    chain.invoke(ASKED)
    with semroute.scope(bypass=True):
        chain.invoke(ASKED)
    assert stub.calls == 2


@pytest.mark.parametrize("is_inner_cached", [False, True])
def test_what_models_used_is_counted_once(parrot: Any, cache: SemanticCache, is_inner_cached: bool) -> None:
    chain = cached_chain(rag(cached(parrot, cache) if is_inner_cached else parrot), corpus="pets", cache=cache)
    counted: list[int] = []
    cache.listen(Tokens(counted))
    chain.invoke(ASKED)
    assert [tokens for tokens in counted if tokens] == [8]


def test_mistakes_are_told_when_the_chain_is_made(parrot: Any, cache: SemanticCache) -> None:
    for corpus in (None, "", " "):
        with pytest.raises(ConfigError, match="name the documents that the chain answers from: corpus="):
            cached_chain(rag(parrot), corpus=corpus, cache=cache)
    with pytest.raises(ConfigError, match="replay_chunk_chars must be"):
        cached_chain(rag(parrot), corpus="pets", cache=cache, replay_chunk_chars=0)
    with pytest.raises(ConfigError, match="takes a runnable, not int"):
        cached_chain(7, corpus="pets", cache=cache)  # type: ignore[arg-type]  # the mistake under test


def test_it_has_the_face_of_its_chain(openai: ChatOpenAI, cache: SemanticCache) -> None:
    inner = retrieval_chain(openai)
    chain = cached_chain(inner, corpus="pets", cache=SemrouteCache(cache=cache))
    assert chain.get_input_jsonschema() == inner.get_input_jsonschema()
    assert chain.get_output_jsonschema() == inner.get_output_jsonschema()
    assert len(chain.get_graph().nodes) == len(inner.get_graph().nodes)
    assert "pets" in repr(chain)


def test_it_works_inside_a_longer_chain(openai: Any, stub: Any, cache: SemanticCache) -> None:
    def asked(given: dict[str, str]) -> str:
        return given["words"]

    chain = RunnableLambda(asked) | cached_chain(rag(openai), corpus="pets", cache=cache) | str.upper
    first, second = chain.invoke({"words": ASKED}), "".join(chain.stream({"words": ASKED}))
    assert first == second
    assert stub.calls == 1


@pytest.fixture(autouse=True)
def _nothing_is_left_under_way(cache: SemanticCache) -> Iterator[None]:
    yield
    assert len(cache.flights) == 0

"""One cache that LangChain and LlamaIndex use at once: each of them sees its own answers, and only those."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document as Text
from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI
from langchain_semroute import SemrouteCache, cached, cached_chain
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.llms.openai import OpenAI
from llama_index_semroute.cached_llm import cached as cached_llm
from llama_index_semroute.query_engine import SemanticCacheQueryEngine

from semroute import SemanticCache, scope
from semroute.binding import bound
from semroute.testing.embedders import HashEmbedder
from tests.langchain.openai_stub import OpenAIStub
from tests.langchain.rag import EmbedderEmbeddings, rag

from .handbook import PAGES, QUESTION, SAME_IN_OTHER_WORDS, index_of

CONTEXT = "Context information is below."
"""How the prompt of an engine begins: what it makes a model say is not what the bare question does."""


@pytest.fixture(params=["cached", "SemrouteCache"])
def chat(request: pytest.FixtureRequest, stub: OpenAIStub, cache: SemanticCache) -> ChatOpenAI:
    """Return a chat model of LangChain's on the cache, by either way to put it there."""
    settings = {"model": "gpt-4o-mini", "temperature": 0, "max_retries": 0}
    model = ChatOpenAI(base_url=stub.url, api_key="sk-test", **settings)
    if request.param == "cached":
        return cached(model, cache)
    return model.model_copy(update={"cache": SemrouteCache(cache=cache)})


@pytest.fixture
def engine(openai: OpenAI, cache: SemanticCache) -> SemanticCacheQueryEngine:
    """Return a query engine of LlamaIndex's on the same cache, with the same model."""
    return SemanticCacheQueryEngine(index_of().as_query_engine(llm=openai), cache=cache, corpus="handbook")


def tier_of(answer: Any) -> str:
    told = answer.response_metadata if isinstance(answer, AIMessage) else answer.metadata
    return str(told["semroute"]["tier"]) if "semroute" in told else "miss"


class TestOneCache:
    async def test_each_framework_sees_its_own_answers(self, chat, engine, cache, stub) -> None:
        with scope(tenant="acme"):
            fresh, made = chat.invoke(QUESTION), engine.query(QUESTION)
            assert (tier_of(fresh), tier_of(made), stub.calls) == ("miss", "miss", 2)
            for words, tier in ((QUESTION, "l1"), (SAME_IN_OTHER_WORDS, "l2")):
                answers = [chat.invoke(words), await chat.ainvoke(words)]
                responses = [engine.query(words), await engine.aquery(words)]
                assert [tier_of(answers[0]), tier_of(responses[0])] == [tier, tier]
                assert {answer.text for answer in answers} == {fresh.text}
                assert {str(response) for response in responses} == {str(made)}
        assert fresh.text.startswith(f"You asked: {QUESTION}")
        assert str(made).startswith(f"You asked: {CONTEXT}")
        assert (stub.calls, cache.size().entries) == (2, 2)

    def test_it_does_not_matter_who_asks_first(self, chat, engine, stub) -> None:
        made, fresh = engine.query(QUESTION), chat.invoke(QUESTION)
        assert (tier_of(made), tier_of(fresh)) == ("miss", "miss")
        assert str(made) != fresh.text
        assert (chat.invoke(QUESTION).text, str(engine.query(QUESTION))) == (fresh.text, str(made))
        assert stub.calls == 2

    def test_a_tenant_is_forgotten_by_both(self, chat, engine, cache) -> None:
        for tenant in ("acme", "umbrella"):
            with scope(tenant=tenant):
                chat.invoke(QUESTION)
                engine.query(QUESTION)
        assert cache.invalidate(tenant="acme") == 2
        for tenant, tier in (("acme", "miss"), ("umbrella", "l1")):
            with scope(tenant=tenant):
                assert [tier_of(chat.invoke(QUESTION)), tier_of(engine.query(QUESTION))] == [tier, tier]

    def test_a_changed_document_leaves_what_was_not_made_from_it(self, chat, engine, cache) -> None:
        chat.invoke(QUESTION)
        engine.query(QUESTION)
        assert cache.invalidate(doc_ids=["badges"]) == 1
        assert [tier_of(chat.invoke(QUESTION)), tier_of(engine.query(QUESTION))] == ["l1", "miss"]
        assert cache.invalidate(corpus="handbook") == 1
        assert [tier_of(chat.invoke(QUESTION)), tier_of(engine.query(QUESTION))] == ["l1", "miss"]

    def test_the_cache_of_one_can_be_given_to_the_other(self, openai, cache) -> None:
        inner = index_of().as_query_engine(llm=openai)
        assert SemanticCacheQueryEngine(inner, cache=SemrouteCache(cache=cache), corpus="handbook").cache is cache

    def test_a_cached_model_of_each_keeps_to_its_own_messages(self, chat, openai, cache, stub) -> None:
        llm = cached_llm(openai, cache)
        for calls in (2, 2):
            answer, response = chat.invoke(QUESTION), llm.chat([ChatMessage(role="user", content=QUESTION)])
            assert isinstance(answer, AIMessage)
            assert answer.text == response.message.content == f"You asked: {QUESTION} Here is more."
            assert stub.calls == calls

    def test_a_chain_and_an_engine_of_one_corpus_keep_to_their_own_answers(self, chat, engine, cache, stub) -> None:
        store = InMemoryVectorStore(EmbedderEmbeddings(HashEmbedder()))
        store.add_documents([Text(text, id=name) for name, text in PAGES.items()])
        chain = cached_chain(rag(chat, store.as_retriever()), corpus="handbook", cache=cache)
        told = []
        for _ in range(2):
            told.append((chain.invoke(QUESTION), str(engine.query(QUESTION))))
        assert told[0] == told[1]
        assert told[0][0].startswith("You asked: Answer from this context alone:")
        assert told[0][1].startswith(f"You asked: {CONTEXT}")
        assert stub.calls == 2
        assert cache.invalidate(corpus="handbook", doc_ids=["badges"]) >= 2
        assert chain.explain(QUESTION).explanation.tier == engine.explain(QUESTION).explanation.tier == "miss"


class TestAtOnce:
    def test_in_threads(self, chat, engine, stub) -> None:
        def answer(number: int) -> str:
            with scope(tenant="acme"):
                return chat.invoke(QUESTION).text if number % 2 == 0 else str(engine.query(QUESTION))

        first = answer(0)  # `SemrouteCache` alone does not make equal calls wait for one another
        with ThreadPoolExecutor(8) as threads:
            told = list(threads.map(answer, range(40)))
        assert set(told[::2]) == {first}
        assert len(set(told[1::2])) == 1
        assert told[1].startswith(f"You asked: {CONTEXT}")
        assert stub.calls == 2

    async def test_in_tasks_of_one_loop(self, chat, engine, stub) -> None:
        with scope(tenant="acme"):
            await chat.ainvoke(QUESTION)
            asked = [chat.ainvoke(QUESTION) if number % 2 else engine.aquery(QUESTION) for number in range(40)]
            answers = await asyncio.gather(*asked)
        assert len({answer.text for answer in answers[1::2]}) == len({str(answer) for answer in answers[::2]}) == 1
        assert answers[1].text != str(answers[0])
        assert stub.calls == 2


# --- many at once: who is asked says whom, about what and over which documents --------------------------------------

TENANTS = ("acme", "umbrella", "initech")
CORPORA = ("office", "warehouse")
QUESTIONS = (
    ("How do I block a lost badge?", "how do i block a lost badge"),
    ("How do I book a train?", "how do I book a train"),
    ("Who empties the dishwasher in 2024?", "who empties the dishwasher in 2024"),
    ("Who empties the dishwasher in 2025?", "who empties the dishwasher in 2025"),
)
"""Each in two wordings, of which either answer will do."""


class Clerk(CustomLLM):
    """Says for whom it was asked, over which documents, and what."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="clerk-1")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        corpus = next(name for name in CORPORA if f"the {name} handbook" in prompt)
        question = prompt.split("Query: ")[1].split("\n")[0]
        return CompletionResponse(text=f"{bound().scope.tenant}|engine|{corpus}|{question}")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        text = self.complete(prompt).text
        for end in range(1, len(text) + 1):
            yield CompletionResponse(text=text[:end], delta=text[end - 1])


class ChatClerk(SimpleChatModel):
    """The same for LangChain, where the system's words name the documents."""

    @property
    def _llm_type(self) -> str:
        return "clerk"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "clerk-1"}

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        return f"{bound().scope.tenant}|model|{messages[0].text}|{messages[-1].text}"


class Desk:
    """Four ways to ask either framework, each on the one cache."""

    def __init__(self, cache: SemanticCache) -> None:
        self.model = cached(ChatClerk(), cache)
        self.engines = {(corpus, way): self._engine(cache, corpus, way) for corpus in CORPORA for way in (False, True)}

    def _engine(self, cache: SemanticCache, corpus: str, is_streaming: bool) -> BaseQueryEngine:
        index = index_of({"page": f"This is the {corpus} handbook. It tells of badges, trains and dishwashers."})
        return SemanticCacheQueryEngine(
            index.as_query_engine(llm=Clerk(), streaming=is_streaming), cache=cache, corpus=corpus
        )

    def messages(self, corpus: str, words: str) -> list[BaseMessage]:
        return [SystemMessage(corpus), HumanMessage(words)]

    def answer(self, way: str, corpus: str, words: str) -> str:
        match way:
            case "invoke":
                return self.model.invoke(self.messages(corpus, words)).text
            case "stream":
                return "".join(chunk.text for chunk in self.model.stream(self.messages(corpus, words)))
            case _:
                return str(self.engines[corpus, way == "engine, streaming"].query(words))

    async def aanswer(self, way: str, corpus: str, words: str) -> str:
        match way:
            case "invoke":
                return (await self.model.ainvoke(self.messages(corpus, words))).text
            case "stream":
                return "".join([chunk.text async for chunk in self.model.astream(self.messages(corpus, words))])
            case "engine":
                return str(await self.engines[corpus, False].aquery(words))
            case _:
                response = await self.engines[corpus, True].aquery(words)
                return "".join([piece async for piece in response.response_gen])


Case = tuple[str, str, str, tuple[str, str], str]


def cases(seed: int, count: int = 200) -> list[Case]:
    """Return tenant, way, corpus, question and wording of so many queries, in a random order."""
    chance = random.Random(seed)
    ways = ("invoke", "stream", "engine", "engine, streaming")
    drawn = []
    for _ in range(count):
        question = chance.choice(QUESTIONS)
        drawn.append(
            (chance.choice(TENANTS), chance.choice(ways), chance.choice(CORPORA), question, chance.choice(question))
        )
    return drawn


def is_own(case: Case, told: str) -> bool:
    """Say whether an answer is for this tenant, framework, corpus and question, in whichever wording."""
    tenant, way, corpus, question, _ = case
    kind = "engine" if way.startswith("engine") else "model"
    return told in {f"{tenant}|{kind}|{corpus}|{words}" for words in question}


@pytest.mark.parametrize("seed", [1, 2])
class TestManyAtOnce:
    @pytest.fixture
    def kept(self, make_cache: Callable[..., SemanticCache], tmp_path: Path) -> SemanticCache:
        return make_cache(f"sqlite:///{tmp_path}/answers.db")

    def test_in_threads_no_answer_is_foreign(self, kept: SemanticCache, seed: int) -> None:
        desk, drawn = Desk(kept), cases(seed)

        def told(case: Case) -> str:
            tenant, way, corpus, _, words = case
            with scope(tenant=tenant):
                return desk.answer(way, corpus, words)

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(told, drawn))
        assert [(case, answer) for case, answer in zip(drawn, answers, strict=True) if not is_own(case, answer)] == []
        self.check_hits(kept)

    async def test_in_tasks_no_answer_is_foreign(self, kept: SemanticCache, seed: int) -> None:
        desk, drawn, running = Desk(kept), cases(seed), []
        for tenant, way, corpus, _, words in drawn:
            with scope(tenant=tenant):
                running.append(asyncio.create_task(desk.aanswer(way, corpus, words)))
        answers = await asyncio.gather(*running)
        assert [(case, answer) for case, answer in zip(drawn, answers, strict=True) if not is_own(case, answer)] == []
        self.check_hits(kept)

    def check_hits(self, kept: SemanticCache) -> None:
        """Check that the cache was at work, and kept each tenant, corpus and form (two engines, one model) apart."""
        assert kept.stats().lookups >= 200
        assert kept.stats().hits >= 50
        assert kept.size().partitions == len(TENANTS) * len(CORPORA) * 3

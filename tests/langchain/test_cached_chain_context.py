"""What must be equal for a chain's answer to be reused: all that it is made of, and all of its input but the words."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableBranch,
    RunnableConfig,
    RunnableLambda,
    RunnablePassthrough,
)
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_openai import ChatOpenAI
from langchain_semroute import RoutedModel, cached_chain

import semroute
from semroute import ConfigError, SemanticCache

from .rag import (
    ASKED,
    PROMPT,
    SAME_IN_OTHER_WORDS,
    Runs,
    format_docs,
    indexed,
    rag,
    retrieval_chain,
    with_unreadable_part,
)

STORE = indexed()
LIMITS = {"pet": "pet"}


def tier(core: SemanticCache, runnable: Runnable[Any, Any], words: Any = SAME_IN_OTHER_WORDS, **settings: Any) -> str:
    """Return the tier that a chain is answered from, as the event of its run tells."""
    runs = Runs()
    chain = cached_chain(runnable, cache=core, **{"corpus": "pets", **settings})
    chain.invoke(words, {"callbacks": [runs]})
    return runs.events[0][1] if runs.events else "uncached"


def is_pet(document: Document) -> bool:
    return document.metadata["kind"] == LIMITS["pet"]


def is_wild(document: Document) -> bool:
    return document.metadata["kind"] == "wild"


def kind_filter(kind: str) -> Callable[[Document], bool]:
    return lambda document: document.metadata["kind"] == kind


RETRIEVERS: dict[str, dict[str, Any]] = {
    "k 1": {"search_kwargs": {"k": 1}},
    "k 2": {"search_kwargs": {"k": 2}},
    "pets only": {"search_kwargs": {"k": 1, "filter": is_pet}},
    "wild only": {"search_kwargs": {"k": 1, "filter": is_wild}},
    "a closure over pets": {"search_kwargs": {"k": 1, "filter": kind_filter("pet")}},
    "a closure over wild": {"search_kwargs": {"k": 1, "filter": kind_filter("wild")}},
    "by relevance": {"search_type": "mmr", "search_kwargs": {"k": 1}},
}
PROMPTS = (PROMPT, f"{PROMPT} Be brief.")
MODELS: tuple[dict[str, Any], ...] = ({}, {"model": "gpt-4o"}, {"temperature": 0.5}, {"max_tokens": 9})
CHAIN_PARTS: dict[str, st.SearchStrategy[Any]] = {
    "retriever": st.sampled_from(sorted(RETRIEVERS)),
    "prompt": st.sampled_from(PROMPTS),
    "model": st.integers(0, len(MODELS) - 1),
    "corpus": st.sampled_from(["pets", "zoo"]),
    "version": st.sampled_from([None, "1", "2"]),
    "tenant": st.sampled_from([None, "acme"]),
}
CHAINS = st.fixed_dictionaries(CHAIN_PARTS)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=CHAINS, other=CHAINS, changed=st.sets(st.sampled_from(sorted(CHAIN_PARTS)), max_size=2))
def test_chains_share_an_answer_only_where_they_are_equal_in_everything(
    make_openai: Any,
    make_cache: Callable[..., SemanticCache],
    first: dict[str, Any],
    other: dict[str, Any],
    changed: set[str],
) -> None:
    second = {**first, **{name: other[name] for name in changed}}
    core = make_cache(guards=())
    try:
        tiers = [
            asked(core, make_openai, parts, words) for parts, words in ((first, ASKED), (second, SAME_IN_OTHER_WORDS))
        ]
    finally:
        core.close()
    assert tiers == ["miss", "l2" if first == second else "miss"]


def asked(core: SemanticCache, make_openai: Any, parts: dict[str, Any], words: str) -> str:
    chain = rag(
        make_openai(**MODELS[parts["model"]]), STORE.as_retriever(**RETRIEVERS[parts["retriever"]]), parts["prompt"]
    )
    with semroute.scope(tenant=parts["tenant"]):
        return tier(core, chain, words, corpus=parts["corpus"], corpus_version=parts["version"])


def test_a_filter_that_is_changed_on_the_retriever_counts_at_once(openai: Any, trusting_core: SemanticCache) -> None:
    retriever = STORE.as_retriever(search_kwargs={"k": 1, "filter": is_pet})
    chain = cached_chain(rag(openai, retriever), corpus="pets", cache=trusting_core)
    fresh = chain.invoke("what do wolves do")
    retriever.search_kwargs["filter"] = is_wild
    assert chain.invoke("what do wolves do") != fresh
    retriever.search_kwargs["filter"] = is_pet
    assert chain.invoke("what do wolves do") == fresh


def test_what_a_function_takes_from_outside_counts(
    openai: Any, trusting_core: SemanticCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = rag(openai, STORE.as_retriever(search_kwargs={"filter": is_pet}))
    assert [tier(trusting_core, chain) for _ in range(2)] == ["miss", "l1"]
    monkeypatch.setitem(LIMITS, "pet", "wild")
    assert tier(trusting_core, chain) == "miss"


def test_earlier_turns_are_context(openai: Any, trusting_core: SemanticCache) -> None:
    chain = retrieval_chain(openai)
    cats = [HumanMessage("I have a cat"), AIMessage("Lovely")]
    dogs = [HumanMessage("I have a dog"), AIMessage("Lovely")]
    histories: list[Sequence[BaseMessage]] = [
        cats,
        [HumanMessage("I have a cat", id="7"), AIMessage("Lovely")],
        dogs,
        [],
    ]
    tiers = [tier(trusting_core, chain, {"input": ASKED, "chat_history": history}) for history in histories]
    assert tiers == ["miss", "l1", "miss", "miss"]


def last_words(messages: list[BaseMessage]) -> str:
    return messages[-1].text


def test_a_conversation_is_asked_by_its_last_words(openai: Any, trusting_core: SemanticCache) -> None:
    chain = last_words | rag(openai)
    told = [HumanMessage("I have a cat"), AIMessage("Lovely"), HumanMessage(ASKED)]
    again = [HumanMessage("I have a cat"), AIMessage("Lovely"), HumanMessage(SAME_IN_OTHER_WORDS)]
    other = [HumanMessage("I have a dog"), AIMessage("Lovely"), HumanMessage(ASKED)]
    assert [tier(trusting_core, chain, words) for words in (told, again, other)] == ["miss", "l2", "miss"]


def test_the_words_are_found_where_the_application_says(openai: Any, trusting_core: SemanticCache) -> None:
    chain = operator.itemgetter("words") | rag(openai)

    def asks(words: str, *, language: str = "en", **settings: Any) -> str:
        return tier(trusting_core, chain, {"words": words, "language": language, "page": {"of": words}}, **settings)

    assert [asks(ASKED), asks(SAME_IN_OTHER_WORDS)] == ["uncached", "uncached"]
    assert [asks(ASKED, query="words"), asks(ASKED, query="words")] == ["miss", "l1"]
    found = partial(asks, query=lambda given: given["page"]["of"])
    assert [found(ASKED), found(SAME_IN_OTHER_WORDS), found(ASKED, language="fr")] == ["miss", "l2", "miss"]
    assert asks(ASKED, query=lambda given: None) == "uncached"
    assert asks(ASKED, query=lambda given: 1 / 0) == "uncached"


@pytest.mark.parametrize("given", [None, 7, [], ["a", "b"], {"a": 1}, {"a": "x", "b": "y"}])
def test_an_input_without_words_leaves_the_chain_alone(parrot: Any, cache: SemanticCache, given: Any) -> None:
    chain = cached_chain(RunnableLambda(lambda given: "hello") | parrot, corpus="pets", cache=cache)
    assert [chain.invoke(given).text, *[piece.text for piece in chain.stream(given)]] == ["You said: hello"] * 2
    with pytest.raises(ConfigError, match="this call is not cached"):
        chain.explain(given)


@pytest.mark.parametrize("words", ["", "  \n"])
def test_blank_words_are_no_words_to_compare(parrot: Any, cache: SemanticCache, words: str) -> None:
    assert [tier(cache, parrot, words) for _ in range(2)] == ["miss", "l1"]
    assert tier(cache, parrot, "hello") == "miss"


def test_what_is_configured_for_a_call_counts(openai: ChatOpenAI, stub: Any, cache: SemanticCache) -> None:
    retriever = STORE.as_retriever(search_kwargs={"k": 1}).configurable_fields(
        search_kwargs=ConfigurableField(id="search")
    )
    chain = cached_chain(rag(openai, retriever), corpus="pets", cache=cache)  # type: ignore[arg-type]  # it retrieves
    for search in ({"k": 1}, {"k": 1}, {"k": 2}):
        chain.invoke(ASKED, {"configurable": {"search": search}})
        chain.with_config(configurable={"search": search}).invoke(ASKED)
    assert stub.calls == 2


def rights(text: str, config: RunnableConfig) -> str:
    return f"{text} {config['configurable']['right']}"


def test_what_a_function_may_read_of_a_configuration_counts(openai: Any, stub: Any, cache: SemanticCache) -> None:
    reading = cached_chain(RunnableLambda(rights) | rag(openai), corpus="pets", cache=cache)
    for thread, right in (("1", "a"), ("1", "a"), ("1", "b"), ("2", "a")):
        reading.invoke(ASKED, {"configurable": {"thread_id": thread, "right": right, "__inner": object()}})
    assert stub.calls == 3
    blind = cached_chain(rag(openai), corpus="pets", cache=cache)
    for thread in ("1", "2"):
        blind.invoke(ASKED, {"configurable": {"thread_id": thread}})
    assert stub.calls == 4


def upper(text: str) -> str:
    return text.upper()


def lower(text: str) -> str:
    return text.lower()


def suffixed(suffix: str) -> Callable[[str], str]:
    return lambda text: text + suffix


ENDINGS: dict[str, Callable[[], Any]] = {
    "a function": lambda: upper,
    "another function": lambda: lower,
    "a closure": lambda: suffixed("!"),
    "another closure": lambda: suffixed("?"),
    "a partial function": lambda: partial(operator.add, "a"),
    "another partial function": lambda: partial(operator.add, "b"),
    "a method": lambda: "a".join,
    "another method": lambda: "b".join,
    "a branch": lambda: RunnableBranch((lambda text: len(text) > 3, upper), lower),
    "another branch": lambda: RunnableBranch((lambda text: len(text) > 4, upper), lower),
    "another constant of a like value": lambda: RunnableLambda(lambda text: text * True),
    "a constant": lambda: RunnableLambda(lambda text: text * 1),
    "a prompt of today": lambda: PromptTemplate.from_template("{day} {text}", partial_variables={"day": str(date.min)}),
    "a prompt of now": lambda: PromptTemplate.from_template("{day} {text}", partial_variables={"day": lambda: "now"}),
    "a fallback": lambda: RunnableLambda(upper).with_fallbacks([RunnableLambda(lower)]),
    "a retry": lambda: RunnableLambda(upper).with_retry(),
    "a configured one": lambda: RunnableLambda(upper).with_config(configurable={"a": 1}),
    "one of each": lambda: RunnableLambda(upper).map(),
}


def test_parts_of_every_kind_are_told_apart_and_known_again(openai: Any, cache: SemanticCache) -> None:
    tiers: dict[str, list[str]] = {}
    for name, make in ENDINGS.items():
        tiers[name] = []
        for _ in range(2):
            chain = cached_chain(StrOutputParser() | make(), corpus="pets", cache=cache)
            tiers[name].append(chain.explain(ASKED).explanation.tier)
            request = chain._asker.ask(chain.cache.asker, ASKED, {}, {})
            cache.update(request, f"the answer of {name}")
    assert tiers == {name: ["miss", "l1"] for name in ENDINGS}


def test_a_routed_model_is_known_by_all_that_may_answer(make_openai: Any, make_cache: Any) -> None:
    core = make_cache()

    def routed(**settings: Any) -> Runnable[Any, Any]:
        models = {"small": make_openai(), "large": make_openai(model="gpt-4o", **settings)}
        return rag(RoutedModel(models, cache=core))

    assert [tier(core, routed()), tier(core, routed()), tier(core, routed(max_tokens=9))] == ["miss", "l1", "miss"]
    with semroute.scope(least_tier=2):
        assert tier(core, routed()) == "miss"


def test_what_cannot_be_read_leaves_the_chain_uncached_and_is_said_once(
    parrot: Any, cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    chain = cached_chain(with_unreadable_part(rag(parrot)), corpus="pets", cache=cache)
    with caplog.at_level(logging.WARNING, "semroute"):
        for _ in range(3):
            assert chain.invoke(ASKED).endswith(ASKED)
            assert "".join(chain.stream(ASKED)).endswith(ASKED)
    [record] = caplog.records
    assert "'opaque' in the chain" in record.message
    assert "an object of type builtins.object does not say what it is" in record.message
    assert "fingerprint='…'" in record.message
    assert cache.size() is None or cache.size().entries == 0


def test_a_fingerprint_stands_for_what_cannot_be_read_and_for_that_alone(openai: Any, cache: SemanticCache) -> None:
    def asks(fingerprint: str, k: int = 1) -> str:
        retriever = STORE.as_retriever(search_kwargs={"k": k})
        return tier(cache, with_unreadable_part(rag(openai, retriever)), fingerprint=fingerprint)

    assert [asks("1"), asks("1"), asks("2"), asks("1", k=2), asks("1")] == ["miss", "l1", "miss", "miss", "l1"]


class KeywordRetriever(BaseRetriever):
    """A retriever of an application's own, that says what it is by its fields."""

    word: str
    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [document for document in self.documents if self.word in document.page_content]


class GlobalRetriever(BaseRetriever):
    """A retriever that looks outside of itself."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return HIDDEN.found()


class _Hidden:
    def found(self) -> list[Document]:
        return []


HIDDEN = _Hidden()


def test_retrievers_of_ones_own_are_read_as_far_as_they_can_be(openai: Any, cache: SemanticCache) -> None:
    def asks(word: str, text: str) -> str:
        return tier(cache, rag(openai, KeywordRetriever(word=word, documents=[Document(text)])))

    assert [asks("a", "a b"), asks("a", "a b"), asks("b", "a b"), asks("a", "a c")] == ["miss", "l1", "miss", "miss"]
    assert tier(cache, rag(openai, GlobalRetriever())) == "uncached"
    assert tier(cache, rag(openai, GlobalRetriever()), fingerprint="1") == "miss"


def read_clock(text: str) -> str:
    return f"{text} on {date.today()}"


def read_file(text: str) -> str:
    with open(text) as file:  # noqa: PTH123  # what is to be found out
        return file.read()


def set_state(text: str) -> str:
    global HIDDEN
    HIDDEN = _Hidden()
    return text


def import_settings(text: str) -> str:
    import os

    return text + os.sep


@pytest.mark.parametrize("function", [read_clock, read_file, set_state, import_settings])
def test_functions_that_look_at_the_world_cannot_be_read(parrot: Any, cache: Any, function: Any) -> None:
    chain = cached_chain(RunnableLambda(function) | parrot, corpus="pets", cache=cache)
    with pytest.raises(ConfigError, match=r"the chain.* cannot be read: it "):
        chain.explain(ASKED)


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
def test_a_chain_that_keeps_its_conversation_elsewhere_is_not_cached(parrot: Any, cache: SemanticCache) -> None:
    remembering = RunnableWithMessageHistory(parrot, lambda session: None)  # type: ignore[arg-type]  # never asked
    with pytest.raises(ConfigError, match="put the chain inside it"):
        cached_chain(remembering, corpus="pets", cache=cache).explain(ASKED)


def test_no_key_reaches_the_store(openai: ChatOpenAI, cache: SemanticCache) -> None:
    chain = cached_chain(rag(openai), corpus="pets", cache=cache)
    chain.invoke(ASKED)
    request = chain._asker.ask(chain.cache.asker, ASKED, {}, {})
    assert "sk-test" not in request.context
    assert "sk-test" not in repr(next(iter(cache.store.scan())))


def test_words_that_the_scope_names_are_compared_within_a_rendered_text(openai: Any, trusting_core: Any) -> None:
    tiers = []
    for words in (ASKED, SAME_IN_OTHER_WORDS):
        with semroute.scope(query=words):
            tiers.append(tier(trusting_core, rag(openai), f"Please tell me, today: {words} Thank you."))
    assert tiers == ["miss", "l2"]


def test_a_prompt_in_a_chain_counts_with_its_messages() -> None:
    prompts = [ChatPromptTemplate.from_messages([("system", text), ("human", "{text}")]) for text in ("a", "b")]
    contexts = set()
    for prompt in [*prompts, *prompts]:
        chain = cached_chain({"text": RunnablePassthrough()} | prompt, corpus="pets", cache="memory://")
        contexts.add(chain._asker.ask(chain.cache.asker, ASKED, {}, {}).context)
    assert len(contexts) == 2
    assert format_docs([Document("a"), Document("b")]) == "a\n\nb"

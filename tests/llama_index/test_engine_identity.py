"""What must be equal for an engine's answer to be served to another one, and what happens where that cannot be read."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core import Document, PromptTemplate, SummaryIndex
from llama_index.core.base.response.schema import Response
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.postprocessor import LLMRerank, LongContextReorder, SimilarityPostprocessor
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import (
    CitationQueryEngine,
    CustomQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from llama_index.llms.openai import OpenAI
from llama_index_semroute._forms import _Reader, read
from llama_index_semroute.query_engine import SemanticCacheQueryEngine
from pydantic import PrivateAttr

from semroute import ConfigError, SemanticCache
from semroute.request import canonical

from .handbook import PAGES, QUESTION, SAME_IN_OTHER_WORDS, ReadingLLM, index_of

INDEX = index_of()


def filtered(page: str | None) -> MetadataFilters | None:
    return None if page is None else MetadataFilters(filters=[MetadataFilter(key="page", value=page)])


def engine_of(index: Any = INDEX, **changed: Any) -> Any:
    """Return an engine with one setting or another."""
    top_k, page = changed.get("top_k", 2), changed.get("page")
    model, temperature = changed.get("model", "reading-1"), changed.get("temperature", 0.0)
    prompt, cutoff = changed.get("prompt", "Context: {context_str} Question: {query_str}"), changed.get("cutoff")
    return index.as_query_engine(
        llm=ReadingLLM(name=model, temperature=temperature),
        similarity_top_k=top_k,
        filters=filtered(page),
        text_qa_template=PromptTemplate(prompt),
        summary_template=PromptTemplate(prompt),
        response_mode=changed.get("mode", "compact"),
        node_postprocessors=[] if cutoff is None else [SimilarityPostprocessor(similarity_cutoff=cutoff)],
    )


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "top_k": st.sampled_from([1, 2]),
        "page": st.sampled_from([None, "badges", "parking"]),
        "model": st.sampled_from(["reading-1", "reading-2"]),
        "temperature": st.sampled_from([0.0, 0.7]),
        "prompt": st.sampled_from(["Context: {context_str} Question: {query_str}", "{query_str}? {context_str}"]),
        "cutoff": st.sampled_from([None, -1.0, -0.9]),
        "mode": st.sampled_from(["compact", "tree_summarize"]),
        "corpus": st.sampled_from(["handbook", "handbook of old"]),
        "version": st.sampled_from([None, 1, "1", 2]),
    },
)
DEFAULTS = {
    **{"top_k": 2, "page": None, "model": "reading-1", "temperature": 0.0, "cutoff": None, "mode": "compact"},
    **{"prompt": "Context: {context_str} Question: {query_str}", "corpus": "handbook", "version": None},
}


def wrapped(cache: SemanticCache, changed: dict[str, Any]) -> SemanticCacheQueryEngine:
    named = {"corpus": changed.get("corpus", "handbook"), "corpus_version": changed.get("version")}
    return SemanticCacheQueryEngine(engine_of(**changed), cache=cache, **named)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=SETTINGS, other=SETTINGS)
def test_answers_are_served_to_engines_with_equal_settings_and_to_no_others(make_cache, one, other) -> None:
    cache = make_cache()
    wrapped(cache, one).query(QUESTION)
    tiers = [
        wrapped(cache, other).query(question).metadata["semroute"]["tier"]
        for question in (SAME_IN_OTHER_WORDS, QUESTION)
    ]
    filled = [{name: (type(value), value) for name, value in {**DEFAULTS, **each}.items()} for each in (one, other)]
    assert (tiers[0] == "l2") == (filled[0] == filled[1])
    cache.close()


class TestChangesOfAnEngineInUse:
    @pytest.mark.parametrize(
        "change",
        [
            lambda inner: setattr(inner.retriever, "similarity_top_k", 1),
            lambda inner: inner.retriever._filters.filters.append(
                MetadataFilter(key="team", value="desk", operator="!=")
            ),
            lambda inner: setattr(inner.retriever._filters.filters[0], "value", "parking"),
            lambda inner: inner.update_prompts(
                {"response_synthesizer:text_qa_template": PromptTemplate("{context_str}: {query_str}")}
            ),
            lambda inner: setattr(inner._response_synthesizer._llm, "temperature", 0.9),
            lambda inner: inner._node_postprocessors.append(LongContextReorder()),
        ],
        ids=["top_k", "another filter", "another value of a filter", "prompt", "temperature", "postprocessor"],
    )
    def test_they_are_seen_at_the_next_query(self, cache, change) -> None:
        engine = SemanticCacheQueryEngine(engine_of(page="badges"), cache=cache, corpus="handbook")
        engine.query(QUESTION)
        assert engine.query(QUESTION).metadata["semroute"]["tier"] == "l1"
        change(engine.inner)
        assert engine.query(QUESTION).metadata["semroute"]["tier"] == "miss"

    def test_prompts_are_changed_by_the_names_that_the_engine_itself_has(self, cache) -> None:
        engine = SemanticCacheQueryEngine(engine_of(), cache=cache, corpus="handbook")
        engine.query(QUESTION)
        assert engine.get_prompts().keys() == engine.inner.get_prompts().keys()
        engine.update_prompts({"response_synthesizer:text_qa_template": PromptTemplate("{context_str}")})
        assert engine.query(QUESTION).metadata["semroute"]["tier"] == "miss"

    def test_a_version_that_is_counted_up_by_hand_parts_the_answers(self, cache) -> None:
        version = [1]
        engine = SemanticCacheQueryEngine(
            engine_of(), cache=cache, corpus="handbook", corpus_version=lambda: version[0]
        )
        tiers = []
        for version[0] in (1, 2, 1):
            tiers.append(engine.query(QUESTION).metadata["semroute"]["tier"])
        assert tiers == ["miss", "miss", "l1"]


def test_an_engine_that_was_made_before_documents_came_answers_for_itself_alone(cache) -> None:
    # An index in memory binds each retriever to the nodes that it has at that moment.
    index = index_of()
    old = SemanticCacheQueryEngine(engine_of(index), cache=cache, corpus="handbook")
    old.query(QUESTION)
    index.insert(Document(text="A lost badge is blocked by the caretaker.", doc_id="more"))
    assert old.query(QUESTION).metadata["semroute"]["tier"] == "miss"
    new = SemanticCacheQueryEngine(engine_of(index), cache=cache, corpus="handbook")
    cache.invalidate(corpus="handbook")
    assert "caretaker" not in str(old.query(QUESTION).source_nodes)
    assert "caretaker" in str(new.query(QUESTION).source_nodes)


class FixedRetriever(BaseRetriever):
    """Finds what a function of the application's own finds."""

    def __init__(self, find: Any) -> None:
        self._find = find
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text=self._find(query_bundle.query_str)), score=1.0)]


def engine_over(find: Any) -> RetrieverQueryEngine:
    return RetrieverQueryEngine.from_args(FixedRetriever(find), llm=ReadingLLM())


RIGHTS = {"of": "everyone"}


def find_badges(question: str) -> str:
    return f"{PAGES['badges']} {RIGHTS['of']}"


def find_badges_today(question: str) -> str:
    return f"{PAGES['badges']} {time.time()}"


class Levels(BaseNodePostprocessor):
    """Lets through what readers of a level may see; keeps the level where no field tells it."""

    _level: int = PrivateAttr(default=0)

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def _postprocess_nodes(self, nodes: Any, query_bundle: Any = None) -> Any:
        return nodes[: self._level]


class StyledLLM(ReadingLLM):
    _style: str = PrivateAttr(default="plain")

    def __init__(self, style: str) -> None:
        super().__init__()
        self._style = style


class TestWhatIsKeptInPrivate:
    def tiers(self, cache: SemanticCache, inner: list[Any]) -> list[str]:
        engines = [SemanticCacheQueryEngine(each, cache=cache, corpus="handbook") for each in inner]
        return [engine.query(QUESTION).metadata["semroute"]["tier"] for engine in engines]

    def test_it_counts_as_what_is_told(self, cache) -> None:
        inner = [INDEX.as_query_engine(llm=ReadingLLM(), node_postprocessors=[Levels(level)]) for level in (2, 1, 2)]
        assert self.tiers(cache, inner) == ["miss", "miss", "l1"]

    def test_a_change_of_it_is_seen(self, cache) -> None:
        levels = Levels(2)
        engine = INDEX.as_query_engine(llm=ReadingLLM(), node_postprocessors=[levels])
        wrapped = SemanticCacheQueryEngine(engine, cache=cache, corpus="handbook")
        wrapped.query(QUESTION)
        levels._level = 1
        assert wrapped.query(QUESTION).metadata["semroute"]["tier"] == "miss"

    def test_functions_that_the_frameworks_own_keep_there_are_read(self, cache) -> None:
        def picks(number: int) -> Any:
            return LLMRerank(llm=ReadingLLM(), parse_choice_select_answer_fn=lambda answer, count: ([number], [1.0]))

        inner = [INDEX.as_query_engine(llm=ReadingLLM(), node_postprocessors=[picks(number)]) for number in (1, 2, 1)]
        assert self.tiers(cache, inner) == ["miss", "miss", "l1"]

    def test_models_of_the_applications_own_are_told_apart_by_it(self, cache) -> None:
        inner = [INDEX.as_query_engine(llm=StyledLLM(style)) for style in ("plain", "curt", "plain")]
        assert self.tiers(cache, inner) == ["miss", "miss", "l1"]


class ClientLLM(ReadingLLM):
    _client: Any = PrivateAttr(default_factory=object)


def test_a_model_that_hides_what_it_is_answers_for_itself_alone_and_that_is_said(cache, caplog) -> None:
    tiers = []
    for llm in (one := ClientLLM(), one, ClientLLM()):
        engine = SemanticCacheQueryEngine(INDEX.as_query_engine(llm=llm), cache=cache, corpus="handbook")
        tiers.append(engine.query(QUESTION).metadata["semroute"]["tier"])
    assert tiers == ["miss", "l1", "miss"]
    assert "ClientLLM keeps in '_client' what cannot be read" in caplog.text


class TestFunctionsOfTheApplicationsOwn:
    def test_they_are_told_apart_by_their_code(self, cache) -> None:
        tiers = []
        for find in (find_badges, find_badges, lambda question: PAGES["badges"], lambda question: PAGES["travel"]):
            engine = SemanticCacheQueryEngine(engine_over(find), cache=cache, corpus="handbook")
            tiers.append(engine.query(QUESTION).metadata["semroute"]["tier"])
        assert tiers == ["miss", "l1", "miss", "miss"]

    def test_what_they_take_from_outside_counts_as_it_is_at_the_time(self, cache, monkeypatch) -> None:
        engine = SemanticCacheQueryEngine(engine_over(find_badges), cache=cache, corpus="handbook")
        engine.query(QUESTION)
        monkeypatch.setitem(RIGHTS, "of", "managers")
        assert engine.query(QUESTION).metadata["semroute"]["tier"] == "miss"
        monkeypatch.setitem(globals(), "RIGHTS", {"of": "directors"})
        assert engine.query(QUESTION).metadata["semroute"]["tier"] == "miss"
        assert engine.query(QUESTION).metadata["semroute"]["tier"] == "l1"


class HouseEngine(CustomQueryEngine):
    floor: int

    def custom_query(self, query_str: str) -> Response:
        return Response(f"On floor {self.floor}.")


class TestWhatCannotBeRead:
    def engine(self) -> RetrieverQueryEngine:
        return engine_over(find_badges_today)

    def test_it_is_not_cached_and_the_warning_says_what_to_give(self, cache, caplog) -> None:
        engine = SemanticCacheQueryEngine(self.engine(), cache=cache, corpus="handbook")
        for _ in range(3):
            assert "badge" in str(engine.query(QUESTION))
        assert cache.stats().lookups == 0
        (record,) = caplog.records
        assert "RetrieverQueryEngine._retriever._find is a function that cannot be read: it uses" in record.message
        assert "fingerprint=" in record.message
        with pytest.raises(ConfigError, match="_find is a function"):
            engine.explain(QUESTION)

    def test_a_fingerprint_stands_for_it(self, cache) -> None:
        tiers = []
        for fingerprint in ("badges, v1", "badges, v1", "badges, v2"):
            engine = SemanticCacheQueryEngine(self.engine(), cache=cache, corpus="handbook", fingerprint=fingerprint)
            tiers.append(engine.query(QUESTION).metadata["semroute"]["tier"])
        assert tiers == ["miss", "l1", "miss"]

    def test_an_engine_of_the_applications_own_is_told_apart_by_its_fields(self, cache) -> None:
        tiers = []
        for floor in (1, 1, 2):
            engine = SemanticCacheQueryEngine(HouseEngine(floor=floor), cache=cache, corpus="house")
            tiers.append(engine.query(QUESTION).metadata["semroute"]["tier"])
        assert tiers == ["miss", "l1", "miss"]

    def test_one_that_does_not_tell_its_documents_needs_their_name(self, cache, caplog) -> None:
        SemanticCacheQueryEngine(HouseEngine(floor=1), cache=cache).query(QUESTION)
        assert "give its documents a name (corpus=…)" in caplog.text
        assert cache.stats().lookups == 0


class TestDocumentsWithoutAName:
    def test_two_indices_with_equal_settings_are_refused(self, cache) -> None:
        first = SemanticCacheQueryEngine(engine_of(), cache=cache)
        with pytest.raises(ConfigError, match="corpus="):
            SemanticCacheQueryEngine(engine_of(index_of()), cache=cache)
        again = SemanticCacheQueryEngine(engine_of(), cache=cache)
        first.query(QUESTION)
        assert again.query(QUESTION).metadata["semroute"]["tier"] == "l1"

    def test_an_index_in_the_place_of_one_that_is_gone_is_welcome_and_shares_nothing(self, cache) -> None:
        engine = SemanticCacheQueryEngine(engine_of(index_of()), cache=cache)
        engine.query(QUESTION)
        del engine
        gc.collect()
        engine = SemanticCacheQueryEngine(engine_of(index_of()), cache=cache)
        assert engine.query(QUESTION).metadata["semroute"]["tier"] == "miss"

    def test_names_keep_them_apart(self, cache) -> None:
        tiers = []
        for name in ("a", "b", "a"):
            engine = SemanticCacheQueryEngine(engine_of(index_of()), cache=cache, corpus=name)
            tiers.append(engine.query(QUESTION).metadata["semroute"]["tier"])
        assert tiers == ["miss", "miss", "l1"]

    def test_other_settings_need_no_name(self, cache) -> None:
        SemanticCacheQueryEngine(engine_of(), cache=cache)
        SemanticCacheQueryEngine(engine_of(index_of(), top_k=1), cache=cache)


def test_the_frameworks_own_engines_can_be_read(cache) -> None:
    llm = ReadingLLM()
    plain = INDEX.as_query_engine(llm=llm)
    tool = QueryEngineTool.from_defaults(plain, name="handbook", description="What the handbook says.")
    engines = [
        RouterQueryEngine(LLMSingleSelector.from_defaults(llm=llm), [tool], llm=llm),
        SubQuestionQueryEngine.from_defaults([tool], question_gen=LLMQuestionGenerator.from_defaults(llm=llm), llm=llm),
        TransformQueryEngine(plain, HyDEQueryTransform(llm=llm)),
        CitationQueryEngine.from_args(INDEX, llm=llm),
        SummaryIndex([TextNode(text="x")]).as_query_engine(llm=llm),
        RetrieverQueryEngine.from_args(QueryFusionRetriever([INDEX.as_retriever()], llm=llm), llm=llm),
        SemanticCacheQueryEngine(plain, cache=cache, corpus="handbook"),
    ]
    forms = [SemanticCacheQueryEngine(engine, cache=cache)._asker.form() for engine in engines]
    assert len({form["engine"] for form in forms}) == len(engines)


def test_keys_are_never_read_so_that_one_may_take_the_place_of_another(cache) -> None:
    engines = [
        INDEX.as_query_engine(llm=OpenAI(model="gpt-4o-mini", api_key=key, default_headers={"authorization": key}))
        for key in ("sk-of-the-one", "sk-of-the-other")
    ]
    assert read(engines[0]).digest == read(engines[1]).digest
    assert "sk-of" not in canonical(_Reader().form(engines[0], "engine"))


def test_the_form_is_the_same_in_every_process(run_python) -> None:
    script = """
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index_semroute._forms import read
print(read(VectorStoreIndex([], embed_model=MockEmbedding(2)).as_query_engine(llm=MockLLM())).digest)
"""
    assert run_python(script, PYTHONHASHSEED="1") == run_python(script, PYTHONHASHSEED="2")

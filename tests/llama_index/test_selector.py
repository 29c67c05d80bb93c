"""SemrouteSelector: the right engine, without asking a model where nobody need be asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex, VectorStoreIndex
from llama_index.core.base.base_selector import BaseSelector, MultiSelection, SelectorResult, SingleSelection
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM, MockLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.schema import QueryBundle
from llama_index.core.selectors import LLMMultiSelector, LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool, ToolMetadata
from llama_index.llms.openai import OpenAI
from llama_index_semroute._selections import SemrouteSelection
from llama_index_semroute.embeddings import SemrouteEmbedding
from llama_index_semroute.query_engine import SemanticCacheQueryEngine
from llama_index_semroute.selector import SemrouteSelector

from semroute import SemanticCache, scope
from semroute.errors import ConfigError, EmbedderError
from semroute.testing.embedders import FailingEmbedder, HashEmbedder
from tests.langchain.openai_stub import OpenAIStub

CHOICES = (
    ToolMetadata(name="facts", description="answers questions about single facts: prices, dates, names"),
    ToolMetadata(name="summaries", description="writes summaries of whole documents"),
    ToolMetadata(name="code", description="explains code: functions, classes, errors"),
)
QUESTION = "Which dates and prices are there?"


class Chooser(BaseSelector):
    """A selector that says what it is told to, and counts."""

    def __init__(self, *indices: int, confidence: float | None = None, note: str = "") -> None:
        self.indices = list(indices)
        self.confidence = confidence
        self.note = note
        self._asked = _Count()
        self.error: Exception | None = None

    @property
    def asked(self) -> int:
        return self._asked.number

    def _get_prompts(self) -> dict[str, Any]:
        return {"prompt": PromptTemplate(f"choose {self.note}")}

    def _update_prompts(self, prompts: Any) -> None:
        self.note = prompts["prompt"].template

    def _select(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        self._asked.number += 1
        if self.error is not None:
            raise self.error
        selections = [SingleSelection(index=index, reason=f"it is {choices[index].name}") for index in self.indices]
        if self.confidence is None:
            return SelectorResult(selections=selections)
        return _Sure(selections=selections, confidence=self.confidence)

    async def _aselect(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        return self._select(choices, query)


class _Count:
    """A number that is no setting of what holds it."""

    def __init__(self) -> None:
        self.number = 0

    def _semroute_form(self) -> str:
        return "count"


class _Sure(SelectorResult):
    confidence: float


class Side:
    """The sync or the async side of a selector or an engine."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async

    async def select(
        self, selector: BaseSelector, question: Any = QUESTION, choices: Sequence[ToolMetadata] = CHOICES
    ) -> SemrouteSelection:
        selected = await selector.aselect(choices, question) if self.is_async else selector.select(choices, question)
        assert isinstance(selected, SemrouteSelection)
        return selected

    async def query(self, engine: RouterQueryEngine, question: str) -> Any:
        return await engine.aquery(question) if self.is_async else engine.query(question)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def side(request: pytest.FixtureRequest) -> Side:
    return Side(is_async=request.param)


class TestByMeaning:
    async def test_the_nearest_description_is_chosen_with_its_confidence(self, side: Side) -> None:
        selector = SemrouteSelector(embedder=HashEmbedder())
        found = await side.select(selector, "functions, classes, errors")
        assert (found.ind, found.inds) == (2, [2])
        assert found.decision.origin == "embedder"
        assert found.decision.similarities is not None
        assert max(range(3), key=found.decision.similarities.__getitem__) == 2
        assert found.confidence is not None
        assert 0.9 < found.confidence <= 1.0
        assert "similarity" in found.reason

    async def test_a_question_that_is_as_near_to_all_has_no_more_confidence_than_chance(self, side: Side) -> None:
        same = [ToolMetadata(name=name, description="the same") for name in "abcd"]
        found = await side.select(SemrouteSelector(embedder=HashEmbedder()), "what", same)
        assert found.confidence == pytest.approx(0.25)

    async def test_the_confidence_is_the_softmax_that_is_documented(self, side: Side) -> None:
        import math

        found = await side.select(SemrouteSelector(embedder=HashEmbedder()), "prices of whole documents")
        near = found.decision.similarities
        assert near is not None
        shares = [math.exp(each / 0.05) for each in near]
        assert found.confidence == pytest.approx(max(shares) / sum(shares))

    async def test_descriptions_are_embedded_once_and_a_question_once_a_call(self, side: Side) -> None:
        embedder = _Counted()
        selector = SemrouteSelector(embedder=embedder)
        for _ in range(3):
            await side.select(selector)
        assert embedder.texts == [*(choice.description for choice in CHOICES), QUESTION, QUESTION, QUESTION]

    async def test_changed_descriptions_count_at_once(self, side: Side) -> None:
        selector = SemrouteSelector(embedder=HashEmbedder())
        assert (await side.select(selector, "functions, classes, errors")).ind == 2
        assert (await side.select(selector, "functions, classes, errors", CHOICES[::-1])).ind == 0

    async def test_a_choice_without_a_description_is_compared_by_its_name(self, side: Side) -> None:
        choices = [ToolMetadata(name="invoices", description=""), ToolMetadata(name="x", description="photographs")]
        assert (await side.select(SemrouteSelector(embedder=HashEmbedder()), "invoices", choices)).ind == 0

    @pytest.mark.parametrize("question", ["", "   ", "word " * 5_000, "🙂", "a lone \ud800 surrogate"])
    async def test_strange_questions_are_no_error(self, side: Side, question: str) -> None:
        found = await side.select(SemrouteSelector(embedder=HashEmbedder()), question)
        assert found.ind in range(3)

    async def test_without_an_embedder_the_caches_own_is_used(self, side: Side, cache: SemanticCache) -> None:
        assert (await side.select(SemrouteSelector(cache=cache), "functions, classes, errors")).ind == 2

    async def test_an_embedder_that_fails_leaves_nothing_to_choose_by(self, side: Side) -> None:
        with pytest.raises(EmbedderError):
            await side.select(SemrouteSelector(embedder=FailingEmbedder()))


class _Counted(HashEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return super().embed(texts)


class TestRoundAnother:
    async def test_the_inner_selector_is_asked_once_for_each_meaning(
        self, side: Side, trusting_core: SemanticCache
    ) -> None:
        chooser = Chooser(1)
        selector = SemrouteSelector(chooser, cache=trusting_core)
        found = [await side.select(selector, each) for each in (QUESTION, QUESTION, "which DATES and prices are there")]
        assert [each.ind for each in found] == [1, 1, 1]
        assert [each.decision.origin for each in found] == ["selector", "cache", "cache"]
        assert [(each.decision.semroute or {})["tier"] for each in found] == ["miss", "l1", "l2"]
        assert {each.reason for each in found} == {"it is summaries"}
        assert chooser.asked == 1

    async def test_its_confidence_is_kept(self, side: Side, cache: SemanticCache) -> None:
        selector = SemrouteSelector(Chooser(1, confidence=0.625), cache=cache)
        assert [(await side.select(selector)).confidence for _ in range(2)] == [0.625, 0.625]
        selector = SemrouteSelector(Chooser(1), cache=cache)
        assert [(await side.select(selector)).confidence for _ in range(2)] == [None, None]

    async def test_several_selections_are_kept_in_their_order(self, side: Side, cache: SemanticCache) -> None:
        selector = SemrouteSelector(Chooser(2, 0), cache=cache)
        found = [await side.select(selector) for _ in range(2)]
        assert [each.inds for each in found] == [[2, 0], [2, 0]]
        assert [each.reasons for each in found] == [["it is code", "it is facts"]] * 2

    async def test_what_a_caller_does_to_a_result_changes_no_other(self, side: Side, cache: SemanticCache) -> None:
        selector = SemrouteSelector(Chooser(1), cache=cache)
        for _ in range(3):
            found = await side.select(selector)
            assert found.ind == 1
            found.selections[0].index = 7
            found.selections.clear()

    @pytest.mark.parametrize(
        "choices",
        [
            CHOICES[::-1],
            CHOICES[:2],
            [CHOICES[0], CHOICES[1], ToolMetadata(name="code", description="something else")],
            [CHOICES[0], CHOICES[1], ToolMetadata(name="other", description=CHOICES[2].description)],
        ],
        ids=["order", "fewer", "description", "name"],
    )
    async def test_other_choices_are_another_question(
        self, side: Side, trusting_core: SemanticCache, choices: Sequence[ToolMetadata]
    ) -> None:
        chooser = Chooser(1)
        selector = SemrouteSelector(chooser, cache=trusting_core)
        await side.select(selector)
        found = await side.select(selector, choices=choices)
        assert (chooser.asked, found.decision.origin) == (2, "selector")

    async def test_another_prompt_of_the_inner_selector_is_another_question(
        self, side: Side, cache: SemanticCache
    ) -> None:
        chooser = Chooser(1)
        selector = SemrouteSelector(chooser, cache=cache)
        await side.select(selector)
        assert selector.get_prompts().keys() == chooser.get_prompts().keys() == {"prompt"}
        selector.update_prompts({"prompt": PromptTemplate("choose with care")})
        assert chooser.note == "choose with care"
        await side.select(selector)
        await side.select(SemrouteSelector(Chooser(1, note="choose with care"), cache=cache))
        assert chooser.asked == 2

    async def test_another_tenant_is_asked_anew_and_bypass_asks_always(self, side: Side, cache: SemanticCache) -> None:
        chooser = Chooser(1)
        selector = SemrouteSelector(chooser, cache=cache)
        with scope(tenant="a"):
            await side.select(selector)
            await side.select(selector)
        assert chooser.asked == 1
        with scope(tenant="b"):
            await side.select(selector)
        assert chooser.asked == 2
        with scope(tenant="a", bypass=True):
            found = await side.select(selector)
        assert (chooser.asked, found.decision.origin) == (3, "selector")

    async def test_embedding_strings_of_a_bundle_are_part_of_the_question(
        self, side: Side, cache: SemanticCache
    ) -> None:
        chooser = Chooser(1)
        selector = SemrouteSelector(chooser, cache=cache)
        await side.select(selector, QueryBundle(QUESTION))
        await side.select(selector, QueryBundle(QUESTION, custom_embedding_strs=["other"]))
        assert chooser.asked == 2

    @pytest.mark.parametrize("index", [3, -1])
    async def test_a_selection_of_what_is_not_there_is_handed_out_and_not_kept(
        self, side: Side, cache: SemanticCache, index: int
    ) -> None:
        class Wild(Chooser):
            def _select(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
                self._asked.number += 1
                return SelectorResult(selections=[SingleSelection(index=index, reason="?")])

            def _semroute_form(self) -> str:
                return "wild"

        chooser = Wild()
        selector = SemrouteSelector(chooser, cache=cache)
        assert [(await side.select(selector)).ind for _ in range(2)] == [index, index]
        assert chooser.asked == 2

    async def test_an_inner_selector_that_fails_fails_for_the_caller_and_leaves_nothing(
        self, side: Side, cache: SemanticCache
    ) -> None:
        class Ill(Chooser):
            def _semroute_form(self) -> str:
                return "ill"

        chooser = Ill(1)
        chooser.error = ConnectionError("no")
        selector = SemrouteSelector(chooser, cache=cache)
        with pytest.raises(ConnectionError):
            await side.select(selector)
        chooser.error = None
        assert (await side.select(selector)).ind == 1
        assert len(cache.flights) == 0

    async def test_an_inner_selector_that_cannot_be_read_is_asked_each_time_and_said_so_once(
        self, side: Side, cache: SemanticCache, caplog: pytest.LogCaptureFixture
    ) -> None:
        chooser = Chooser(1)
        chooser.note = object()  # type: ignore[assignment]  # what is being tested
        selector = SemrouteSelector(chooser, cache=cache)
        for _ in range(3):
            assert (await side.select(selector)).ind == 1
        assert chooser.asked == 3
        said = [record for record in caplog.records if "a selector is asked each time" in record.message]
        assert [record.levelname for record in said].count("WARNING") == 1

    async def test_a_store_that_is_down_costs_the_caller_nothing(self, side: Side, tmp_path: Any) -> None:
        cache = SemanticCache(tmp_path, embedder=HashEmbedder())  # a folder is no database
        assert (await side.select(SemrouteSelector(Chooser(1), cache=cache))).ind == 1
        cache.close()


class TestBoth:
    async def test_the_inner_selector_is_asked_only_where_the_embedder_is_not_sure(
        self, side: Side, cache: SemanticCache
    ) -> None:
        chooser = Chooser(0)
        selector = SemrouteSelector(chooser, cache=cache, embedder=HashEmbedder(4096))
        assert (await side.select(selector, "functions, classes, errors")).ind == 2
        assert chooser.asked == 0
        found = await side.select(selector, "Where does one begin?")
        assert (found.ind, found.decision.origin, chooser.asked) == (0, "selector", 1)
        assert found.decision.similarities is not None
        assert (await side.select(selector, "Where does one begin?")).decision.origin == "cache"

    @pytest.mark.parametrize(("floor", "asked"), [(0.0, 0), (1.0, 1)])
    async def test_the_floor_decides(self, side: Side, cache: SemanticCache, floor: float, asked: int) -> None:
        chooser = Chooser(0)
        selector = SemrouteSelector(chooser, cache=cache, embedder=HashEmbedder(), min_confidence=floor)
        await side.select(selector, "Where does one begin?")
        assert chooser.asked == asked

    async def test_a_question_is_embedded_once_where_the_embedder_is_the_caches(
        self, side: Side, make_cache: Callable[..., SemanticCache]
    ) -> None:
        embedder = _Counted()
        cache = make_cache(embedder=embedder)
        selector = SemrouteSelector(Chooser(0), cache=cache, embedder=embedder, min_confidence=1.0)
        await side.select(selector, "Where does one begin?")
        assert embedder.texts.count("Where does one begin?") == 1
        with scope(query="one"):
            await side.select(selector, "Where does one begin?")
        assert embedder.texts.count("one") == 1

    async def test_an_embedder_that_fails_leaves_the_inner_selector(self, side: Side, cache: SemanticCache) -> None:
        selector = SemrouteSelector(Chooser(1), cache=cache, embedder=FailingEmbedder())
        assert (await side.select(selector)).decision.origin == "selector"


class TestParts:
    @pytest.mark.parametrize(
        "parts",
        [
            {"inner": "llm"},
            {"embedder": "local"},
            {"embedder": SemrouteEmbedding(HashEmbedder())},
            {"min_confidence": 1.5},
            {"min_confidence": float("nan")},
            {"min_confidence": True},
            {"cache": 7},
        ],
    )
    def test_what_cannot_be_a_part_is_refused(self, parts: dict[str, Any]) -> None:
        with pytest.raises(ConfigError):
            SemrouteSelector(**parts)

    async def test_nothing_to_choose_from_is_an_error(self, side: Side) -> None:
        with pytest.raises(ConfigError, match="at least one choice"):
            await side.select(SemrouteSelector(embedder=HashEmbedder()), choices=[])

    def test_making_one_loads_and_opens_nothing(self) -> None:
        assert "not loaded" in repr(SemrouteSelector())


class _Repeating:
    """A program that gives the very same object each time, as one behind a cache of its own does."""

    def __init__(self, output: SingleSelection | MultiSelection) -> None:
        self.output = output

    def __call__(self, **_: Any) -> SingleSelection | MultiSelection:
        return self.output

    async def acall(self, **_: Any) -> SingleSelection | MultiSelection:
        return self.output

    def _semroute_form(self) -> str:
        return "repeating"


class TestTheFrameworksSelectors:
    async def test_a_kept_result_does_not_drift_though_the_framework_counts_down_in_place(
        self, side: Side, cache: SemanticCache
    ) -> None:
        alone = PydanticSingleSelector(_Repeating(SingleSelection(index=3, reason="r")))  # type: ignore[arg-type]  # a program by its methods
        drifting = [alone.select(CHOICES, QUESTION).ind for _ in range(3)]
        assert drifting == [2, 1, 0], "the trap that this is about"
        ours = SemrouteSelector(
            PydanticSingleSelector(_Repeating(SingleSelection(index=3, reason="r"))),  # type: ignore[arg-type]  # as above
            cache=cache,
        )
        kept = [await side.select(ours) for _ in range(3)]
        assert [each.ind for each in kept] == [2, 2, 2]
        await side.select(ours, "Another question entirely, about whales")
        assert [each.ind for each in kept] == [2, 2, 2], "nor what was handed out before"

    async def test_an_llm_selector_is_told_apart_by_its_model(self, side: Side, cache: SemanticCache) -> None:
        def selector(llm: Any) -> SemrouteSelector:
            return SemrouteSelector(LLMSingleSelector.from_defaults(llm=llm), cache=cache)

        parsed = SemrouteSelector(LLMMultiSelector.from_defaults(llm=Saying(2, 1)), cache=cache)
        assert [(await side.select(parsed)).inds for _ in range(2)] == [[1, 0], [1, 0]]
        assert [(await side.select(selector(Saying(2)))).decision.origin for _ in range(2)] == ["selector", "cache"]
        assert (await side.select(selector(Saying(2, name="other")))).decision.origin == "selector"


class Saying(CustomLLM):
    """Says which choices it takes, counted from one, as the framework's prompts ask it to."""

    said: str
    name: str = "saying"

    def __init__(self, *choices: int, **settings: Any) -> None:
        said = json.dumps([{"choice": choice, "reason": f"number {choice}"} for choice in choices])
        super().__init__(**{"said": said, **settings})

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.name)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.said)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        raise AssertionError("nobody asks for a stream")


class TestInARouterQueryEngine:
    @pytest.fixture
    def tools(self) -> list[QueryEngineTool]:
        embedding = SemrouteEmbedding(HashEmbedder())
        prices = VectorStoreIndex.from_documents([Document(text="A ring costs nine.")], embed_model=embedding)
        story = SummaryIndex.from_documents([Document(text="There was a ring. It was lost.")])
        llm = MockLLM()
        return [
            QueryEngineTool.from_defaults(prices.as_query_engine(llm=llm), "prices", "what things cost: prices"),
            QueryEngineTool.from_defaults(story.as_query_engine(llm=llm), "story", "tells what happened to the ring"),
        ]

    async def test_it_chooses_by_meaning(self, side: Side, tools: list[QueryEngineTool]) -> None:
        engine = RouterQueryEngine(SemrouteSelector(embedder=HashEmbedder()), tools, llm=MockLLM())
        response = await side.query(engine, "tell me what happened to the ring")
        assert "It was lost." in response.source_nodes[0].text
        result = response.metadata["selector_result"]
        assert (result.ind, result.decision.origin) == (1, "embedder")
        assert (await side.query(engine, "what things cost: prices?")).metadata["selector_result"].ind == 0

    async def test_a_model_is_asked_once_over_http(
        self,
        side: Side,
        tools: list[QueryEngineTool],
        make_openai: Callable[..., OpenAI],
        stub: OpenAIStub,
        cache: SemanticCache,
    ) -> None:
        inner = PydanticSingleSelector.from_defaults(llm=make_openai())
        engine = RouterQueryEngine(SemrouteSelector(inner, cache=cache), tools, llm=MockLLM())
        # The stub takes numbers out of the user's words: "(1) what things cost" stands first in the prompt.
        responses = [await side.query(engine, "Tell me, what happened?") for _ in range(3)]
        found = [response.metadata["selector_result"] for response in responses]
        assert len({each.ind for each in found}) == 1
        assert [each.decision.origin for each in found] == ["selector", "cache", "cache"]
        assert stub.calls == 1
        other = PydanticSingleSelector.from_defaults(llm=make_openai(model="gpt-4o"))
        await side.query(
            RouterQueryEngine(SemrouteSelector(other, cache=cache), tools, llm=MockLLM()), "Tell me, what happened?"
        )
        assert stub.calls == 2

    async def test_behind_a_cached_query_engine_it_is_part_of_the_key(
        self, side: Side, tools: list[QueryEngineTool], make_cache: Callable[..., SemanticCache]
    ) -> None:
        cache = make_cache()

        async def tier(selector: SemrouteSelector) -> str:
            inner = RouterQueryEngine(selector, tools, llm=MockLLM())
            engine = SemanticCacheQueryEngine(inner, cache=cache, corpus="ring")
            response = await engine.aquery(QUESTION) if side.is_async else engine.query(QUESTION)
            return str((response.metadata or {})["semroute"]["tier"])

        assert [await tier(SemrouteSelector(embedder=HashEmbedder())) for _ in range(2)] == ["miss", "l1"]
        assert await tier(SemrouteSelector(embedder=HashEmbedder(seed=1))) == "miss"
        assert [await tier(SemrouteSelector(Chooser(1), cache=cache)) for _ in range(2)] == ["miss", "l1"]
        assert await tier(SemrouteSelector(Chooser(0), cache=cache)) == "miss"

    async def test_several_engines_are_combined(
        self, side: Side, tools: list[QueryEngineTool], cache: SemanticCache
    ) -> None:
        inner = LLMMultiSelector.from_defaults(llm=Saying(1, 2))
        engine = RouterQueryEngine(SemrouteSelector(inner, cache=cache), tools, llm=MockLLM())
        for origin in ("selector", "cache"):
            response = await side.query(engine, "What happened, and what does it cost?")
            assert len(response.source_nodes) == 2
            assert response.metadata["selector_result"].decision.origin == origin

"""RoutedLLM: each call goes to the cache, or to the LLM that it needs."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import MockLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index_semroute.cached_llm import cached
from llama_index_semroute.query_engine import SemanticCacheQueryEngine
from llama_index_semroute.routed_llm import RoutedLLM
from pydantic import BaseModel

from semroute import SemanticCache, scope
from semroute.errors import ConfigError
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.learned import LearnedRouter
from semroute.router.outcomes import Outcomes
from tests.langchain.openai_stub import OpenAIStub
from tests.langchain.routing import TellingRouter, WaveringRouter

from .handbook import QUESTION, index_of
from .voices import EASY, HARD, Voice, Way

MakeCache = Callable[..., SemanticCache]


@pytest.fixture(
    params=[(False, False), (True, False), (False, True), (True, True)],
    ids=["sync", "async", "sync stream", "async stream"],
)
def way(request: pytest.FixtureRequest) -> Way:
    is_async, is_stream = request.param
    return Way(is_async=is_async, is_stream=is_stream)


@pytest.fixture
def router() -> TellingRouter:
    return TellingRouter()


@pytest.fixture
def small() -> Voice:
    return Voice(name="small")


@pytest.fixture
def large() -> Voice:
    return Voice(name="large")


@pytest.fixture
def core(make_cache: MakeCache, router: TellingRouter) -> SemanticCache:
    return make_cache(router=router, guards=())


@pytest.fixture
def routed(small: Voice, large: Voice, core: SemanticCache) -> RoutedLLM:
    return RoutedLLM({"small": small, "large": large}, cache=core)


@pytest.fixture
def grouped(small: Voice, large: Voice, core: SemanticCache) -> RoutedLLM:
    return RoutedLLM({"small": small, "large": large}, cache=core, group="support")


def told(replies: list[Any]) -> dict[str, Any]:
    markers = [reply.additional_kwargs["semroute"] for reply in replies]
    assert all(marker == markers[0] for marker in markers), "every chunk tells the same"
    return dict(markers[0])


def text(replies: list[Any]) -> str:
    last = replies[-1]
    whole = last.text if hasattr(last, "text") else last.message.content
    deltas = "".join(reply.delta or "" for reply in replies)
    assert len(replies) == 1 or deltas == whole
    return str(whole)


class TestWhichModel:
    async def test_each_call_goes_to_the_model_that_it_needs(self, way: Way, routed: RoutedLLM) -> None:
        for words, name in ((EASY, "small"), (HARD, "large")):
            replies = await way.chat(routed, words)
            assert text(replies) == f"{name} says: {words}"
            marker = told(replies)
            assert (marker["tier"], marker["model"], marker["fallback_from"]) == ("miss", name, [])
            assert marker["decision"]["complexity"] == ("low" if name == "small" else "high")
            assert marker["choice"]

    async def test_a_repeated_question_is_served_and_costs_neither_a_call_nor_a_decision(
        self, way: Way, routed: RoutedLLM, small: Voice, router: TellingRouter
    ) -> None:
        for tier in ("miss", "l1", "l1"):
            replies = await way.chat(routed, EASY)
            assert (told(replies)["tier"], told(replies)["model"]) == (tier, "small")
            assert text(replies) == f"small says: {EASY}"
        assert len(small.calls) == 1
        assert router.asked == [EASY]

    async def test_a_paraphrase_is_served_its_own_models_answer(self, way: Way, routed: RoutedLLM) -> None:
        await way.chat(routed, EASY)
        replies = await way.chat(routed, "what are CATS")
        assert (told(replies)["tier"], text(replies)) == ("l2", f"small says: {EASY}")

    async def test_a_completion_is_routed_too_and_is_none_of_a_chat(self, way: Way, routed: RoutedLLM) -> None:
        await way.chat(routed, HARD)
        for tier in ("miss", "l1"):
            replies = await way.complete(routed, HARD)
            assert (told(replies)["tier"], text(replies)) == (tier, f"large says: {HARD}")

    async def test_a_named_model_is_exact(self, way: Way, grouped: RoutedLLM, small: Voice, large: Voice) -> None:
        await way.chat(grouped, EASY)
        replies = await way.chat(grouped, EASY, model="large")
        assert (told(replies)["tier"], told(replies)["model"], text(replies)) == (
            *("miss", "large"),
            f"large says: {EASY}",
        )
        assert told(await way.chat(grouped, EASY, model="large"))["tier"] == "l1"
        assert (len(small.calls), len(large.calls)) == (1, 1)

    @pytest.mark.parametrize("model", ["huge", 7])
    async def test_a_model_that_is_not_there_is_an_error(self, way: Way, routed: RoutedLLM, model: Any) -> None:
        with pytest.raises(ConfigError):
            await way.chat(routed, EASY, model=model)

    async def test_a_router_that_fails_leaves_the_strongest(self, way: Way, routed: RoutedLLM) -> None:
        replies = await way.chat(routed, "Fail to decide")
        assert (told(replies)["model"], told(replies)["choice"]) == ("large", "the router failed")

    async def test_a_second_look_may_pick_another_model(
        self, way: Way, small: Voice, large: Voice, make_cache: MakeCache
    ) -> None:
        routed = RoutedLLM({"small": small, "large": large}, cache=make_cache(router=WaveringRouter()))
        assert told(await way.chat(routed, EASY))["model"] == "large"

    async def test_calls_at_once_do_not_disturb_each_other(
        self, small: Voice, large: Voice, make_cache: MakeCache, router: TellingRouter
    ) -> None:
        routed = RoutedLLM({"small": small, "large": large}, cache=make_cache(router=router))
        questions = [f"{'Prove' if number % 2 else 'Say'} what the number {number} is" for number in range(20)]
        found = await asyncio.gather(*[Way(is_async=True, is_stream=False).chat(routed, each) for each in questions])
        assert [told(replies)["model"] for replies in found] == ["small", "large"] * 10
        assert [text(replies).partition(": ")[2] for replies in found] == questions


class TestGroups:
    async def test_an_answer_is_served_whichever_model_it_came_from(
        self, way: Way, grouped: RoutedLLM, large: Voice, router: TellingRouter
    ) -> None:
        await way.chat(grouped, HARD)
        router.confidence = 1.0
        replies = await way.chat(grouped, "prove WHAT cats are")
        assert (told(replies)["tier"], told(replies)["model"]) == ("l2", "large")
        assert len(large.calls) == 1

    async def test_a_floor_keeps_weaker_answers_and_models_away(self, way: Way, grouped: RoutedLLM) -> None:
        await way.chat(grouped, EASY)
        with scope(least_tier=2):
            replies = await way.chat(grouped, EASY)
        assert (told(replies)["tier"], told(replies)["model"]) == ("miss", "large")
        assert told(await way.chat(grouped, EASY))["model"] == "large", "the stronger answer serves all"

    async def test_a_floor_of_the_routed_llm_holds_for_every_call(
        self, way: Way, small: Voice, large: Voice, core: SemanticCache
    ) -> None:
        strict = RoutedLLM({"small": small, "large": large}, cache=core, least_tier=2)
        assert told(await way.chat(strict, EASY))["model"] == "large"

    async def test_tenants_share_nothing_and_a_stream_belongs_to_its_scope(
        self, grouped: RoutedLLM, small: Voice
    ) -> None:
        messages = [ChatMessage(role=MessageRole.USER, content=EASY)]
        with scope(tenant="a"):
            stream = grouped.stream_chat(messages)
        list(stream)
        with scope(tenant="b"):
            assert told([grouped.chat(messages)])["tier"] == "miss"
        with scope(tenant="a"):
            assert told([grouped.chat(messages)])["tier"] == "l1"
        assert told([grouped.chat(messages)])["tier"] == "miss"
        assert len(small.calls) == 3


class TestFallbacks:
    async def test_a_model_that_fails_is_followed_by_the_next_one(
        self, way: Way, routed: RoutedLLM, small: Voice, large: Voice
    ) -> None:
        small.trouble.error = ConnectionError("down")
        replies = await way.chat(routed, EASY)
        assert text(replies) == f"large says: {EASY}"
        assert told(replies)["fallback_from"] == [{"model": "small", "error": "ConnectionError"}]
        assert routed.failures == {"small": 1}
        small.trouble.error = None
        assert told(await way.chat(routed, EASY))["model"] == "small", "its own answers are kept apart"

    async def test_in_a_group_a_weaker_ones_answer_is_not_kept(
        self, way: Way, grouped: RoutedLLM, small: Voice, large: Voice
    ) -> None:
        large.trouble.error = ConnectionError("down")
        assert told(await way.chat(grouped, HARD))["model"] == "small"
        large.trouble.error = None
        replies = await way.chat(grouped, HARD)
        assert (told(replies)["tier"], told(replies)["model"]) == ("miss", "large")

    async def test_when_all_fail_the_last_error_is_raised_and_nobody_waits(
        self, way: Way, routed: RoutedLLM, small: Voice, large: Voice, core: SemanticCache
    ) -> None:
        small.trouble.error, large.trouble.error = ConnectionError("small"), ConnectionError("large")
        with pytest.raises(ConnectionError, match="large"):
            await way.chat(routed, EASY)
        assert routed.failures == {"small": 1, "large": 1}
        assert len(core.flights) == 0

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    async def test_a_stream_that_breaks_after_its_first_chunk_is_not_begun_anew(
        self, is_async: bool, routed: RoutedLLM, small: Voice, large: Voice, core: SemanticCache
    ) -> None:
        way = Way(is_async=is_async, is_stream=True)
        small.trouble.breaks = ConnectionError("lost")
        with pytest.raises(ConnectionError, match="lost"):
            await way.chat(routed, EASY)
        assert large.calls == []
        small.trouble.breaks = None
        assert told(await way.chat(routed, EASY))["tier"] == "miss", "nothing of it was kept"
        assert len(core.flights) == 0

    async def test_an_error_of_ours_is_no_models_failure(self, way: Way, routed: RoutedLLM, small: Voice) -> None:
        small.trouble.error = ConfigError("a setting")
        with pytest.raises(ConfigError, match="a setting"):
            await way.chat(routed, EASY)
        assert routed.failures == {}

    async def test_outcomes_are_told(self, way: Way, small: Voice, large: Voice, core: SemanticCache) -> None:
        noted: list[tuple[int, str]] = []

        class Noting(Outcomes):
            def note(self, tier: int, outcome: Any) -> None:
                noted.append((tier, outcome))

        small.trouble.error = ConnectionError("down")
        await way.chat(RoutedLLM({"small": small, "large": large}, cache=core, outcomes=Noting()), EASY)
        assert noted == [(1, "fell_back")]

    async def test_a_consumer_that_stops_reading_leaves_nothing_behind(
        self, routed: RoutedLLM, core: SemanticCache
    ) -> None:
        messages = [ChatMessage(role=MessageRole.USER, content=EASY)]
        stream: Iterator[Any] = routed.stream_chat(messages)
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # it is a generator
        astream: AsyncIterator[Any] = await routed.astream_chat(messages)
        await anext(astream)
        await astream.aclose()  # type: ignore[attr-defined]  # as above
        assert len(core.flights) == 0
        assert told([routed.chat(messages)])["tier"] == "miss"


def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


class _Joke(BaseModel):
    """A joke."""

    name: str


class TestTools:
    @pytest.fixture
    def tools(self) -> list[FunctionTool]:
        return [FunctionTool.from_defaults(greet)]

    async def test_tools_go_to_the_model_that_is_chosen_and_come_back_from_the_cache(
        self, way: Way, routed: RoutedLLM, large: Voice, tools: Any
    ) -> None:
        for tier in ("miss", "l1"):
            replies = await way.tools(routed, tools, HARD)
            assert (told(replies)["tier"], told(replies)["model"]) == (tier, "large")
            (call,) = routed.get_tool_calls_from_response(replies[-1])
            assert (call.tool_name, call.tool_kwargs) == ("greet", {"name": HARD})
        assert [each for each in large.calls if each != "get_tool_calls"] == large.calls[:1]

    async def test_a_call_with_tools_is_another_one_than_without_or_with_others(
        self, way: Way, routed: RoutedLLM, small: Voice, tools: Any
    ) -> None:
        def wave(name: str) -> str:
            """Wave at somebody."""
            return name

        await way.chat(routed, EASY)
        await way.tools(routed, tools, EASY)
        await way.tools(routed, [FunctionTool.from_defaults(wave)], EASY)
        await way.tools(routed, tools, EASY, tool_required=True)
        assert len(small.calls) == 4

    async def test_only_models_that_can_call_functions_are_chosen(
        self, way: Way, large: Voice, core: SemanticCache, tools: Any
    ) -> None:
        mute = Voice(name="small", can_call=False)
        routed = RoutedLLM({"small": mute, "large": large}, cache=core)
        assert routed.metadata.is_function_calling_model
        assert told(await way.tools(routed, tools, EASY))["model"] == "large"
        assert told(await way.chat(routed, EASY))["model"] == "small"
        with pytest.raises(ConfigError, match="lacks tools"):
            await way.tools(routed, tools, EASY, model="small")

    async def test_where_none_can_the_framework_is_told_so(self, way: Way, core: SemanticCache, tools: Any) -> None:
        routed = RoutedLLM({"mock": MockLLM(), "voice": Voice(can_call=False)}, cache=core)
        assert not routed.metadata.is_function_calling_model
        with pytest.raises(ConfigError, match="no model of the catalogue can do"):
            await way.tools(routed, tools, EASY)

    async def test_a_fallback_gets_the_users_turn_once(
        self, way: Way, routed: RoutedLLM, small: Voice, tools: Any
    ) -> None:
        small.trouble.error = ConnectionError("down")
        history = [ChatMessage(role=MessageRole.SYSTEM, content="Be kind.")]
        replies = await way.tools(routed, tools, EASY, chat_history=history)
        assert told(replies)["model"] == "large"
        assert len(history) == 1
        assert routed.get_tool_calls_from_response(replies[-1])[0].tool_kwargs == {"name": EASY}

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    async def test_structured_output_is_routed_and_kept(self, is_async: bool, routed: RoutedLLM, small: Voice) -> None:
        prompt = PromptTemplate("Tell a joke about {topic}")
        for _ in range(2):
            if is_async:
                joke = await routed.astructured_predict(_Joke, prompt, topic="cats")
            else:
                joke = routed.structured_predict(_Joke, prompt, topic="cats")
            assert joke == _Joke(name="Tell a joke about cats")
        assert [each for each in small.calls if each != "get_tool_calls"] == small.calls[:1]


class TestRequests:
    @pytest.mark.parametrize(
        "other",
        [
            {"temperature": 0.5},
            {"stop": ["."]},
            {"response_format": {"type": "json_object"}},
        ],
    )
    async def test_other_arguments_are_another_call(
        self, way: Way, routed: RoutedLLM, small: Voice, other: Any
    ) -> None:
        await way.chat(routed, EASY)
        await way.chat(routed, EASY, **other)
        assert len(small.calls) == 2

    async def test_a_setting_that_is_changed_later_counts(
        self, way: Way, small: Voice, large: Voice, core: Any
    ) -> None:
        first = RoutedLLM({"small": small, "large": large}, cache=core)
        await way.chat(first, EASY)
        warm = RoutedLLM({"small": small.model_copy(update={"temperature": 0.3}), "large": large}, cache=core)
        assert told(await way.chat(warm, EASY))["tier"] == "miss"

    async def test_images_go_to_models_that_can_see(self, small: Voice, large: Voice, core: SemanticCache) -> None:
        catalog = ModelCatalog.of([CatalogModel("small"), CatalogModel("large", tier=2, vision=True)])
        routed = RoutedLLM({"small": small, "large": large}, cache=core, catalog=catalog)
        blocks = [TextBlock(text="Is this easy?"), ImageBlock(image=b"x", image_mimetype="image/png")]
        assert told([routed.chat([ChatMessage(role=MessageRole.USER, blocks=blocks)])])["model"] == "large"

    async def test_a_prompt_that_is_too_long_for_one_goes_to_another(
        self, way: Way, large: Voice, core: SemanticCache
    ) -> None:
        routed = RoutedLLM({"small": Voice(name="small", window=100), "large": large}, cache=core)
        assert told(await way.chat(routed, EASY))["model"] == "small"
        assert told(await way.chat(routed, "word " * 200))["model"] == "large"
        assert routed.metadata.context_window == 100

    async def test_a_rendered_template_is_served_to_the_very_same_prompt_only(
        self, routed: RoutedLLM, small: Voice
    ) -> None:
        for words in ("What are cats", "what are CATS", "What are cats"):
            routed.predict(PromptTemplate("{words}?"), words=words)
        assert len(small.calls) == 2

    @pytest.mark.parametrize("group", [None, "support"])
    async def test_the_question_in_a_template_decides_and_not_the_template(
        self, small: Voice, large: Voice, core: SemanticCache, router: TellingRouter, group: str | None
    ) -> None:
        routed = RoutedLLM({"small": small, "large": large}, cache=core, group=group)
        template = PromptTemplate("Context:\n\n{context}\n\nNow answer this: {query_str}")
        for words, name in ((EASY, "small"), (HARD, "large"), (HARD, "large")):
            assert routed.predict(template, context="Prove nothing.", query_str=words).startswith(f"{name} says")
        assert router.asked == [EASY, HARD], "the router is asked once about each"
        assert (len(small.calls), len(large.calls)) == (1, 1)
        again = RoutedLLM({"small": small, "large": large}, cache=core, group=group)
        again.predict(template, context="Prove nothing.", query_str=HARD)
        assert len(large.calls) == 1
        routed.predict(template, context="Another page.", query_str=EASY)
        assert len(small.calls) == 2, "other passages are another prompt"

    async def test_a_store_that_is_down_costs_nothing_but_the_cache(
        self, way: Way, small: Voice, large: Voice, make_cache: MakeCache, tmp_path: Any, router: TellingRouter
    ) -> None:
        routed = RoutedLLM({"small": small, "large": large}, cache=make_cache(tmp_path, router=router))
        assert told(await way.chat(routed, HARD))["model"] == "large"
        assert told(await way.chat(routed, HARD))["model"] == "large"

    async def test_a_call_that_cannot_be_told_apart_is_routed_and_not_kept(
        self, way: Way, routed: RoutedLLM, large: Voice
    ) -> None:
        for _ in range(2):
            assert told(await way.chat(routed, HARD, user=object()))["model"] == "large"
        assert len(large.calls) == 2


class TestParts:
    def test_what_cannot_be_a_part_is_refused(self, small: Voice, core: SemanticCache) -> None:
        for models in ({}, None, {"small": "gpt-4o"}, {"small": small.as_structured_llm(_Joke)}):
            with pytest.raises(ConfigError):
                RoutedLLM(models, cache=core)  # type: ignore[arg-type]  # what is being tested
        for settings in ({"group": " "}, {"least_tier": 0}, {"replay_chunk_chars": 0}, {"router": TellingRouter()}):
            with pytest.raises(ConfigError):
                RoutedLLM({"small": small}, cache=core, **settings)
        with pytest.raises(ConfigError, match="does not tell of 'small'"):
            RoutedLLM({"small": small}, cache=core, catalog=ModelCatalog.of([CatalogModel("other")]))

    def test_without_a_cache_one_is_made_with_a_learned_router_or_the_one_that_is_given(self, small: Voice) -> None:
        made = RoutedLLM({"small": small}, cache="memory://")
        assert isinstance(made.cache.router, LearnedRouter)
        router = TellingRouter()
        assert RoutedLLM({"small": small}, cache="memory://", router=router).cache.router is router

    def test_a_cached_llm_brings_its_cache_and_looks_nothing_up_by_itself(
        self, small: Voice, large: Voice, core: SemanticCache
    ) -> None:
        routed = RoutedLLM({"small": cached(small, core), "large": large})
        assert routed.cache is core
        routed.chat([ChatMessage(role=MessageRole.USER, content=EASY)])
        assert core.stats().lookups == 1

    def test_its_repr_and_its_metadata_name_the_models(self, routed: RoutedLLM) -> None:
        assert repr(routed) == "<RoutedLLM of small (tier 1), large (tier 2)>"
        assert routed.metadata.model_name == "small/large"
        assert routed.class_name() == "RoutedLLM"
        assert "sk-" not in str(routed.to_dict())

    def test_it_is_not_pickled_without_its_models(self, routed: RoutedLLM) -> None:
        with pytest.raises(TypeError, match="make one in each process"):
            pickle.dumps(routed)

    def test_copies_share_the_pool(self, routed: RoutedLLM) -> None:
        messages = [ChatMessage(role=MessageRole.USER, content=EASY)]
        routed.chat(messages)
        for other in (copy.copy(routed), copy.deepcopy(routed), routed.model_copy()):
            assert told([other.chat(messages)])["tier"] == "l1"


class TestInTheFramework:
    @pytest.fixture
    def served(self, make_openai: Callable[..., OpenAI], core: SemanticCache) -> RoutedLLM:
        models = {"small": make_openai(model="gpt-4o-mini"), "large": make_openai(model="gpt-4o")}
        return RoutedLLM(models, cache=core)

    async def test_over_http_each_model_gets_its_calls(self, way: Way, served: RoutedLLM, stub: OpenAIStub) -> None:
        for words in (EASY, HARD, EASY, HARD):
            assert words in text(await way.chat(served, words))
        assert [body["model"] for body in stub.bodies] == ["gpt-4o-mini", "gpt-4o"]

    async def test_over_http_a_provider_that_is_down_is_followed_by_the_next(
        self, way: Way, served: RoutedLLM, stub: OpenAIStub
    ) -> None:
        from openai import InternalServerError

        with pytest.raises(InternalServerError):
            await way.chat(served, "What is STATUS 500?")
        assert [body["model"] for body in stub.bodies] == ["gpt-4o-mini", "gpt-4o"]

    @pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # the framework's own workflows
    @pytest.mark.parametrize("is_streaming", [False, True], ids=["whole", "streaming"])
    async def test_a_function_agent_works_with_it(
        self, served: RoutedLLM, stub: OpenAIStub, is_streaming: bool
    ) -> None:
        agent = FunctionAgent(llm=served, tools=[FunctionTool.from_defaults(greet)], streaming=is_streaming)
        answers = [str(await agent.run(user_msg="Prove that you greet 'Anna'")) for _ in range(2)]
        assert answers[0] == answers[1]
        assert {body["model"] for body in stub.bodies} == {"gpt-4o"}
        assert len(stub.bodies) == 2, "the tool call and the answer, once"

    def test_a_query_engine_of_ours_tells_it_apart(
        self, small: Voice, large: Voice, make_cache: MakeCache, core: SemanticCache
    ) -> None:
        cache, index = make_cache(), index_of()

        def engine(**settings: Any) -> SemanticCacheQueryEngine:
            llm = RoutedLLM({"small": small, "large": large}, cache=core, **settings)
            return SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache, corpus="handbook")

        first = engine()
        tiers = [(each.query(QUESTION).metadata or {})["semroute"]["tier"] for each in (first, first, engine())]
        assert tiers == ["miss", "l1", "l1"]
        strict = engine(least_tier=2).query(QUESTION)
        assert (strict.metadata or {})["semroute"]["tier"] == "miss"

    def test_handlers_of_the_settings_hear_of_the_models_calls_and_of_no_hit(
        self, served: RoutedLLM, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counter = TokenCountingHandler(tokenizer=str.split)
        monkeypatch.setattr(Settings, "_callback_manager", CallbackManager([counter]))
        monkeypatch.setattr(Settings, "_llm", served)
        for _ in range(2):
            Settings.llm.chat([ChatMessage(role=MessageRole.USER, content=EASY)])
        assert len(counter.llm_token_counts) == 1

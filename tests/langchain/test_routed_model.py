"""RoutedModel: each call is served from the cache, or by the model that it needs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_semroute import RoutedModel, SemrouteCache, cached

import semroute
from semroute import ConfigError, SemanticCache
from semroute.prices import Price
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.stores import FailingStore

from .routing import EASY, HARD, TellingRouter, WaveringRouter, added, tier_and_model, told

MakeCache = Callable[..., SemanticCache]
GROUPS = pytest.mark.parametrize("group", [None, "house"])


@pytest.fixture
def router() -> TellingRouter:
    return TellingRouter()


@pytest.fixture
def core(make_cache: MakeCache, router: TellingRouter) -> SemanticCache:
    return make_cache(guards=(), router=router)


@pytest.fixture
def models(streaming_parrot: Any) -> dict[str, Any]:
    kind = type(streaming_parrot)
    return {"small": kind(model="small-1"), "large": kind(model="large-1")}


@pytest.fixture
def routed(models: dict[str, Any], core: SemanticCache) -> RoutedModel:
    return RoutedModel(models, cache=core)


@pytest.fixture
def grouped(models: dict[str, Any], core: SemanticCache) -> RoutedModel:
    return RoutedModel(models, cache=core, group="house")


@GROUPS
def test_the_decision_picks_the_model(models: Any, core: SemanticCache, group: str | None) -> None:
    routed = RoutedModel(models, cache=core, group=group)
    easy, hard = routed.invoke(EASY), routed.invoke(HARD)
    assert [tier_and_model(answer) for answer in (easy, hard)] == [("miss", "small"), ("miss", "large")]
    assert [answer.response_metadata["model_name"] for answer in (easy, hard)] == ["small-1", "large-1"]
    assert told(hard)["decision"]["complexity"] == "high"
    assert told(hard)["choice"] == "complexity high"
    assert told(hard)["fallback_from"] == []


@GROUPS
async def test_every_way_of_calling_shares_the_answers(models: Any, core: SemanticCache, group: str | None) -> None:
    routed = RoutedModel(models, cache=core, group=group)
    fresh = routed.invoke(HARD)
    hits = [
        routed.invoke(HARD),
        *routed.batch([HARD]),
        await routed.ainvoke(HARD),
        *await routed.abatch([HARD]),
        added(routed.stream(HARD)),
        added([chunk async for chunk in routed.astream(HARD)]),
    ]
    assert [tier_and_model(hit) for hit in hits] == [("l1", "large")] * len(hits)
    assert {hit.text for hit in hits} == {fresh.text}
    assert len(models["large"].calls) == 1
    assert models["small"].calls == []


@GROUPS
async def test_a_batch_picks_for_each_item(models: Any, core: SemanticCache, group: str | None) -> None:
    routed = RoutedModel(models, cache=core, group=group)
    asked = [EASY, HARD, "What are dogs?"]
    picked = ["small", "large", "small"]
    assert [told(answer)["model"] for answer in routed.batch(asked)] == picked
    assert [told(answer)["model"] for answer in await routed.abatch(asked)] == picked
    assert {index: told(answer)["model"] for index, answer in routed.batch_as_completed(asked)} == dict(
        enumerate(picked)
    )
    coming = routed.abatch_as_completed(asked)
    assert {index: told(answer)["model"] async for index, answer in coming} == dict(enumerate(picked))
    assert len(models["small"].calls) == 2


@GROUPS
async def test_a_batch_of_duplicates_is_one_call(models: Any, core: SemanticCache, group: str | None) -> None:
    routed = RoutedModel(models, cache=core, group=group)
    answers = [*routed.batch([EASY] * 6), *await routed.abatch([HARD] * 6)]
    assert (len(models["small"].calls), len(models["large"].calls)) == (1, 1)
    assert {tier_and_model(answer) for answer in answers} == {
        (tier, name) for tier in ("miss", "l1") for name in ("small", "large")
    }
    assert len({answer.id for answer in answers}) == 12


def test_a_batch_may_name_a_model_for_each_item(routed: RoutedModel) -> None:
    configs: list[RunnableConfig] = [{"configurable": {"model": "large"}}, {"configurable": {"model": "small"}}]
    assert [told(answer)["model"] for answer in routed.batch([EASY, HARD], configs)] == ["large", "small"]


@GROUPS
async def test_streams_carry_the_decision_and_are_stored_when_they_are_read(
    models: Any, core: SemanticCache, group: str | None
) -> None:
    routed = RoutedModel(models, cache=core, group=group, replay_chunk_chars=6)
    fresh = list(routed.stream(EASY))
    afresh = [chunk async for chunk in routed.astream(HARD)]
    assert [chunk.text for chunk in fresh] == ["You", " said:", " What", " are", " cats?", ""]
    assert (told(fresh[0])["model"], told(afresh[0])["model"]) == ("small", "large")
    assert told(fresh[0])["decision"]["complexity"] == "low"
    assert told(added(fresh))["decision"]["complexity"] == "low"
    hit, ahit = list(routed.stream(EASY)), [chunk async for chunk in routed.astream(HARD)]
    assert [chunk.text for chunk in hit] == ["You sa", "id: Wh", "at are", " cats?", ""]
    assert tier_and_model(hit[-1]) == ("l1", "small")
    assert tier_and_model(ahit[-1]) == ("l1", "large")
    assert len(models["small"].calls) == len(models["large"].calls) == 1


async def test_a_stream_that_is_not_read_to_its_end_stores_nothing(grouped: RoutedModel, core: SemanticCache) -> None:
    begun, abegun = grouped.stream(EASY), grouped.astream(HARD)
    assert next(begun).text == (await anext(abegun)).text == "You"
    begun.close()
    await abegun.aclose()
    assert core.size().entries == 0
    assert len(core.flights) == 0


async def test_a_stream_belongs_to_the_scope_that_it_was_asked_in(grouped: RoutedModel) -> None:
    with semroute.scope(tenant="acme"):
        begun, abegun = grouped.stream(EASY), grouped.astream("What are dogs?")
    list(begun)
    assert [chunk async for chunk in abegun]
    assert tier_and_model(grouped.invoke(EASY))[0] == "miss"
    with semroute.scope(tenant="acme"):
        assert tier_and_model(grouped.invoke(EASY))[0] == tier_and_model(grouped.invoke("What are dogs?"))[0] == "l1"


@pytest.mark.parametrize("way", ["argument", "bound argument", "configuration", "bound configuration"])
def test_a_model_that_is_named_wins(routed: RoutedModel, way: str) -> None:
    named: RunnableConfig = {"configurable": {"model": "large"}}
    calls = {
        "argument": lambda: routed.invoke(EASY, model="large"),
        "bound argument": lambda: routed.bind(model="large").invoke(EASY),
        "configuration": lambda: routed.invoke(EASY, named),
        "bound configuration": lambda: routed.with_config(named).invoke(EASY),
    }
    answer = calls[way]()
    assert tier_and_model(answer) == ("miss", "large")
    assert told(answer)["choice"] == "named by the application"


def test_an_argument_names_the_model_before_the_configuration_does(routed: RoutedModel) -> None:
    answer = routed.invoke(EASY, {"configurable": {"model": "small"}}, model="large")
    assert told(answer)["model"] == "large"


@pytest.mark.parametrize(
    ("given", "said"), [("huge", "no model 'huge'.*it has small, large"), ("", "no model ''"), (7, "not 7")]
)
def test_a_name_that_is_none_is_refused(routed: RoutedModel, given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        routed.invoke(EASY, model=given)
    with pytest.raises(ConfigError, match=said):
        list(routed.stream(EASY, {"configurable": {"model": given}}))


def test_naming_a_model_is_exact_even_in_a_group(grouped: RoutedModel, models: Any) -> None:
    grouped.invoke(HARD)
    assert tier_and_model(grouped.invoke(HARD, model="small")) == ("miss", "small")
    assert tier_and_model(grouped.invoke(HARD, model="large")) == ("miss", "large")
    assert tier_and_model(grouped.invoke(HARD, model="small")) == ("l1", "small")
    assert (len(models["small"].calls), len(models["large"].calls)) == (1, 2)


def test_a_group_serves_an_answer_to_whatever_the_decision_would_be(grouped: RoutedModel, models: Any) -> None:
    grouped.invoke("Prove that cats purr")
    hit = grouped.invoke("that cats prove purr")
    assert tier_and_model(hit) == ("l2", "large")
    assert told(hit)["decision"]["complexity"] == "low"
    assert tier_and_model(grouped.invoke("that cats prove purr")) == ("l1_alias", "large")
    assert models["small"].calls == []


def test_without_a_group_an_answer_is_served_to_its_own_model_only(routed: RoutedModel, models: Any) -> None:
    routed.invoke("Prove that cats purr")
    assert tier_and_model(routed.invoke("that cats prove purr")) == ("miss", "small")
    assert tier_and_model(routed.invoke("prove that purr cats")) == ("l2", "small")
    assert tier_and_model(routed.invoke("Prove that purr cats")) == ("l2", "large")
    assert (len(models["small"].calls), len(models["large"].calls)) == (1, 1)


def test_groups_and_routed_models_of_other_models_share_nothing(models: Any, core: SemanticCache) -> None:
    RoutedModel(models, cache=core, group="house").invoke(EASY)
    other = {**models, "large": type(models["large"])(model="large-2")}
    for stranger in (
        RoutedModel(models, cache=core, group="garden"),
        RoutedModel(other, cache=core, group="house"),
        RoutedModel({"small": models["small"]}, cache=core, group="house"),
        RoutedModel(models, cache=core),
    ):
        assert tier_and_model(stranger.invoke(EASY)) == ("miss", "small")
    assert tier_and_model(RoutedModel(dict(models), cache=core, group="house").invoke(EASY)) == ("l1", "small")


def test_arguments_of_a_call_are_part_of_what_is_asked(grouped: RoutedModel, models: Any) -> None:
    grouped.invoke(EASY)
    assert tier_and_model(grouped.invoke(EASY, stop=["."]))[0] == "miss"
    assert tier_and_model(grouped.bind(stop=["."]).invoke(EASY))[0] == "l1"
    assert tier_and_model(grouped.invoke(EASY, stop=None))[0] == "l1"
    assert tier_and_model(grouped.invoke(EASY, opinion=object()))[0] == "bypass"
    assert len(models["small"].calls) == 3


def test_one_request_asks_the_router_once_in_a_group(grouped: RoutedModel, router: TellingRouter) -> None:
    for _ in range(3):
        grouped.invoke(EASY)
    assert router.asked == [EASY]


def test_without_a_group_the_router_is_not_asked_again_about_what_it_knows(
    routed: RoutedModel, router: TellingRouter
) -> None:
    routed.invoke(EASY)
    known = len(router.asked)
    assert tier_and_model(routed.invoke(EASY)) == ("l1", "small")
    assert len(router.asked) == known


@GROUPS
def test_where_the_router_fails_the_strongest_model_answers(models: Any, core: SemanticCache, group: Any) -> None:
    answer = RoutedModel(models, cache=core, group=group).invoke("Fail me")
    assert tier_and_model(answer)[1] == "large"
    assert told(answer)["choice"] == "the router failed"
    assert told(answer)["decision"] is None


@GROUPS
@pytest.mark.parametrize("broken", ["open", "get", "search"])
async def test_without_its_store_a_call_is_routed_all_the_same(
    models: Any, make_cache: MakeCache, group: str | None, broken: str
) -> None:
    core = make_cache(FailingStore(EmbeddedStore("memory://"), frozenset({broken})), router=TellingRouter())
    routed = RoutedModel(models, cache=core, group=group)
    answers = [routed.invoke(EASY), routed.invoke(HARD), await routed.ainvoke(HARD + "!"), next(routed.stream("Hi"))]
    assert [tier_and_model(answer) for answer in answers] == [
        ("miss", "small"),
        ("miss", "large"),
        ("miss", "large"),
        ("miss", "small"),
    ]


@GROUPS
def test_a_second_look_comes_after_a_miss_only(models: Any, make_cache: MakeCache, group: str | None) -> None:
    router = WaveringRouter()
    routed = RoutedModel(models, cache=make_cache(guards=(), router=router), group=group)
    fresh = routed.invoke(EASY)
    assert tier_and_model(fresh) == ("miss", "large")
    assert told(fresh)["decision"]["confidence"] == 1.0
    assert router.second_looks == 1
    assert tier_and_model(routed.invoke(EASY)) == ("l1", "large")
    assert router.second_looks == 1
    assert models["small"].calls == []


@GROUPS
def test_what_bypasses_the_cache_is_routed_all_the_same(models: Any, core: SemanticCache, group: str | None) -> None:
    routed = RoutedModel(models, cache=core, group=group)
    with semroute.scope(bypass=True):
        answers = [routed.invoke(HARD) for _ in range(2)]
    assert [tier_and_model(answer) for answer in answers] == [("bypass", "large")] * 2
    assert told(answers[0])["decision"]["complexity"] == "high"
    assert core.size().entries == 0


@GROUPS
async def test_every_call_of_a_model_is_counted_once(models: Any, make_cache: MakeCache, group: str | None) -> None:
    prices = {"small": Price(1.0, 2.0), "large": Price(10.0, 20.0)}
    catalog = ModelCatalog(tuple(CatalogModel(name, tier, prices[name]) for tier, name in enumerate(prices, 1)))
    core = make_cache(guards=(), router=TellingRouter(), prices=catalog)
    routed = RoutedModel(models, cache=core, catalog=catalog, group=group)
    routed.invoke(EASY)
    await routed.ainvoke(HARD)
    list(routed.stream("What are dogs?"))
    with semroute.scope(bypass=True):
        routed.invoke(HARD)
        assert [chunk async for chunk in routed.astream(EASY)]
    routed.invoke(EASY)
    small_usd, large_usd = 13e-6, 130e-6
    assert core.ledger.total().calls == 5
    assert core.ledger.total().spent_usd == pytest.approx(3 * small_usd + 2 * large_usd)
    assert core.ledger.total().saved_by_hits_usd == pytest.approx(small_usd)
    assert core.ledger.total().saved_by_routing_usd == pytest.approx(3 * (large_usd - small_usd))
    assert told(routed.invoke(HARD))["saved"]["usd"] == pytest.approx(large_usd)


def test_it_works_in_chains(grouped: RoutedModel, models: Any) -> None:
    chain = ChatPromptTemplate([("system", "Be brief."), ("human", "{question}")]) | grouped | StrOutputParser()
    assert chain.invoke({"question": EASY}) == f"You said: {EASY}"
    assert "".join(chain.stream({"question": EASY})) == f"You said: {EASY}"
    assert list(chain.stream({"question": HARD})) == ["You", " said:", " Prove", " what", " cats", " are", ""]
    assert (len(models["small"].calls), len(models["large"].calls)) == (1, 1)


def test_fallbacks_of_langchain_go_round_it(models: Any, core: SemanticCache) -> None:
    for model in models.values():
        model.before = lambda words: 1 / 0
    other = type(models["small"])(model="other")
    routed = RoutedModel(models, cache=core, group="house").with_fallbacks([other])
    assert routed.invoke(EASY).response_metadata["model_name"] == "other"


def test_the_words_of_a_template_can_be_named(models: Any, core: SemanticCache) -> None:
    def words(messages: Any) -> str:
        return str(messages[-1].text).removeprefix("Answer: ")

    routed = RoutedModel(models, cache=core, group="house", query=words)
    routed.invoke("Answer: what are cats")
    assert tier_and_model(routed.invoke("Answer: What are cats?"))[0] == "l2"


def test_models_that_are_cached_already_keep_their_cache_and_identity(models: Any, core: SemanticCache) -> None:
    given = {name: cached(model, core, identity=f"id-{name}") for name, model in models.items()}
    routed = RoutedModel(given)
    assert routed.cache.core is core
    assert tier_and_model(routed.invoke(EASY)) == ("miss", "small")
    assert tier_and_model(RoutedModel(models, cache=core).invoke(EASY)) == ("miss", "small")
    assert tier_and_model(RoutedModel(given).invoke(EASY)) == ("l1", "small")


def test_a_cache_is_made_with_the_router_that_is_given(models: Any, router: TellingRouter, tmp_path: Path) -> None:
    routed = RoutedModel(models, cache=tmp_path / "answers.db", router=router)
    assert routed.cache.core.router is router


def test_the_order_of_the_models_is_their_strength_without_a_catalogue(models: Any, core: SemanticCache) -> None:
    routed = RoutedModel({"large": models["small"], "small": models["large"]}, cache=core)
    assert [(model.name, model.tier) for model in routed.catalog] == [("large", 1), ("small", 2)]
    assert repr(routed) == "<RoutedModel of large (tier 1), small (tier 2)>"


def test_a_catalogue_may_come_from_a_file_and_tell_of_more_models(
    models: Any, core: SemanticCache, tmp_path: Path
) -> None:
    path = tmp_path / "models.toml"
    path.write_text("[models.small]\ntier = 2\n[models.large]\ntier = 5\n[models.other]\ntier = 9\n")
    routed = RoutedModel(models, cache=core, catalog=path)
    assert [(model.name, model.tier) for model in routed.catalog] == [("small", 2), ("large", 5)]


def test_copies_share_the_pool(grouped: RoutedModel) -> None:
    grouped.invoke(EASY)
    assert tier_and_model(copy.deepcopy(grouped).invoke(EASY))[0] == "l1"
    assert tier_and_model(copy.copy(grouped).invoke(EASY))[0] == "l1"


def test_what_does_not_go_together_is_refused(models: Any, core: SemanticCache, router: TellingRouter) -> None:
    one = ModelCatalog((CatalogModel("small"),))
    for said, settings in {
        "at least one, not {}": {"models": {}},
        "model 'x' must be a chat model, not": {"models": {"x": models["small"].bind(stop=["x"])}},
        "the catalogue does not tell of 'large'": {"catalog": one},
        "the cache has a router": {"router": router},
        "group must be a name or None": {"group": " "},
        "least_tier must be a whole number of at least 1, not 0": {"least_tier": 0},
    }.items():
        with pytest.raises(ConfigError, match=said):
            RoutedModel(**{"models": models, "cache": core, **settings})


def test_input_that_is_none_is_refused_like_by_any_model(routed: RoutedModel) -> None:
    with pytest.raises(ValueError, match="Invalid input type"):
        routed.invoke(7)  # type: ignore[arg-type]  # the mistake under test


def test_a_conversation_is_routed_by_its_last_words(grouped: RoutedModel, core: SemanticCache) -> None:
    history = [HumanMessage("Hello"), AIMessage("Hi"), HumanMessage(HARD)]
    assert tier_and_model(grouped.invoke(history)) == ("miss", "large")
    assert tier_and_model(grouped.invoke(HARD)) == ("miss", "large")
    assert isinstance(grouped.cache, SemrouteCache)

"""Routed calls without a framework: what is looked up, what is decided, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from semroute import Answer, Request, SemanticCache, scope
from semroute.calls.call import Call
from semroute.calls.notices import Notices
from semroute.calls.pool import Pool, catalog_of, check_group
from semroute.calls.routing import Asking, RoutedCall, Turn, floor, with_told
from semroute.entry import JSON
from semroute.errors import ConfigError
from semroute.router.catalog import CatalogModel, ModelCatalog, Needs
from semroute.trail import Ahead
from tests.langchain.routing import EASY, HARD, TellingRouter

CATALOG = ModelCatalog.of([CatalogModel("small"), CatalogModel("large", tier=2)])
NOTICES = Notices("semroute.tests")
Text = Call[str]
Routed = RoutedCall[Text, str]


class House:
    """A pool over a cache, and calls of it whose models say their names."""

    def __init__(self, cache: SemanticCache, group: str | None) -> None:
        self.cache = cache
        self.pool = Pool(core=cache, catalog=CATALOG, group=group, least_tier=1, outcomes=None, notices=NOTICES)
        self.opened: list[tuple[Request, Ahead | None]] = []

    def call(self, query: str, *, named: str | None = None, words: str | None = None, least_tier: int = 1) -> Routed:
        def request(names: tuple[str, ...], group: str | None) -> Request:
            models: list[JSON] = [*names]
            return self.cache.request(query, params={"models": models, "group": group})

        def lookup(request: Request, ahead: Ahead | None) -> Text:
            self.opened.append((request, ahead))
            return Call(self.cache, request, lambda hit: hit.answer.text, NOTICES, ahead)

        return RoutedCall(self.pool, Asking(Needs(least_tier=least_tier), named, request, lookup, words))

    def ask(self, query: str, **settings: object) -> Turn[Text, str]:
        with self.call(query, **settings) as routed:  # type: ignore[arg-type]  # they are those of `call`
            turn = routed.next()
            if turn.served is None:
                turn.call.store(lambda: Answer(f"{turn.model.name}: {query}"))
            return turn


@pytest.fixture
def router() -> TellingRouter:
    return TellingRouter()


@pytest.fixture
def core(make_cache: Callable[..., SemanticCache], router: TellingRouter) -> SemanticCache:
    return make_cache(router=router)


@pytest.fixture(params=[None, "support"], ids=["alone", "group"])
def house(request: pytest.FixtureRequest, core: SemanticCache) -> House:
    return House(core, request.param)


def test_the_decision_picks_the_model_and_the_answer_is_served_the_next_time(
    house: House, router: TellingRouter
) -> None:
    for served in (None, "small: What are cats?"):
        turn = house.ask(EASY)
        assert (turn.model.name, turn.served) == ("small", served)
    assert house.ask(HARD).model.name == "large"
    assert router.asked == [EASY, HARD]


async def test_the_async_side_does_the_same(house: House) -> None:
    house.ask(EASY)
    with house.call(EASY) as routed:
        assert (await routed.anext()).served == "small: What are cats?"
    with house.call(HARD) as routed:
        assert (await routed.anext()).model.name == "large"


def test_what_is_told_names_the_model_the_choice_and_those_that_failed(house: House) -> None:
    with house.call(EASY) as routed:
        turn = routed.next()
        routed.failed(turn.model, ConnectionError("down"))
        told = routed.next().told
    assert (told["model"], told["fallback_from"]) == ("large", [{"model": "small", "error": "ConnectionError"}])
    assert isinstance(told["decision"], dict)
    assert house.pool.failures.by_model() == {"small": 1}


def test_the_last_models_error_and_one_of_ours_are_raised(house: House) -> None:
    with house.call(EASY) as routed, pytest.raises(ConfigError):
        routed.failed(routed.next().model, ConfigError("ours"))
    with house.call(EASY) as routed:
        routed.failed(routed.next().model, ConnectionError("first"))
        with pytest.raises(ConnectionError, match="second"):
            routed.failed(routed.next().model, ConnectionError("second"))
    assert len(house.cache.flights) == 0


def test_naming_a_model_is_exact(house: House) -> None:
    house.ask(EASY)
    turn = house.ask(EASY, named="large")
    assert (turn.model.name, turn.served, turn.told["choice"]) == ("large", None, "named by the application")
    with pytest.raises(ConfigError, match="no model 'huge'"):
        house.call(EASY, named="huge")


def test_a_floor_keeps_weaker_models_away(house: House) -> None:
    house.ask(EASY)
    assert house.ask(EASY, least_tier=2).model.name == "large"
    with pytest.raises(ConfigError, match="no model of the catalogue"):
        house.call(EASY, least_tier=3)


def test_words_in_a_template_are_what_the_router_sees_and_not_what_is_compared(
    house: House, router: TellingRouter
) -> None:
    for _ in range(2):
        with scope(query="not in it"):  # which leaves the request without words of its own
            assert house.ask("Passages. Now answer", words=HARD).model.name == "large"
    assert router.asked == [HARD]
    assert {request.query for request, _ in house.opened} == {""}
    assert all(ahead is not None and ahead.vector is None for _, ahead in house.opened)


def test_words_are_left_aside_where_the_request_has_its_own(house: House, router: TellingRouter) -> None:
    assert house.ask(EASY, words=HARD).model.name == "small"
    assert router.asked == [EASY]


def test_a_weaker_models_answer_in_the_place_of_a_stronger_one_is_not_kept_in_a_group(core: SemanticCache) -> None:
    house = House(core, "support")
    with house.call(HARD) as routed:
        routed.failed(routed.next().model, ConnectionError("down"))
        turn = routed.next()
        assert turn.model.name == "small"
        turn.call.store(lambda: Answer("small: a poor proof"))
    assert house.ask(HARD).served is None


def test_the_floor_is_the_higher_one_of_pool_and_scope() -> None:
    assert floor(2) == 2
    with scope(least_tier=3):
        assert (floor(2), floor(4)) == (3, 4)


def test_what_routing_tells_goes_over_what_the_lookup_says_unless_it_knows_nothing() -> None:
    known = {"tier": "l1", "model": "m", "decision": {"intent": "chat"}}
    assert with_told(known, {"model": "large", "decision": None, "choice": None}) == {
        **{"tier": "l1", "model": "large"},
        **{"decision": {"intent": "chat"}, "choice": None},
    }
    assert with_told(None, {"model": "large"}) == {"model": "large"}


def test_a_catalogue_has_the_models_that_there_are_and_must_know_them() -> None:
    def described(name: str, tier: int, model: int) -> CatalogModel:
        return CatalogModel(name, tier, context_tokens=model)

    made = catalog_of({"a": 10, "b": 20}, None, described)
    assert [(model.name, model.tier, model.context_tokens) for model in made] == [("a", 1, 10), ("b", 2, 20)]
    assert catalog_of({"large": 1}, CATALOG, described).names == ("large",)
    with pytest.raises(ConfigError, match="does not tell of 'c'"):
        catalog_of({"c": 1}, CATALOG, described)
    with pytest.raises(ConfigError, match="group must be a name"):
        check_group(" ")

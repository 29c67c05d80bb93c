"""Which model answers: the decision's, where it can, and a stronger one in doubt."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.router.catalog import CatalogModel, ModelCatalog, Needs
from semroute.router.choice import choose
from semroute.router.decision import RoutingDecision

CATALOG = ModelCatalog.of(
    [CatalogModel("small", 1), CatalogModel("middle", 2, tools=False), CatalogModel("large", 3, vision=True)]
)
ANYTHING = Needs()


def chosen(decision: RoutingDecision | None, needs: Needs = ANYTHING, **options: object) -> str:
    return choose(CATALOG, decision, needs, **options).model.name


def test_the_model_of_the_decision_is_called() -> None:
    assert chosen(RoutingDecision(model="middle")) == "middle"


@pytest.mark.parametrize(("complexity", "name"), [("low", "small"), ("medium", "middle"), ("high", "large")])
def test_without_one_the_complexity_picks_the_least_tier_that_is_good_enough(complexity: str, name: str) -> None:
    assert chosen(RoutingDecision(complexity=complexity)) == name


def test_of_two_tiers_a_medium_question_gets_the_stronger() -> None:
    catalog = ModelCatalog.of([CatalogModel("small", 1), CatalogModel("large", 2)])
    assert choose(catalog, RoutingDecision(), ANYTHING).model.name == "large"


def test_errors_doubts_and_a_router_that_failed_get_the_strongest() -> None:
    assert chosen(RoutingDecision(intent="error", model="small")) == "large"
    assert chosen(RoutingDecision(model="small", confidence=0.49)) == "large"
    assert chosen(RoutingDecision(model="small").model_copy(update={"confidence": math.nan})) == "large"
    assert chosen(None) == "large"
    assert chosen(RoutingDecision(model="small", confidence=0.49), strong_below=0.4) == "small"


def test_a_model_that_cannot_do_it_or_that_nobody_knows_is_not_called() -> None:
    assert chosen(RoutingDecision(model="small", complexity="low"), Needs(vision=True)) == "large"
    choice = choose(CATALOG, RoutingDecision(model="middle", complexity="low"), Needs(tools=True))
    assert choice.model.name == "small"
    assert "middle lacks tools" in choice.reason
    assert chosen(RoutingDecision(model="gpt-99", complexity="low")) == "small"


def test_the_floor_of_the_application_holds() -> None:
    choice = choose(CATALOG, RoutingDecision(model="small", complexity="low"), Needs(least_tier=2))
    assert choice.model.name == "middle"
    assert "small is under the floor, tier 2" in choice.reason


def test_a_model_that_the_application_names_wins_where_it_can() -> None:
    assert chosen(RoutingDecision(model="large", confidence=0.0), named="small") == "small"
    with pytest.raises(ConfigError, match="'small' was named, and lacks vision"):
        chosen(None, Needs(vision=True), named="small")
    with pytest.raises(ConfigError, match="no model 'tiny'"):
        chosen(None, named="tiny")


def test_when_no_model_can_it_is_said_before_any_call() -> None:
    with pytest.raises(ConfigError, match="no model of the catalogue can"):
        chosen(None, Needs(tokens=10, least_tier=9))


def test_fallbacks_are_of_the_same_tier_first_then_stronger_then_weaker_and_able() -> None:
    tiers = {"s": 1, "m1": 2, "m2": 2, "l": 3}
    catalog = ModelCatalog.of([CatalogModel(name, tier) for name, tier in tiers.items()])
    names = [model.name for model in choose(catalog, None, ANYTHING, named="m2").chain]
    assert names == ["m2", "m1", "l", "s"]
    assert [each.name for each in choose(catalog, None, Needs(least_tier=2), named="m2").chain] == ["m2", "m1", "l"]


@given(
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from(["low", "medium", "high"]),
    st.sampled_from([None, "small", "middle", "large"]),
)
def test_less_confidence_picks_no_weaker_model(one: float, other: float, complexity: str, model: str | None) -> None:
    surer, less_sure = (
        choose(CATALOG, RoutingDecision(complexity=complexity, model=model, confidence=confidence), ANYTHING)
        for confidence in sorted((one, other), reverse=True)
    )
    assert less_sure.model.tier >= surer.model.tier

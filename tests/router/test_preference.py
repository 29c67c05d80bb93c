"""Which model a router prefers: good enough, worth its price, or within a share of strong calls."""

from __future__ import annotations

import math
import random

import pytest

from semroute.errors import ConfigError
from semroute.prices import Price
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.preference import GoodEnough, StrongShare, WorthOfQuality

CATALOG = ModelCatalog.of(
    [
        CatalogModel("small", 1, Price(0.1, 0.4)),
        CatalogModel("middle", 2, Price(1.0, 4.0)),
        CatalogModel("large", 3, Price(10.0, 40.0)),
    ]
)


def test_the_weakest_model_that_is_good_enough_is_preferred_else_the_likeliest() -> None:
    prefers = GoodEnough(0.7)
    assert prefers.model(CATALOG, {1: 0.9, 2: 0.95, 3: 0.99}).name == "small"
    assert prefers.model(CATALOG, {1: 0.5, 2: 0.75, 3: 0.99}).name == "middle"
    assert prefers.model(CATALOG, {1: 0.1, 2: 0.3, 3: 0.2}).name == "middle"


def test_a_dearer_model_must_be_worth_its_price() -> None:
    p_good = {1: 0.6, 2: 0.7, 3: 0.9}
    assert WorthOfQuality(0.001).model(CATALOG, p_good).name == "small"
    assert WorthOfQuality(0.05).model(CATALOG, p_good).name == "middle"
    assert WorthOfQuality(1.0).model(CATALOG, p_good).name == "large"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_strong_calls_is_kept_whatever_the_traffic(share: float) -> None:
    chance = random.Random(7)
    prefers = StrongShare(share, typical=[number / 1_000 for number in range(1_000)])
    # These requests gain far less than typical ones do.
    names = [prefers.model(CATALOG, {1: 0.8, 2: 0.8, 3: 0.8 + chance.random() / 10}).name for _ in range(3_000)]
    assert set(names) <= {"small", "large"}
    assert names[500:].count("large") / 2_500 == pytest.approx(share, abs=0.04)


def test_before_any_traffic_typical_prompts_say_how_much_is_much() -> None:
    prefers = StrongShare(0.2).of_typical([0.0, 0.1, 0.2, 0.3, 0.4])
    assert prefers.model(CATALOG, {1: 0.5, 2: 0.5, 3: 0.85}).name == "small"
    assert prefers.model(CATALOG, {1: 0.5, 2: 0.5, 3: 0.95}).name == "large"


@pytest.mark.parametrize(
    "make",
    [
        lambda: GoodEnough(1.2),
        lambda: GoodEnough(math.nan),
        lambda: StrongShare(-0.1),
        lambda: StrongShare("half"),
        lambda: WorthOfQuality(0.0),
        lambda: WorthOfQuality(math.inf),
    ],
)
def test_what_is_no_share_and_no_worth_is_refused(make) -> None:
    with pytest.raises(ConfigError):
        make()

"""The catalogue: models by strength, what they can do, and files that are no catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from semroute.errors import ConfigError
from semroute.prices import Price
from semroute.router.catalog import CatalogModel, ModelCatalog, Needs

TOML = """
[models.large]
tier = 2
input_usd_per_mtok = 2.5
output_usd_per_mtok = 10
vision = true

[models.small]
input_usd_per_mtok = 0.15
output_usd_per_mtok = 0.6
context_tokens = 16_000
"""


def model(name: str, tier: int = 1, usd: float | None = None, **can: object) -> CatalogModel:
    return CatalogModel(name, tier, None if usd is None else Price(usd, usd), **can)


def test_a_file_is_read_weakest_model_first(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(TOML, encoding="utf-8")
    catalog = ModelCatalog.of(path)
    assert catalog.names == ("small", "large")
    assert catalog["small"] == CatalogModel("small", 1, Price(0.15, 0.6), context_tokens=16_000)
    assert catalog.strongest.name == "large"
    assert catalog.prices == {"small": Price(0.15, 0.6), "large": Price(2.5, 10)}
    assert ModelCatalog.of({"large": {"tier": 2}, "small": {}}).tiers == (1, 2)


def test_models_of_one_tier_stand_by_their_price() -> None:
    catalog = ModelCatalog.of([model("dear", 2, 9.0), model("cheap", 2, 3.0), model("weak", 1, 20.0)])
    assert catalog.names == ("weak", "cheap", "dear")
    assert catalog.strongest.name == "cheap"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no \\[models.NAME\\] table"),
        ("models = 3", "no \\[models.NAME\\] table"),
        ("[models]", "no \\[models.NAME\\] table"),
        ("[models.a]\ntier = 0", "tier=0 must be a whole number from 1"),
        ("[models.a]\ntier = true", "tier=True"),
        ("[models.a]\nvision = 1", "vision=1 must be true or false"),
        ("[models.a]\nteir = 1", "unknown keys teir; known are context_tokens"),
        ("[models.a]\ninput_usd_per_mtok = 1", "needs both"),
        ("[models.a]\ninput_usd_per_mtok = -1\noutput_usd_per_mtok = 1", "number of US dollars"),
        ("[models.a]\ninput_usd_per_mtok = nan\noutput_usd_per_mtok = 1", "number of US dollars"),
        ("[models]\na = 3", "must be a table"),
        ("[models.a", "no TOML"),
    ],
)
def test_what_is_no_catalogue_says_what_is_wrong(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        ModelCatalog.load(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        ModelCatalog.load(tmp_path / "none.toml")


def test_no_model_and_two_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        ModelCatalog.of([])
    with pytest.raises(ConfigError, match="'a' more than once"):
        ModelCatalog.of([model("a"), model("b"), model("a", 2)])
    with pytest.raises(ConfigError, match="needs a name"):
        model("  ")


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no model 'c' in the catalogue: it has a, b"):
        ModelCatalog.of([model("a"), model("b")])["c"]


def test_those_that_can_do_what_is_needed_are_found_and_else_it_is_said_what_each_lacks() -> None:
    models = [model("a", 1, tools=False), model("b", 2, context_tokens=100), model("c", 3, vision=True)]
    catalog = ModelCatalog.of(models)
    assert [each.name for each in catalog.able(Needs(tools=True))] == ["b", "c"]
    assert [each.name for each in catalog.able(Needs(least_tier=3))] == ["c"]
    assert [each.name for each in catalog.able(Needs(tokens=101))] == ["a", "c"]
    with pytest.raises(ConfigError, match="a lacks tools, vision, tier 4; b lacks vision, tier 4; c lacks tier 4"):
        catalog.able(Needs(tools=True, vision=True, least_tier=4))

"""The stand-ins state their terms as a catalogue, and one place says which router chooses between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from semroute.cli.stand_in import TERMS, catalog_of, router_of_stand_ins
from semroute.router.learned import LearnedRouter
from semroute.router.rules import RuleRouter


def test_the_catalogue_says_what_the_stand_ins_state() -> None:
    catalog = catalog_of()
    assert [(model.name, model.tier, model.price) for model in catalog] == [
        ("small", 1, TERMS["small"].price),
        ("large", 2, TERMS["large"].price),
    ]


def test_another_model_of_a_stream_is_priced_as_small_so_that_nothing_is_inflated() -> None:
    catalog = catalog_of([*TERMS, "gpt-of-ours", "gpt-of-ours"])
    assert (catalog["gpt-of-ours"].tier, catalog["gpt-of-ours"].price) == (1, TERMS["small"].price)
    assert catalog.strongest.name == "large"


def test_the_learned_router_chooses_where_one_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "learned.json"
    monkeypatch.setattr("semroute.cli.stand_in.SHIPPED", file)
    assert isinstance(router_of_stand_ins(), RuleRouter)
    file.write_text("{}", encoding="utf-8")
    router = router_of_stand_ins()
    assert isinstance(router, LearnedRouter)
    assert router.catalog == catalog_of()

"""The learned router: what it decides with heads, tiers, both or neither, and files that are no router."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from semroute import Miss, SemanticCache
from semroute.errors import ConfigError
from semroute.request import Request
from semroute.router import check_embedder
from semroute.router._file import FORMAT, RouterFile
from semroute.router._heads import FEATURES, Head, Heads
from semroute.router._prompt_features import FEATURES as TIER_FEATURES
from semroute.router._tiers import Expert, TierPredictor
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.learned import SHIPPED, LearnedRouter
from semroute.router.outcomes import Outcomes
from semroute.router.preference import GoodEnough, StrongShare
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.embedders import HashEmbedder

EMBEDDER = "e-2"
CATALOG = ModelCatalog.of([CatalogModel("small", 1), CatalogModel("large", 2)])
TIMELESS, CHANGING = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
QUESTION = Request.of("Who wrote the anthem of the moon?")


def heads(embedder: str = EMBEDDER, **columns: list[list[float]]) -> Heads:
    """Heads that look at the vector alone; each gets a row of weights for each of its outputs."""

    def head(name: str, vector: list[list[float]]) -> Head:
        n = len(vector)
        return Head(name, np.zeros(n), np.array(vector, float), np.zeros((n, len(FEATURES))), None, shift=np.zeros(n))

    return Heads(embedder, [], [head(name, vector) for name, vector in columns.items()])


STALENESS = {"staleness": [[4.0, -2.0], [0.0, 0.0], [-4.0, 2.5]]}


def tiers(embedder: str = EMBEDDER, names: tuple[str, ...] = ("weak", "strong")) -> TierPredictor:
    """The first number of a vector speaks for the weaker tiers; the strongest is always good enough."""
    n, n_tiers = len(TIER_FEATURES), len(names)
    bare = Expert(np.zeros(n), np.ones(n), np.array([0.0] * (n_tiers - 1) + [3.0]), np.zeros((n, n_tiers)))
    vectors = np.zeros((2, n_tiers))
    vectors[:, :-1] = [[3.0], [-3.0]]
    return TierPredictor(embedder, names, {"general": replace(bare, vectors=vectors), "general_text": bare})


def router(tmp_path: Path, *, catalog: ModelCatalog | None = CATALOG, **parts: object) -> LearnedRouter:
    options = {name: parts.pop(name) for name in ("preference", "outcomes") if name in parts}
    path = tmp_path / "router.json"
    RouterFile(**{"heads": heads(**STALENESS), "tiers": tiers(), **parts}).write(path)
    return LearnedRouter(catalog, file=path, **options)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "router.json"
    written = RouterFile(heads(**STALENESS), tiers(), [0.1, 0.2], "# A card")
    written.write(path)
    read = RouterFile.read(path)
    assert read.text() == written.text()
    assert (read.digest, read.embedder, read.card) == (written.digest, EMBEDDER, "# A card")


def test_a_question_whose_answer_never_changes_is_kept_long_and_a_changing_one_in_doubt(tmp_path: Path) -> None:
    learned = router(tmp_path)
    sure, doubtful = (learned.route(QUESTION, vector) for vector in (TIMELESS, CHANGING))
    assert (sure.staleness, sure.origin, sure.cache_strategy) == ("timeless", "learned", "standard")
    assert sure.confidence > 0.95
    assert doubtful.staleness == "daily"
    assert doubtful.confidence > 0.95


TORN = {"staleness": [[0.4, 0.0], [0.3, 0.0], [0.3, 0.0]]}


def test_a_life_in_doubt_is_the_shorter_one_and_low_confidence_tells_the_gate(tmp_path: Path) -> None:
    decision = router(tmp_path, heads=heads(**TORN)).route(Request.of("Compare the anthem with the hymn."), TIMELESS)
    assert decision.intent == "analysis"
    assert decision.staleness == "slow"
    assert 0.5 < decision.confidence < 0.8


def test_what_a_retrieval_brought_is_kept_a_week_at_most_and_its_confidence_is_that_of_a_week(tmp_path: Path) -> None:
    decision = router(tmp_path, heads=heads(**TORN)).route(QUESTION, TIMELESS)
    assert (decision.intent, decision.staleness) == ("retrieval", "timeless")
    assert decision.confidence == pytest.approx(0.68, abs=0.01)


def test_the_rules_are_never_made_milder(tmp_path: Path) -> None:
    asked = Request.of("What is the weather in Lisbon right now?")
    decision = router(tmp_path).route(asked, TIMELESS)
    assert (decision.staleness, decision.cache_strategy) == ("realtime", "bypass")
    trace = Request.of("Traceback (most recent call last)\nValueError: no")
    assert router(tmp_path).route(trace, TIMELESS).intent == "error"


def test_the_model_is_the_weakest_that_is_good_enough(tmp_path: Path) -> None:
    learned = router(tmp_path)
    assert learned.route(QUESTION, TIMELESS).model == "small"
    decision = learned.route(QUESTION, CHANGING)
    assert decision.model == "large"
    assert "P(large is good enough) 0.95" in decision.reason


def test_without_a_catalogue_nobody_is_chosen(tmp_path: Path) -> None:
    assert router(tmp_path, catalog=None).route(QUESTION, TIMELESS).model is None


def test_without_a_vector_the_rules_decide_and_the_model_is_chosen_by_the_words(tmp_path: Path) -> None:
    decision = router(tmp_path).route(QUESTION, None)
    assert decision.origin == "rules"
    assert decision.model == "large"


def test_half_a_router_leaves_the_other_half_to_the_rules(tmp_path: Path) -> None:
    assert router(tmp_path, tiers=None).route(QUESTION, TIMELESS).model is None
    decision = router(tmp_path, heads=None).route(QUESTION, TIMELESS)
    assert (decision.origin, decision.model) == ("rules", "small")


def test_half_a_router_for_the_shipped_embedder_is_completed_by_the_one_that_ships(tmp_path: Path) -> None:
    shipped = RouterFile.read(SHIPPED)
    path = tmp_path / "half.json"
    RouterFile(None, tiers(shipped.embedder)).write(path)
    whole = LearnedRouter(file=path).fitted
    assert whole.heads is not None
    assert whole.tiers is not None
    assert whole.tiers.dimensions == 2
    assert LearnedRouter().fitted.is_whole


def test_tiers_between_lie_between_and_tiers_of_the_same_names_are_the_same(tmp_path: Path) -> None:
    three = ModelCatalog.of([CatalogModel(name, tier) for tier, name in enumerate("abc", start=1)])
    p = router(tmp_path, catalog=three).p_good("text", CHANGING)
    assert p[2] == pytest.approx((p[1] + p[3]) / 2)
    named = router(tmp_path, catalog=three, tiers=tiers(names=("1", "2", "3"))).p_good("text", TIMELESS)
    assert named[1] == named[2]
    only = ModelCatalog.of([CatalogModel("a", 5)])
    assert router(tmp_path, catalog=only).p_good("text", CHANGING) == {5: pytest.approx(0.95, abs=0.01)}


def test_outcomes_move_the_choice(tmp_path: Path) -> None:
    outcomes = Outcomes(step=0.2, limit=0.4)
    learned = router(tmp_path, outcomes=outcomes, preference=GoodEnough(0.9))
    assert learned.route(QUESTION, TIMELESS).model == "small"
    for _ in range(3):
        outcomes.note(1, "wrong")
    assert learned.route(QUESTION, TIMELESS).model == "large"


def test_a_share_of_strong_calls_starts_from_the_gains_of_the_file(tmp_path: Path) -> None:
    learned = router(tmp_path, gains=[0.0, 0.1, 0.95], preference=StrongShare(1 / 3))
    assert learned.route(QUESTION, TIMELESS).model == "small"
    assert repr(learned.preference) == "<StrongShare 0.333333, 1 requests seen>"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no router"),
        ("[]", "no router of this version"),
        ('{"format": "semroute router 9"}', "no router of this version"),
        (json.dumps({"format": FORMAT}), "fitted on the vectors of one embedder"),
        (json.dumps({"format": FORMAT, "heads": {"version": 99}}), "version 99"),
        (json.dumps({"format": FORMAT, "gains": ["many"]}), "gains"),
    ],
)
def test_a_file_that_is_no_router_is_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "router.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        RouterFile.read(path)
    with pytest.raises(ConfigError, match="No such file"):
        LearnedRouter(file=tmp_path / "none.json").route(QUESTION, None)


def test_what_is_no_preference_and_no_catalogue_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="preference must be one"):
        LearnedRouter(CATALOG, preference=0.5)
    with pytest.raises(ConfigError, match="cannot be read"):
        LearnedRouter(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("router", ["learned", 12, LearnedRouter])
def test_a_cache_takes_nothing_for_a_router_that_is_none(router: object) -> None:
    with pytest.raises(ConfigError, match="router must be one"):
        SemanticCache("memory://", router=router)


async def test_a_decision_may_be_asked_for_by_itself(tmp_path: Path) -> None:
    with SemanticCache("memory://", embedder=HashEmbedder()) as cache:
        told = cache.decide("What is the weather in Lisbon right now?")
        assert told == await cache.adecide(cache.request("What is the weather in Lisbon right now?"), ahead=told)
    assert told.decision is not None
    assert told.decision.staleness == "realtime"


def test_halves_of_two_embedders_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match="one embedder"):
        RouterFile(heads("a", **STALENESS), tiers("b"))


def test_a_router_of_another_embedder_is_refused_at_start_up_and_never_guesses(tmp_path: Path) -> None:
    learned = router(tmp_path)
    with pytest.raises(ConfigError, match="fitted on vectors of e-2, and is given those of e-9"):
        check_embedder(learned, "e-9")
    embedder = HashEmbedder()
    with SemanticCache(EmbeddedStore("memory://"), embedder=embedder, router=learned) as cache:
        with pytest.raises(ConfigError, match="fitted on vectors of e-2"):
            cache.preload()
        result = cache.lookup("How do I reset my password?")
    assert isinstance(result, Miss)
    assert "fitted on vectors of e-2" in result.explanation.failures[0]

"""The mixed stream that the gate is measured on: what counts as a hit, as wrong and as stale, and what is compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals import gate as evaluation
from evals import gate_stream
from evals.gate import (
    ANY_AGE,
    GATE,
    SINGLE,
    Arm,
    Curve,
    Plan,
    arms_of,
    calibration,
    compared,
    served_by_default,
)
from evals.gate_stream import (
    ASKED_AGAIN,
    DAY,
    HOUR,
    Nearest,
    Stream,
    drawn,
    fitted_apart,
    half_of,
    lives_of,
    mixed,
    nearest_alive,
)
from semroute.gate import open_gate
from semroute.guards.verifier import Verifier
from semroute.policy import Policy
from semroute.router.decision import RoutingDecision
from semroute.testing.embedders import HashEmbedder
from semroute.tuning.router_heads import FittedHeads, LabelledPrompt

from .tables import put


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    put(
        tmp_path / "qqp" / "stream.csv.gz",
        ("text", "class_norm"),
        [(f"What is thing {n}?", str(n // 2)) for n in range(40)],
    )
    put(
        tmp_path / "situatedqa" / "context_dependence.csv",
        ("context", "question", "dependent", "source_dataset"),
        [("temp", f"who won cup number {n}", str(n % 2), "nq") for n in range(10)] + [("geo", "who rules", "1", "nq")],
    )
    return tmp_path


def stream_of(*asked: tuple[str, float, int, bool]) -> Stream:
    texts, at, answers, changes = zip(*asked, strict=True)
    return Stream(texts, texts, np.array(at), np.array(answers), np.array(changes), np.array(changes))


def vectors_along(*angles: float) -> np.ndarray:
    return np.array([(np.cos(angle), np.sin(angle)) for angle in angles], np.float32)


def arm_of(similarities: Sequence[float], is_sure: Sequence[bool], p: Sequence[float] | None = None) -> Arm:
    n = len(similarities)
    return Arm(
        name=GATE,
        nearest=Nearest(np.zeros(n, np.intp), np.array(similarities)),
        p_reusable=np.array(similarities if p is None else p),
        is_wrong=np.zeros(n, np.bool_),
        is_stale=np.zeros(n, np.bool_),
        is_sure=np.array(is_sure),
        asks=np.ones(n, np.bool_),
    )


def test_each_temporal_question_is_asked_four_times_at_fixed_distances(sets: Path) -> None:
    stream = mixed(sets, 40, 0, same_words=False)
    assert len(stream) == 40 + 4 * 10
    assert (np.diff(stream.at) >= 0).all()
    for question in {one for one, is_meant in zip(stream.questions, stream.is_situated, strict=True) if is_meant}:
        at = [stream.at[place] for place, one in enumerate(stream.questions) if one == question]
        assert np.diff([0.0, *ASKED_AGAIN]) == pytest.approx(np.diff(at))


def test_a_question_that_is_asked_again_is_reworded_unless_the_same_words_are_asked_for(sets: Path) -> None:
    reworded, same = (mixed(sets, 40, 0, same_words=one) for one in (False, True))
    assert max(Counter(reworded.texts).values()) == 1
    assert Counter(same.texts)["who won cup number 3"] == 4
    assert "who rules" not in reworded.questions


def test_the_stream_is_the_same_for_the_same_seed(sets: Path) -> None:
    assert mixed(sets, 40, 0, same_words=False).texts == mixed(sets, 40, 0, same_words=False).texts
    assert mixed(sets, 40, 0, same_words=False).texts != mixed(sets, 40, 1, same_words=False).texts


def test_no_router_judges_a_question_that_its_heads_were_fitted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[set[str]] = []

    def fit(prompts: Sequence[LabelledPrompt], *_: object, **__: object) -> FittedHeads:
        fitted.append({one.prompt for one in prompts})
        return FittedHeads({}, {}, {})

    class Written:
        def __init__(self, *_: object) -> None: ...

        def write(self, path: Path) -> None:
            path.write_text("{}")

    monkeypatch.setattr(gate_stream, "fit_heads", fit)
    monkeypatch.setattr(gate_stream, "load", lambda *_, **__: None)
    monkeypatch.setattr(gate_stream, "RouterFile", Written)
    own = [LabelledPrompt(f"who won cup {n}", changes=True, source="situatedqa") for n in range(20)]
    others = [LabelledPrompt(f"what is {n}", intent="retrieval", source="written") for n in range(5)]
    fitted_apart([*own, *others], HashEmbedder(8), tmp_path, 0)
    halves = half_of([one.prompt for one in own]).tolist()
    assert set(halves) == {0, 1}
    for half in (0, 1):
        assert {one.prompt for one in others} < fitted[half]
        tested = {one.prompt for one, other in zip(own, halves, strict=True) if other == half}
        assert tested.isdisjoint(fitted[half])
    fitted_apart([*own, *others], HashEmbedder(8), tmp_path, 0)
    assert len(fitted) == 2  # the second time both are read


def test_an_answer_lives_as_long_as_its_staleness_says_and_not_at_all_behind_a_bypass() -> None:
    decisions = [
        RoutingDecision(intent="chat", staleness="timeless"),
        RoutingDecision(intent="retrieval", staleness="timeless"),
        RoutingDecision(staleness="daily"),
        RoutingDecision(staleness="realtime"),
        RoutingDecision(cache_strategy="bypass"),
        RoutingDecision(intent="error", staleness="slow"),
    ]
    assert lives_of(decisions, Policy()).tolist() == [30 * DAY, 30 * DAY, HOUR, 0.0, 0.0, 0.0]
    assert lives_of(decisions, Policy(), caps_retrieval=True).tolist()[:2] == [30 * DAY, 7 * DAY]


def test_the_nearest_is_one_that_is_still_kept() -> None:
    stream = stream_of(("a", 0.0, 0, False), ("b", 10.0, 1, False), ("c", 100.0, 2, False))
    vectors = vectors_along(0.1, 0.5, 0.0)
    lives = np.array([50.0, 500.0, 500.0])
    found = nearest_alive(stream, vectors, {"long": (np.full(3, 1e9), None), "short": (lives, None)})
    assert found["long"].places.tolist() == [-1, 0, 0]
    assert found["short"].places.tolist() == [-1, 0, 1]
    assert found["short"].similarities[2] == pytest.approx(np.cos(0.5), abs=1e-6)


def test_a_request_takes_no_answer_older_than_it_may_be() -> None:
    stream = stream_of(("a", 0.0, 0, False), ("b", 10.0, 1, False), ("c", 100.0, 2, False))
    forever, oldest = np.full(3, 1e9), np.array([1e9, 1e9, 95.0])
    found = nearest_alive(stream, vectors_along(0.1, 0.5, 0.0), {"one": (forever, oldest)})
    assert found["one"].places.tolist() == [-1, 0, 1]


def test_the_same_words_find_what_they_stored_last() -> None:
    stream = stream_of(("a", 0.0, 0, False), ("a", 10.0, 0, False), ("a", 20.0, 0, False), ("b", 30.0, 1, False))
    found = nearest_alive(stream, vectors_along(0.0, 0.0, 0.0, 0.2), {"one": (np.full(4, 1e9), None)})
    assert found["one"].places.tolist() == [-1, 0, 1, 2]
    assert found["one"].similarities[1] == 1.0


def test_a_hit_is_wrong_for_another_answer_and_stale_for_one_that_has_changed_since() -> None:
    stream = stream_of(
        ("who leads", 0.0, 0, True),
        ("who leads now", 0.5 * DAY, 0, True),
        ("who is leading", 2 * DAY, 0, True),
        ("who follows", 2 * DAY, 1, True),
    )
    verifier = Verifier.load()
    everybody = np.ones(4, np.bool_)
    plans = {
        "kept": Plan(np.full(4, 30 * DAY), everybody, everybody),
        "an hour": Plan(np.full(4, HOUR), everybody, everybody),
    }
    kept, an_hour = arms_of(stream, vectors_along(0.0, 0.01, 0.02, 0.03), plans, verifier, DAY)
    assert kept.is_stale.tolist() == [False, False, True, False]
    assert kept.is_wrong.tolist() == [False, False, False, True]
    assert kept.is_bad.tolist() == [False, False, True, True]
    # At the same moment as the last request the third one has just stored its answer, which is not the last one's.
    assert an_hour.nearest.places.tolist() == [-1, -1, -1, 2]


@pytest.mark.parametrize("has_verifier", [False, True])
def test_the_sweep_serves_at_the_shipped_threshold_what_the_shipped_gate_serves(has_verifier: bool) -> None:
    rng = np.random.default_rng(0)
    policy = Policy()
    arm = arm_of(rng.uniform(0.6, 1.0, 500), rng.random(500) < 0.5, rng.uniform(0.5, 1.0, 500))
    gate = open_gate(RoutingDecision(), policy, has_verifier=has_verifier)
    loose = gate.min_p_reusable if has_verifier else gate.threshold
    assert loose is not None
    swept = arm.scores(policy, has_verifier=has_verifier) >= loose
    shipped = served_by_default(arm, policy, has_verifier=has_verifier)
    assert shipped.any()
    assert (swept == shipped).all()


def test_an_unsure_request_needs_what_the_policy_asks_for_where_it_is_strict() -> None:
    arm = arm_of([0.9, 0.9, 0.96, 0.96], [True, False, True, False])
    assert arm.scores(Policy(), has_verifier=False).tolist() == [0.9, 0.0, 0.96, 0.96]
    assert served_by_default(arm, Policy(), has_verifier=False).tolist() == [True, False, True, True]


def test_a_request_that_bypasses_the_cache_is_never_served() -> None:
    arm = replace(arm_of([1.0, 1.0], [True, True]), asks=np.array([True, False]))
    assert arm.scores(Policy(), has_verifier=False).tolist() == [1.0, 0.0]
    assert served_by_default(arm, Policy(), has_verifier=False).tolist() == [True, False]


def test_bad_hits_are_counted_up_to_a_hit_rate_and_ties_come_together() -> None:
    curve = Curve(np.array([0.9, 0.8, 0.8, 0.0, 0.7]), np.array([False, True, False, True, True]))
    hits = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    found = curve.bad_at(hits, np.ones(5))
    assert found[:5].tolist() == [0.0, 0.0, 0.5, 1.0, 2.0]
    assert np.isnan(found[5])
    assert Curve(np.zeros(3), np.ones(3, np.bool_)).bad_at(np.array([0.0]), np.ones(3)).tolist() == [0.0]


def test_a_bootstrap_sample_draws_all_requests_for_one_answer_together() -> None:
    stream = stream_of(*[("q", float(n), n // 3, False) for n in range(12)])
    first, *rest = drawn(stream, 5, 0)
    assert first.tolist() == [1.0] * 12
    for weights in rest:
        assert weights.reshape(4, 3).std(axis=1).tolist() == [0.0] * 4
        assert weights.sum() == 12.0


def test_a_gate_that_serves_fewer_stale_answers_shows_it_with_an_interval_below_zero() -> None:
    n = 400
    stream = stream_of(*[(f"q{place}", float(place), place, False) for place in range(n)])
    single = replace(arm_of(np.linspace(0.8, 1.0, n), [True] * n), is_stale=np.arange(n) % 2 == 0)
    singles = [replace(single, name=name) for name in SINGLE]
    gated = replace(single, asks=~single.is_stale)
    rows = compared(stream, [*singles, gated], Policy(), 50, 0)
    row = next(one for one in rows if (one["score"], one["point"], one["hit_rate"]) == ("similarity", "equal", 0.2))
    assert row["bad"] == 0.0
    assert all(row[name]["difference"] == -0.1 and row[name]["high"] < 0 for name in SINGLE)
    beyond = replace(gated, asks=np.arange(n) < 10)
    rows = compared(stream, [*singles, beyond], Policy(), 5, 0)
    assert next(one for one in rows if one["hit_rate"] == 0.35)["bad"] is None


def test_the_rate_of_bad_hits_is_told_for_each_bucket_of_confidence() -> None:
    n = 300
    stream = stream_of(*[(f"q{place}", float(place), place, False) for place in range(n)])
    sure = np.arange(n) >= 100
    decisions = [RoutingDecision(confidence=0.97 if one else 0.5) for one in sure.tolist()]
    arm = replace(
        arm_of([0.99] * n, sure.tolist()), is_stale=np.where(sure, np.arange(n) % 10 == 0, np.arange(n) % 2 == 0)
    )
    low, high = calibration(stream, arm, decisions, 50, 0)
    assert (low["confidence"], low["hits"], low["stale"], low["rate"]) == ("0 to 0.8", 100, 50, 0.5)
    assert (high["confidence"], high["hits"], high["rate"]) == ("0.95 to 0.99", 200, 0.1)
    assert high["high"] < low["low"]


def test_the_command_prints_figures_tables_and_a_picture(
    sets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class ByWords:
        def __init__(self, *_: object, **__: object) -> None: ...

        def route(self, request: object, vector: object) -> RoutingDecision:
            return RoutingDecision(staleness="slow", confidence=0.9)

    monkeypatch.setattr(evaluation, "read", lambda _: [])
    monkeypatch.setattr(evaluation, "fitted_apart", lambda *_: (ByWords(), ByWords()))
    monkeypatch.setattr(evaluation, "OnnxEmbedder", lambda **_: HashEmbedder(32))
    shipped = Verifier.load()
    monkeypatch.setattr(evaluation.Verifier, "load", lambda **_: shipped)  # its embedder is another one here
    picture = sets / "calibration.png"
    arguments = [str(sets), "--samples", "3", "--plot", str(picture)]
    assert evaluation.main([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["requests"], figures["situatedqa"]) == (80, 40)
    assert {row["arm"] for row in figures["compared"]} > {GATE, ANY_AGE}
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert evaluation.main(arguments) == 0
    assert "| situatedqa, changing | 20 |" in capsys.readouterr().out

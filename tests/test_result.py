"""Results and their explanation, as they reach an application."""

from __future__ import annotations

import json

import pytest

from semroute.entry import Answer
from semroute.result import Bypass, Explanation, Hit, Miss, Saved, Verdict
from semroute.router.decision import RoutingDecision

KEYS = {"tier", "hit_id", "similarity", "p_reusable", "threshold", "threshold_from", "age_s", "model", "saved", "why"}


@pytest.mark.parametrize(
    "explanation",
    [
        Explanation("miss", "nothing is stored"),
        Explanation("bypass", "time-sensitive", decision=RoutingDecision()),
        Explanation(
            "l2", "the same question", "e", 0.97, 0.99, 0.9, "default", 5.0, "m", Saved(30, 0.5, 2.0),
            (Verdict("numbers", passed=True), Verdict("names", passed=True)),
        ),
    ],
)  # fmt: skip
def test_an_explanation_is_plain_json_of_the_same_keys_whatever_the_tier(explanation: Explanation) -> None:
    told = explanation.as_dict()
    assert told.keys() == KEYS | {"decision"}
    assert json.loads(json.dumps(told)) == told


def test_what_was_saved_and_decided_is_told_by_name() -> None:
    told = Explanation("l1", "why", saved=Saved(30, 0.5, 2.0), decision=RoutingDecision(intent="chat")).as_dict()
    assert told["saved"] == {"tokens": 30, "usd": 0.5, "seconds": 2.0}
    assert told["decision"]["intent"] == "chat"


def test_the_why_of_a_refusal_names_guard_and_difference() -> None:
    told = Explanation("miss", "refused", verdicts=(Verdict("numbers", passed=False, why="2019 ≠ 2017"),)).as_dict()
    assert told["why"] == ["numbers: 2019 ≠ 2017"]


def test_without_verdicts_the_why_is_the_reason() -> None:
    assert Explanation("miss", "nothing is stored").as_dict()["why"] == ["nothing is stored"]


def test_a_verdict_that_passed_says_so() -> None:
    assert str(Verdict("numbers", passed=True)) == "numbers: passed"


def test_results_are_told_apart_by_their_type_and_tier() -> None:
    results = [Hit(Answer("a"), Explanation("l2", "why", hit_id="e")), Miss(Explanation("miss", "why"))]
    results.append(Bypass(Explanation("bypass", "why")))
    seen = []
    for result in results:
        match result:
            case Hit(answer, explanation):
                seen.append((answer.text, explanation.tier, result.hit_id))
            case Miss() | Bypass():
                seen.append(result.tier)
    assert seen == [("a", "l2", "e"), "miss", "bypass"]

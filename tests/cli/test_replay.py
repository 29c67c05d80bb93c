"""A replay counts what a stream's labels say: right answers, wrong ones, and traps that were refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from .replaying import replayed, row

if TYPE_CHECKING:
    from pathlib import Path

    from semroute.cli.report import Outcome

REFUND = row("Can I return shoes within 30 days?", "refund-30")
LOOK_ALIKE = row("Can I return shoes within 60 days?", "refund-60", trap=True, kind="number")


def test_a_repeat_is_a_hit_of_the_exact_tier_and_reusable() -> None:
    report = replayed([REFUND, REFUND])
    assert [outcome.tier for outcome in report.outcomes] == ["miss", "l1"]
    assert [outcome.is_reusable for outcome in report.outcomes] == [False, True]
    assert report.hit_share_of_reusable == 1.0
    assert not report.wrong


def test_a_careless_cache_is_caught_serving_a_wrong_answer() -> None:
    report = replayed([REFUND, LOOK_ALIKE], is_careless=True)
    figures = report.as_dict()
    assert figures["wrong_hits"] == 1
    assert figures["traps"] == 1
    assert figures["traps_refused"] == 0
    assert figures["wrong"] == [
        {
            "request": 2,
            "kind": "number",
            "tier": "l2",
            "similarity": pytest.approx(report.outcomes[1].explanation.similarity),
            "query": LOOK_ALIKE.query,
            "served_query": REFUND.query,
        }
    ]


def test_a_wrong_answer_that_comes_back_by_its_alias_is_wrong_again() -> None:
    report = replayed([REFUND, LOOK_ALIKE, LOOK_ALIKE], is_careless=True)
    assert [outcome.tier for outcome in report.outcomes] == ["miss", "l2", "l1_alias"]
    assert len(report.wrong) == 2
    assert report.as_dict()["l1_alias_hits"] == 1


def test_the_shipped_rules_refuse_the_same_trap() -> None:
    report = replayed([REFUND, LOOK_ALIKE])
    assert report.as_dict()["wrong_hits"] == 0
    assert report.as_dict()["traps_refused"] == 1


def test_a_wrong_hit_spares_nothing() -> None:
    report = replayed([REFUND, LOOK_ALIKE], is_careless=True)
    assert report.right_hits == 0
    assert report.saved_usd is None


def test_a_right_hit_spares_what_the_stand_in_states() -> None:
    asked = row("Which cards do you take?", "cards", model="large")
    report = replayed([asked, asked])
    output_tokens = len(asked.answer_text)
    input_tokens = len(asked.query) + 4
    assert report.saved_usd == pytest.approx((input_tokens * 2.50 + output_tokens * 10.00) / 1_000_000)
    assert report.saved_s == pytest.approx(0.7 + output_tokens / 50.0)


@pytest.mark.parametrize("change", [{"tenant": "other"}, {"system": "Be brief."}, {"model": "large"}])
def test_the_same_question_in_another_context_is_not_reusable_and_not_served(change: dict[str, str]) -> None:
    report = replayed([REFUND, REFUND.model_copy(update=change)], is_careless=True)
    assert not report.outcomes[1].is_reusable
    assert report.outcomes[1].tier == "miss"


def test_an_earlier_conversation_is_part_of_the_context() -> None:
    asked = row("And what does it cost?", "cost-a", history=[{"role": "user", "content": "Tell me of plan A."}])
    other = row("And what does it cost?", "cost-b", history=[{"role": "user", "content": "Tell me of plan B."}])
    report = replayed([asked, other, asked], is_careless=True)
    assert [outcome.tier for outcome in report.outcomes] == ["miss", "miss", "l1"]
    assert not report.wrong


def test_a_time_bound_question_is_counted_as_bypass() -> None:
    report = replayed([row("What is the weather in Paris right now?", "w-1", trap=True, kind="time")])
    assert report.as_dict()["bypasses"] == 1
    assert report.as_dict()["traps_refused"] == 1


def test_an_entry_of_an_earlier_run_is_judged_by_its_answer(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'answers.db'}"
    replayed([REFUND], store=store)
    again = replayed([REFUND, REFUND.model_copy(update={"answer_class": "other"})], store=store)
    assert [outcome.is_wrong for outcome in again.outcomes] == [False, True]
    assert again.earlier_run_hits == 2


def test_the_plain_cosine_cache_is_measured_on_the_same_stream() -> None:
    figures = replayed([REFUND, LOOK_ALIKE, REFUND]).as_dict()
    assert figures["cosine_hits"] == 2
    assert figures["cosine_wrong_hits"] == 1


def test_the_figures_are_json_with_every_key_of_the_contract() -> None:
    figures = json.loads(json.dumps(replayed([REFUND, REFUND, LOOK_ALIKE]).as_dict(), allow_nan=False))
    contract = {
        "requests", "reusable", "l1_hits", "l2_hits", "misses", "bypasses", "wrong_hits", "traps", "traps_refused",
        "cosine_wrong_hits", "saved_usd", "saved_s", "p50_ms", "models", "saved_by_hits_usd", "saved_by_routing_usd",
        "confidence",
    }  # fmt: skip
    assert contract <= figures.keys()
    assert set(figures["p50_ms"]) == {"l1", "l2", "miss_overhead"}
    assert figures["requests"] == figures["l1_hits"] + figures["l2_hits"] + figures["misses"] + figures["bypasses"]


def test_kinds_are_counted_apart_and_named_where_the_stream_does_not_name_them() -> None:
    kinds = replayed([REFUND, REFUND, LOOK_ALIKE]).by_kind()
    assert {kind: counts.requests for kind, counts in kinds.items()} == {"new": 1, "reusable": 1, "number": 1}
    assert kinds["reusable"].hits == 1


def test_calls_are_counted_by_the_model_that_answered() -> None:
    report = replayed([REFUND, REFUND, LOOK_ALIKE, LOOK_ALIKE.model_copy(update={"model": "large"})])
    assert report.as_dict()["models"] == {"large": 1, "small": 2}
    assert [outcome.call is None for outcome in report.outcomes] == [False, True, False, False]
    assert report.routed_calls == 0


def test_decisions_are_counted_by_their_confidence_and_certainty_is_in_the_last_bucket() -> None:
    sure = replayed([REFUND]).outcomes[0]
    decision = sure.explanation.decision
    assert sure.confidence == 1.0

    def outcome(confidence: float) -> Outcome:
        told = decision.model_copy(update={"confidence": confidence})
        return replace(sure, explanation=replace(sure.explanation, decision=told))

    known = tuple(outcome(confidence) for confidence in (0.0, 0.25, 0.3, 0.7, 0.79, 0.8, 0.999, 1.0))
    counts = [bucket.count for bucket in replace(replayed([REFUND]), outcomes=known).confidence]
    assert counts == [1, 0, 1, 1, 0, 0, 0, 2, 1, 2]


def test_a_request_that_the_router_was_not_asked_about_is_in_no_bucket() -> None:
    report = replayed([REFUND, REFUND])
    assert report.outcomes[1].confidence is None
    assert sum(bucket.count for bucket in report.confidence) == 1

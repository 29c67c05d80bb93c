"""Streams through an empty cache."""

from __future__ import annotations

import pytest

from semroute.evaluation.metrics import OperatingPoint
from semroute.evaluation.stream import Insert, Point, Question, evaluate_stream
from semroute.gate import Policy
from semroute.testing.embedders import HashEmbedder

REPORT = "How do I export the sales report?"
SAME_REPORT = "How do I export the sales report"
THREE = "How do I export 3 sales reports?"
FIVE = "How do I export 5 sales reports?"
CEILING = "Who painted the ceiling of the chapel?"


def points(
    stream: list[tuple[str, str]], *max_errors: float, insert: Insert = "always", policy: Policy | None = None
) -> list[Point]:
    questions = [Question(text, answer_class) for text, answer_class in stream]
    chosen = Policy() if policy is None else policy
    return evaluate_stream(questions, max_errors, HashEmbedder(), chosen, insert=insert)


@pytest.mark.parametrize("insert", ["always", "miss"])
def test_a_paraphrase_of_its_class_is_a_right_hit_of_every_way(insert: Insert) -> None:
    (point,) = points([(REPORT, "a"), (CEILING, "b"), (SAME_REPORT, "a")], 0.0, insert=insert)
    served = OperatingPoint(pytest.approx(1 / 3), 0.0, 1.0)
    assert (point.best, point.static, point.promised) == (served, served, served)


@pytest.mark.parametrize("insert", ["always", "miss"])
def test_guards_refuse_what_a_plain_cosine_serves_wrongly(insert: Insert) -> None:
    (point,) = points([(THREE, "three"), (FIVE, "five")], 0.5, insert=insert)
    assert point.best is None
    assert point.static == OperatingPoint(0.5, 0.5, 0.0)
    assert point.promised == OperatingPoint(0.0, 0.0, None)


def test_a_bound_that_no_served_request_keeps_leaves_nothing() -> None:
    strict, loose = points([(REPORT, "a"), (SAME_REPORT, "b")], 0.1, 0.5)
    assert (strict.best, strict.static) == (None, None)
    assert loose.best == OperatingPoint(0.5, 0.5, 0.0)
    # What the policy does, it does whatever the bound.
    assert strict.promised == loose.promised == OperatingPoint(0.5, 0.5, 0.0)


def test_only_earlier_requests_can_serve() -> None:
    (point,) = points([(CEILING, "b"), (REPORT, "a")], 1.0)
    assert point.promised == OperatingPoint(0.0, 0.0, None)


def test_a_request_that_was_served_serves_others_only_where_all_are_stored() -> None:
    # Cosines: first and second 0.91, second and third 0.86, first and third 0.75.
    first = "the red green blue yellow brown purple black white stone lies here"
    second = "the red green blue yellow brown purple black white stone lies there"
    third = "the red green blue yellow brown purple orange pink stone lies there"
    stream = [(first, "a"), (second, "b"), (third, "b")]
    (always,), (on_miss,) = points(stream, 0.4), points(stream, 0.4, insert="miss")
    assert always.static == OperatingPoint(pytest.approx(2 / 3), pytest.approx(1 / 3), 0.5)
    assert on_miss.static == OperatingPoint(pytest.approx(1 / 3), pytest.approx(1 / 3), 0.0)


@pytest.mark.parametrize("insert", ["always", "miss"])
def test_what_bypasses_the_cache_is_neither_served_nor_stored_by_the_rules(insert: Insert) -> None:
    now = "What is the weather in the valley right now?"
    (point,) = points([(now, "a"), (now, "a")], 1.0, insert=insert)
    assert point.best is None
    assert point.static == OperatingPoint(0.5, 0.0, 1.0)
    assert point.promised == OperatingPoint(0.0, 0.0, None)


def test_the_policy_given_is_the_one_that_promises() -> None:
    stream = [(REPORT, "a"), ("How do I export the whole sales report?", "a")]
    closed, wide = points(stream, 1.0, policy=Policy.fixed(1.0)), points(stream, 1.0, policy=Policy.fixed(0.5))
    assert closed[0].promised == OperatingPoint(0.0, 0.0, None)
    assert wide[0].best == closed[0].best


def test_progress_is_told_for_every_phase_and_changes_nothing() -> None:
    seen: list[str] = []

    def track(items, what):  # type: ignore[no-untyped-def]  # a protocol with a type variable of its own
        seen.append(what)
        return items

    questions = [Question(REPORT, "a"), Question(SAME_REPORT, "a")]
    told = evaluate_stream(questions, [0.0], HashEmbedder(), Policy(), track=track)
    assert told == evaluate_stream(questions, [0.0], HashEmbedder(), Policy())
    assert {"embedding", "scoring"} <= set(seen)

"""The rule router: the decision that needs no model."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from semroute.router import Router
from semroute.router.decision import Complexity, Intent
from semroute.router.rules import RuleRouter, decide


@dataclass(frozen=True)
class Asked:
    """The only part of a request that the router reads."""

    query: str


def test_it_is_a_router() -> None:
    router = RuleRouter()

    assert isinstance(router, Router)
    assert router.name == "rules"


def test_it_decides_from_the_query_alone_and_with_full_confidence() -> None:
    decision = RuleRouter().route(Asked("Do you ship to Norway?"), None)  # type: ignore[arg-type]  # a stand-in

    assert decision == decide("Do you ship to Norway?")
    assert (decision.confidence, decision.origin, decision.model) == (1.0, "rules", None)


@pytest.mark.parametrize(
    ("query", "intent"),
    [
        ("Do you ship to Norway?", "retrieval"),
        ("Hello there!", "chat"),
        ("thanks, that helped a lot", "chat"),
        ("Hi, do you ship to Norway?", "retrieval"),
        ("Compare the walnut desk with the oak desk", "analysis"),
        ("what are the pros and cons of leasing", "analysis"),
        ("Write a short essay about tides", "analysis"),
        ("Traceback (most recent call last):\n  File \"shop.py\", line 3\nKeyError: 'lamp'", "error"),
        ("help\njava.lang.IllegalStateException: closed\n  at shop.Cart.add(Cart.java:12)", "error"),
        ("What is a KeyError in Python?", "retrieval"),
        ("", "retrieval"),
    ],
)
def test_the_intent_follows_the_words(query: str, intent: Intent) -> None:
    assert decide(query).intent == intent


@pytest.mark.parametrize(
    ("query", "complexity"),
    [
        ("Hello!", "low"),
        ("Do you ship to Norway?", "low"),
        ("Do you ship to Norway? And to Chile?", "medium"),
        ("Compare walnut with oak", "medium"),
        ("Compare these:\n1. walnut\n2. oak\n3. pine", "high"),
        ("please read this " * 50, "high"),
        ("ValueError: no such lamp", "high"),
    ],
)
def test_the_complexity_follows_length_and_intent(query: str, complexity: Complexity) -> None:
    assert decide(query).complexity == complexity


def test_a_realtime_question_bypasses_the_cache() -> None:
    decision = decide("Is the site down right now?")

    assert (decision.staleness, decision.cache_strategy) == ("realtime", "bypass")
    assert "right now" in decision.reason


@pytest.mark.parametrize("query", ["Do you ship to Norway?", "who is the governor of Tasmania"])
def test_any_other_question_is_cached_the_standard_way(query: str) -> None:
    assert decide(query).cache_strategy == "standard"

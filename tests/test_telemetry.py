"""Events and the counters that are always on."""

from __future__ import annotations

import logging
import threading

import pytest

from semroute.entry import Answer
from semroute.result import Bypass, Explanation, Hit, Miss, NotStored, Queued, Saved, Stored
from semroute.telemetry import Counters, FailureEvent, FeedbackEvent, LookupEvent, StateEvent, Stats, UpdateEvent


def hit(tier: str = "l1", **saved: object) -> LookupEvent:
    return LookupEvent(Hit(Answer("a"), Explanation(tier, "why", saved=Saved(**saved))), 0.001)


def test_nothing_has_happened_at_first() -> None:
    assert Counters().stats() == Stats()
    assert Stats().hit_rate == 0.0


def test_lookups_are_counted_by_tier() -> None:
    counters = Counters()
    for event in (hit("l1"), hit("l2"), hit("l1_alias")):
        counters.on(event)
    for result in (Miss(Explanation("miss", "why")), Bypass(Explanation("bypass", "why"))):
        counters.on(LookupEvent(result, 0.001))
    stats = counters.stats()
    assert stats.tiers == {"l1": 1, "l2": 1, "l1_alias": 1, "miss": 1, "bypass": 1}
    assert (stats.lookups, stats.hits, stats.hit_rate) == (5, 3, 0.6)


def test_savings_add_up_where_they_are_known() -> None:
    counters = Counters()
    for event in (hit(tokens=10, usd=0.5), hit(seconds=2.0), hit(tokens=5, usd=0.25, seconds=1.0)):
        counters.on(event)
    counters.on(LookupEvent(Hit(Answer("a"), Explanation("l1", "why")), 0.001))
    stats = counters.stats()
    assert (stats.saved_tokens, stats.saved_usd, stats.saved_s) == (15, 0.75, 3.0)


def test_updates_are_counted_by_outcome() -> None:
    counters = Counters()
    for result in (Stored("e", 1.0, True), NotStored("too large"), NotStored("too large"), Queued()):
        counters.on(UpdateEvent(result))
    stats = counters.stats()
    assert (stats.stored, stats.not_stored) == (1, {"too large": 2})


def test_failures_are_counted_by_part_and_reports_of_wrong_hits_are_counted() -> None:
    counters = Counters()
    counters.on(FailureEvent("store", "gone"))
    counters.on(FailureEvent("store", "still gone"))
    counters.on(FeedbackEvent("h", correct=False, removed=1))
    counters.on(FeedbackEvent("h", correct=True, removed=0))
    stats = counters.stats()
    assert (stats.failures, stats.wrong_reports) == ({"store": 2}, 1)


def test_a_snapshot_does_not_change_afterwards() -> None:
    counters = Counters()
    counters.on(FailureEvent("store", "gone"))
    before = counters.stats()
    counters.on(FailureEvent("store", "gone"))
    assert before.failures == {"store": 1}


def test_a_part_that_goes_down_is_logged_once_and_once_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    with caplog.at_level(logging.INFO, "semroute"):
        for state in ("open", "half_open", "open", "half_open", "open", "half_open", "closed"):
            counters.on(StateEvent("store", state, "StoreError: gone"))
            counters.on(FailureEvent("store", "gone"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the store keeps failing and is left alone for a while: StoreError: gone"),
        ("INFO", "the store works again: StoreError: gone"),
    ]


def test_each_part_is_logged_for_itself_and_again_after_it_was_back(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    with caplog.at_level(logging.WARNING, "semroute"):
        for part, state in (("store", "open"), ("router", "open"), ("store", "closed"), ("store", "open")):
            counters.on(StateEvent(part, state, "why"))
    assert [record.args[0] for record in caplog.records] == ["store", "router", "store"]


def test_events_from_many_threads_are_all_counted() -> None:
    counters = Counters()

    def count() -> None:
        for _ in range(500):
            counters.on(hit(tokens=1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counters.stats().hits, counters.stats().saved_tokens) == (2000, 2000)

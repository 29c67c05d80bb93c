"""Times under a clock that is told what to say."""

from __future__ import annotations

import pytest

from semroute.benchmark.timings import Stopwatch, Timing


def test_median_and_percentile_are_in_milliseconds() -> None:
    timing = Timing.of([second / 1_000 for second in range(1, 101)])
    assert timing == Timing(p50_ms=50.5, p95_ms=96.0)


def test_nothing_measured_has_no_timing() -> None:
    assert Timing.of([]) is None
    assert Stopwatch().timing("l1") is None


def test_a_stopwatch_times_what_it_does_and_passes_the_result_on() -> None:
    moments = iter([10.0, 10.25, 20.0, 20.75])
    watch = Stopwatch(lambda: next(moments))
    assert watch.time("get", lambda: "answer") == "answer"
    watch.time("get", lambda: None)
    assert watch.timing("get") == Timing(p50_ms=pytest.approx(500.0), p95_ms=pytest.approx(750.0))


def test_the_last_time_can_be_taken_back() -> None:
    watch = Stopwatch()
    watch.note("l2", 0.001)
    watch.note("l2", 9.0)
    watch.drop_last("l2")
    assert watch.timing("l2") == Timing(1.0, 1.0)

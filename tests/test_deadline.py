"""Calls with a deadline: late ones, failing ones, and those that never end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from semroute.deadline import Deadline, Unanswered
from semroute.errors import ConfigError, DeadlineExceeded

HANGS = """
import threading
from semroute.deadline import Deadline
from semroute.errors import DeadlineExceeded
try:
    Deadline("model", 0.05, threads=1).run(threading.Event().wait)
except DeadlineExceeded:
    print("gone on")
"""


def raises(error: BaseException) -> object:
    raise error


@pytest.fixture
def may_end():
    event = threading.Event()
    yield event
    event.set()


async def test_calls_run_beside_each_other_up_to_the_number_of_threads() -> None:
    deadline = Deadline("model", 5.0, threads=2)
    together = threading.Barrier(2)
    assert sorted(await asyncio.gather(*[deadline.arun(together.wait) for _ in range(2)])) == [0, 1]


def test_a_call_that_is_late_is_given_up_and_the_next_one_still_runs(may_end: threading.Event) -> None:
    deadline = Deadline("model", 0.02, threads=2)
    with pytest.raises(DeadlineExceeded, match="the model did not answer within"):
        deadline.run(may_end.wait)
    assert deadline.run(lambda: 42) == 42


def test_waiting_for_a_thread_counts_against_the_deadline(may_end: threading.Event) -> None:
    deadline = Deadline("model", 0.02, threads=1)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            deadline.run(may_end.wait)
    may_end.set()


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration("end"), TimeoutError("theirs")])
async def test_what_a_call_raises_is_told_in_both_worlds(error: Exception) -> None:
    deadline = Deadline("model", 5.0, threads=1)
    with pytest.raises(Unanswered, match=f"the model failed: .*{error}"):
        deadline.run(lambda: raises(error))
    with pytest.raises(Unanswered, match=f"the model failed: .*{error}"):
        await deadline.arun(lambda: raises(error))


def test_one_that_keeps_failing_is_left_alone() -> None:
    deadline = Deadline("model", 5.0, threads=1, clock=lambda: 0.0)
    seen = []
    for _ in range(10):
        with pytest.raises(Unanswered) as raised:
            deadline.run(lambda: seen.append(1) or raises(ValueError("no")))
    assert len(seen) < 10
    assert "left alone" in str(raised.value)


def test_a_model_that_hangs_holds_up_no_process_that_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "gone on\n", "")


@pytest.mark.parametrize(("seconds", "threads"), [(0.0, 1), (4_000.0, 1), (1.0, 0)])
def test_what_is_no_deadline_is_refused(seconds: float, threads: int) -> None:
    with pytest.raises(ConfigError):
        Deadline("model", seconds, threads=threads)

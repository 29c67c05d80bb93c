"""What goes on behind the caller's back: worker threads and the bounded writer."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from semroute.background import Workers, Writer

RunPython = Callable[..., str]


@pytest.fixture
def writer():
    writer = Writer(limit=2)
    yield writer
    writer.close()


class Held:
    """Holds the writer's thread in a job until it is let go."""

    def __init__(self, writer: Writer) -> None:
        self._has_begun, self._may_end = threading.Event(), threading.Event()
        writer.submit(self._job)
        self._has_begun.wait()

    def _job(self) -> None:
        self._has_begun.set()
        self._may_end.wait()

    def let_go(self) -> None:
        self._may_end.set()


@pytest.fixture
def held(writer: Writer):
    held = Held(writer)
    yield held
    held.let_go()


class TestWriter:
    def test_jobs_run_in_order_on_one_thread_of_their_own(self, writer: Writer) -> None:
        ran: list[tuple[int, int]] = []
        for number in range(50):
            writer.submit(lambda number=number: ran.append((number, threading.get_ident())))
            writer.flush()
        assert [number for number, _ in ran] == list(range(50))
        assert len({thread for _, thread in ran} - {threading.get_ident()}) == 1

    def test_flushing_waits_for_what_was_queued_before(self, writer: Writer, held: Held) -> None:
        ran: list[str] = []
        writer.submit(lambda: ran.append("done"))
        held.let_go()
        writer.flush()
        assert ran == ["done"]

    def test_a_caller_that_finds_the_queue_full_runs_its_job_itself(self, writer: Writer, held: Held) -> None:
        threads: list[int] = []
        for _ in range(3):
            writer.submit(lambda: threads.append(threading.get_ident()))
        assert threads == [threading.get_ident()]
        held.let_go()
        writer.flush()
        assert len(threads) == 3

    def test_a_full_queue_takes_no_offer(self, writer: Writer, held: Held) -> None:
        ran: list[str] = []
        assert [writer.offer(lambda: ran.append("done")) for _ in range(3)] == [True, True, False]
        held.let_go()
        writer.flush()
        assert ran == ["done", "done"]

    def test_closing_runs_what_is_queued(self, writer: Writer, held: Held) -> None:
        ran: list[str] = []
        writer.submit(lambda: ran.append("done"))
        held.let_go()
        writer.close()
        assert ran == ["done"]

    def test_a_job_after_closing_starts_a_new_thread(self, writer: Writer) -> None:
        ran: list[str] = []
        writer.submit(lambda: ran.append("before"))
        writer.close()
        writer.close()
        writer.submit(lambda: ran.append("after"))
        writer.flush()
        assert ran == ["before", "after"]

    def test_a_job_that_fails_is_logged_and_the_next_one_runs(self, writer: Writer, caplog) -> None:
        ran: list[str] = []
        with caplog.at_level(logging.ERROR, "semroute"):
            writer.submit(lambda: 1 / 0)
            writer.submit(lambda: ran.append("done"))
            writer.flush()
        assert ran == ["done"]
        assert [record.getMessage() for record in caplog.records] == ["a background write failed"]

    def test_flushing_and_closing_what_was_never_used_returns_at_once(self) -> None:
        writer = Writer(1)
        writer.flush()
        writer.close()

    def test_a_writer_that_nobody_holds_is_freed_with_what_its_jobs_held(self) -> None:
        class Holder:
            def __init__(self) -> None:
                self.writer = Writer(4)

            def work(self) -> None:
                """Hold on to the holder, as a cache's own jobs do."""

        holder = Holder()
        threads_before = {thread for thread in threading.enumerate() if thread.name == "semroute-writer"}
        holder.writer.submit(holder.work)
        holder.writer.flush()
        (thread,) = {t for t in threading.enumerate() if t.name == "semroute-writer"} - threads_before
        freed = weakref.ref(holder)
        del holder
        deadline_s = time.monotonic() + 5
        while (freed() is not None or thread.is_alive()) and time.monotonic() < deadline_s:
            gc.collect()
            thread.join(0.01)
        assert freed() is None
        assert not thread.is_alive()

    def test_what_is_queued_when_the_interpreter_ends_is_run(self, run_python: RunPython) -> None:
        script = """
import sys
from semroute.background import Writer
writer = Writer(100)
for number in range(100):
    writer.submit(lambda: sys.stdout.write("x"))
"""
        assert run_python(script) == "x" * 100

    def test_a_forked_child_has_a_writer_of_its_own_and_ends(self, run_python: RunPython) -> None:
        script = """
import os, threading, warnings
from semroute.background import Writer
warnings.simplefilter("ignore", DeprecationWarning)
writer, ran, may_end = Writer(100), [], threading.Event()
writer.submit(may_end.wait)
writer.submit(lambda: ran.append("parent"))
child = os.fork()
if child == 0:
    writer.submit(lambda: ran.append("child"))
    writer.flush()
    writer.close()
    os._exit(0 if ran == ["child"] else 1)
status = os.waitpid(child, 0)[1]
may_end.set()
writer.flush()
print(status, ran)
"""
        assert run_python(script) == "0 ['parent']"


class TestWorkers:
    def test_the_pool_is_made_at_first_use_and_kept(self) -> None:
        workers = Workers(1, "some-threads")
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("some-threads")]
        assert workers.pool() is workers.pool()
        assert workers.pool().submit(lambda: threading.current_thread().name).result().startswith("some-threads")
        workers.close()

    def test_after_closing_a_new_pool_is_made(self) -> None:
        workers = Workers(1, "some-threads")
        first = workers.pool()
        workers.close()
        workers.close()
        assert workers.pool() is not first
        assert workers.pool().submit(lambda: 1).result() == 1
        workers.close()

    def test_a_forked_child_has_a_pool_of_its_own(self, run_python: RunPython) -> None:
        script = """
import os, warnings
from semroute.background import Workers
warnings.simplefilter("ignore", DeprecationWarning)
workers = Workers(1, "threads")
workers.pool().submit(int).result()
child = os.fork()
if child == 0:
    os._exit(workers.pool().submit(lambda: 7).result(timeout=10))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        assert run_python(script) == "7"

"""Work that goes on behind the caller's back: worker threads for the embedder, and a bounded writer."""

from __future__ import annotations

import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

logger = logging.getLogger("semroute")


class Workers:
    """A thread pool that is made at first use, and made anew in a forked child."""

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._name = name
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    def pool(self) -> ThreadPoolExecutor:
        """Return the pool of this process."""
        pool = self._pool
        if pool is not None and self._pid == os.getpid():
            return pool
        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
                self._pid = os.getpid()
            return self._pool

    def close(self) -> None:
        """Let the threads go; work that is under way ends by itself. A later use starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.shutdown(wait=False, cancel_futures=True)


class Writer:
    """Runs jobs one after another on a thread of its own.

    At most `limit` jobs wait; a caller that finds the queue full runs its job itself, so that nothing is lost and
    memory stays bounded. Jobs that wait when the interpreter exits are run first.
    """

    def __init__(self, limit: int, *, pause_s: float = 0.0) -> None:
        """`pause_s`: how long the idle thread lets jobs gather before it begins with them, unless it is to `hurry`."""
        self._limit = limit
        self._pause_s = pause_s
        self._hurry = threading.Event()
        self._lock = threading.Lock()
        self._jobs: queue.Queue[Callable[[], object] | None] | None = None
        self._pid = 0

    def submit(self, job: Callable[[], object]) -> None:
        """Queue a job, or run it here and now where the queue is full."""
        if not self.offer(job):
            job()

    def offer(self, job: Callable[[], object]) -> bool:
        """Queue a job and return True, or return False where the queue is full."""
        # Under the lock, so that no job lands in a queue that `close` has ended.
        with self._lock:
            try:
                self._running().put_nowait(job)
            except queue.Full:
                return False
            return True

    def hurry(self) -> None:
        """Have what is queued done at once, without waiting for it."""
        self._hurry.set()

    def flush(self) -> None:
        """Wait until everything that was queued before is done."""
        jobs = self._jobs
        if jobs is not None and self._pid == os.getpid():
            self.hurry()
            jobs.join()

    def close(self) -> None:
        """Run what is queued, then stop the thread; a later job starts a new one."""
        with self._lock:
            jobs, self._jobs = self._jobs, None
        if jobs is not None and self._pid == os.getpid():
            self.hurry()
            jobs.join()
            jobs.put(None)

    def _running(self) -> queue.Queue[Callable[[], object] | None]:
        jobs = self._jobs
        if jobs is not None and self._pid == os.getpid():
            return jobs
        self._jobs, self._hurry = queue.Queue(self._limit), threading.Event()
        self._pid = os.getpid()
        pause = _Pause(self._pause_s, self._hurry)
        work = threading.Thread(target=_work, args=(self._jobs, pause), name="semroute-writer", daemon=True)
        work.start()
        weakref.finalize(self, _drain, self._jobs, self._pid)
        return self._jobs


class _Pause:
    """The moment that an idle thread waits for more jobs, so that callers in a row need not wake it each."""

    def __init__(self, seconds: float, hurry: threading.Event) -> None:
        self._seconds = seconds
        self._hurry = hurry

    def take(self) -> None:
        if self._seconds:
            self._hurry.wait(self._seconds)
            self._hurry.clear()


def _work(jobs: queue.Queue[Callable[[], object] | None], pause: _Pause) -> None:
    while True:
        was_idle = jobs.empty()
        job = jobs.get()
        if was_idle and job is not None:
            pause.take()
        try:
            if job is None:
                return
            job()
        except Exception:  # any job's, the user's store among them: the thread must live on for the others
            logger.exception("a background write failed")
        finally:
            jobs.task_done()
            # A job holds its cache: let go of it, or a cache that nobody closes would never be freed.
            job = None


def _drain(jobs: queue.Queue[Callable[[], object] | None], pid: int) -> None:
    if pid == os.getpid():
        jobs.join()
        jobs.put(None)

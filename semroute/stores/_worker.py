"""The few threads in which a store does what would hold up an event loop."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

_THREADS: Final = 2
_NAME: Final = "semroute-store"


class Worker:
    """Runs calls in threads of its own, started at first use, again after a fork and again after `close`.

    They are not the event loop's own threads, which an application may have filled with slow model calls.
    """

    def __init__(self, threads: int = _THREADS) -> None:
        self._threads = threads
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def submit(self, call: Callable[[], R]) -> Future[R]:
        """Run a call in a thread; the future carries its result or its error."""
        if self._pid != os.getpid():
            self._start_afresh()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix=_NAME)
            return self._executor.submit(call)

    def close(self) -> None:
        """Wait for what is running, and let the threads go."""
        if self._pid != os.getpid():
            self._start_afresh()
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()

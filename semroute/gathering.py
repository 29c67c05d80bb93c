"""Texts of many tasks that wait for a vector at the same time, embedded a few at once."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from semroute.background import Workers
    from semroute.entry import FloatVector

Embedded: TypeAlias = "tuple[FloatVector, str] | None"
"""Vector and embedder's identity, or None for a text that is longer than the embedder's limit."""

_Waiting: TypeAlias = "tuple[str, asyncio.AbstractEventLoop, asyncio.Future[Embedded]]"

MOST_AT_ONCE: Final = 4
"""So that no text waits long for its neighbours; more at once would hardly be quicker."""


class Gathering:
    """Embeds on worker threads; whoever comes while all of them are busy shares the next run with others.

    A thread that comes back from a run has to wait for the interpreter's lock. Under load that wait costs more than the
    Python around the run, and several texts a run pay for it once.
    """

    def __init__(
        self, embed: Callable[[Sequence[str]], Sequence[Embedded | Exception]], workers: Workers, threads: int
    ) -> None:
        """`embed` gives a vector or an error for each text, and raises nothing."""
        self._embed = embed
        self._workers = workers
        self._threads = threads
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._busy = 0

    async def embed(self, text: str, *, deadline_s: float) -> Embedded:
        """Return what `embed` gives for a text; raises the error that it gives, or TimeoutError."""
        if self._pid != os.getpid():  # a forked child has none of its parent's threads
            self._start_afresh()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Embedded] = loop.create_future()
        with self._lock:
            self._waiting.append((text, loop, future))
            needs_thread = self._busy < self._threads
            self._busy += needs_thread
        if needs_thread:
            self._start_thread()
        timer = loop.call_later(deadline_s, _give_up, future, deadline_s)
        try:
            return await future
        finally:
            timer.cancel()

    def _start_thread(self) -> None:
        try:
            self._workers.pool().submit(self._work)
        except RuntimeError:  # the interpreter is ending and starts no threads any more
            self._work()

    def _work(self) -> None:
        while some := self._take():
            results = self._embed([text for text, _, _ in some])
            for loop in {loop for _, loop, _ in some}:
                answers = [
                    (future, result) for (_, its, future), result in zip(some, results, strict=True) if its is loop
                ]
                _hand_over(loop, answers)

    def _take(self) -> list[_Waiting]:
        """Take a share of those that wait, leaving some for the other threads; none ends this thread's work."""
        with self._lock:
            share = min(MOST_AT_ONCE, -(-len(self._waiting) // self._threads))
            some = [self._waiting.popleft() for _ in range(share)]
            self._busy -= not some
        return some


def _give_up(future: asyncio.Future[Embedded], deadline_s: float) -> None:
    if not future.done():
        future.set_exception(TimeoutError(f"no vector within {deadline_s:g} s"))


def _hand_over(
    loop: asyncio.AbstractEventLoop, answers: list[tuple[asyncio.Future[Embedded], Embedded | Exception]]
) -> None:
    try:
        loop.call_soon_threadsafe(_settle, answers)
    except RuntimeError:
        # The loop has been closed: nobody waits any more.
        return


def _settle(answers: list[tuple[asyncio.Future[Embedded], Embedded | Exception]]) -> None:
    for future, answer in answers:
        if future.done():  # its deadline has passed
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

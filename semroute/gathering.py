"""Texts of many tasks that wait for a vector at the same time, embedded a few at once."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from semroute.background import Workers
    from semroute.entry import FloatVector

Embedded: TypeAlias = "tuple[FloatVector, str] | None"
"""Vector and embedder's identity, or None for a text that is longer than the embedder's limit."""

MOST_AT_ONCE: Final = 4
"""So that no text waits long for its neighbours; more at once would hardly be quicker."""
_LOOKED_AT: Final = 32
"""Among so many that have waited longest those of one length are looked for."""


def same_length(text: str) -> int:
    """Return one length for every text: of an embedder to which lengths do not matter."""
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    text: str
    length: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Embedded]


class Gathering:
    """Embeds on worker threads; whoever comes while all of them are busy shares the next run with others.

    A thread that comes back from a run has to wait for the interpreter's lock. Under load that wait costs more than the
    Python around the run, and several texts a run pay for it once.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[str]], Sequence[Embedded | Exception]],
        workers: Workers,
        threads: int,
        length: Callable[[str], int] = same_length,
    ) -> None:
        """`embed` gives a vector or an error for each text, for less where they have one `length`; neither raises."""
        self._embed = embed
        self._length = length
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
        waiting = _Waiting(text, self._length(text), loop, future)
        with self._lock:
            self._waiting.append(waiting)
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
            results = self._embed([one.text for one in some])
            for loop in {one.loop for one in some}:
                answers = [(one.future, result) for one, result in zip(some, results, strict=True) if one.loop is loop]
                _hand_over(loop, answers)

    def _take(self) -> list[_Waiting]:
        """Take a share of those that wait, leaving some for the other threads; none ends this thread's work."""
        with self._lock:
            some = self._next(min(MOST_AT_ONCE, -(-len(self._waiting) // self._threads)))
            self._busy -= not some
        return some

    def _next(self, share: int) -> list[_Waiting]:
        """Take the text that has waited longest, then those of its length, then the next in line."""
        if share < 2:
            return [self._waiting.popleft() for _ in range(share)]
        length = self._waiting[0].length
        some = sorted(islice(self._waiting, _LOOKED_AT), key=lambda one: one.length != length)[:share]
        for one in some:
            self._waiting.remove(one)
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

"""Who leads a call that is under way, who waits for it, and who must not wait."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semroute.calls.flights import Flight, Flights
    from semroute.entry import Answer

_LANDED_LIMIT = 1_024


_CALLED_FROM: ContextVar[tuple[asyncio.Task[Any], ...]] = ContextVar("semroute_called_from", default=())


@contextmanager
def calling() -> Iterator[None]:
    """Remember the running task for what is called in the block: frameworks make each asynchronous call a new task."""
    task = _task()
    token = _CALLED_FROM.set((*_CALLED_FROM.get(), *(() if task is None else (task,))))
    try:
        yield
    finally:
        _CALLED_FROM.reset(token)


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


@dataclass(frozen=True, slots=True)
class _Caller:
    """The thread of a call and, on an event loop, the task that it runs in and those that wait for it."""

    thread: int
    task: asyncio.Task[Any] | None
    waiting: tuple[asyncio.Task[Any], ...]

    @classmethod
    def running(cls) -> _Caller:
        return cls(threading.get_ident(), _task(), _CALLED_FROM.get())


@dataclass(frozen=True, slots=True)
class Boarding:
    """What a caller is to do after a miss: lead, follow, or neither."""

    flight: Flight | None
    leads: bool
    has_landed: bool = False
    """Another call with this key landed since the caller looked: looking again is worth its while."""


class Traffic:
    """The flights of a cache, with what keeps a caller from waiting for itself.

    A stream leads its flight from its first chunk to its last. Whoever reads it may ask the same again in between:
    waiting for the stream on the thread (or in the task) that is to read it would only end by the deadline.
    """

    def __init__(self, flights: Flights, deadline_s: float) -> None:
        self._flights = flights
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._leaders: dict[str, _Caller] = {}
        self._landed: OrderedDict[str, float] = OrderedDict()
        self._pid = os.getpid()

    def board(self, key: str, looked_at: float, *, is_async: bool) -> Boarding:
        """Join the flight of a key. `looked_at` is when the caller began its lookup, by `time.perf_counter`."""
        caller = _Caller.running()
        if self._pid != os.getpid():
            # A forked child has neither its parent's leaders nor the thread that may hold the lock.
            self._lock, self._leaders, self._pid = threading.Lock(), {}, os.getpid()
        with self._lock:
            flight, leads = self._flights.join(key)
            if leads:
                self._leaders[key] = caller
                return Boarding(flight, leads=True, has_landed=self._landed.get(key, -1.0) >= looked_at)
            leader = self._leaders.get(key)
        if leader is not None and _waits_for_itself(caller, leader, is_async=is_async):
            return Boarding(None, leads=False)
        return Boarding(flight, leads=False)

    def land(self, key: str, flight: Flight, answer: Answer | None) -> None:
        """End a flight that the caller leads."""
        with self._lock:
            self._leaders.pop(key, None)
            if answer is not None:
                self._landed[key] = time.perf_counter()
                self._landed.move_to_end(key)
                if len(self._landed) > _LANDED_LIMIT:
                    self._landed.popitem(last=False)
        flight.land(answer)

    def wait(self, flight: Flight) -> Answer | None:
        """Wait for the leader on this thread; None means: call for yourself."""
        return flight.wait(self._deadline_s)

    async def wait_async(self, flight: Flight) -> Answer | None:
        """Wait for the leader on the event loop; None means: call for yourself."""
        return await flight.wait_async(self._deadline_s)


def _waits_for_itself(caller: _Caller, leader: _Caller, *, is_async: bool) -> bool:
    if is_async and caller.task is not None:
        return leader.task is not None and leader.task in (caller.task, *caller.waiting)
    return caller.thread == leader.thread

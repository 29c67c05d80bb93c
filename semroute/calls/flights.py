"""Single flight: requests with one exact key that are under way at once share one model call.

The first caller leads and calls the model; the others wait, with a deadline, and take the leader's answer only if it
was admitted to the cache. A leader that fails, is cancelled, is slow or lives on another event loop costs a follower
at most its deadline: it then calls for itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from semroute.entry import Answer

_LOOK_S: Final = 0.25
"""So often a follower looks whether its leader is still at work."""


class Flight:
    """One model call under way. Whoever leads it must end it by `land`, whatever happens."""

    def __init__(self, flights: Flights, key: str) -> None:
        self._flights = flights
        self._key = key
        self._answer: Future[Answer | None] = Future()
        self.is_idle = False
        """Whether the leader has handed out a stream that nobody reads as yet: nobody should wait for that."""

    def land(self, answer: Answer | None) -> None:
        """End the flight: with the answer that was admitted, or None for followers to call for themselves."""
        self._flights.end(self._key, self)
        if not self._answer.done():
            self._answer.set_result(answer)

    def wait(self, deadline_s: float) -> Answer | None:
        """Wait for the leader on this thread; None means: call for yourself."""
        ends_s = time.monotonic() + deadline_s
        while (left_s := ends_s - time.monotonic()) > 0.0:
            with suppress(FutureTimeoutError):
                return self._answer.result(timeout=min(left_s, _LOOK_S))
            if self.is_idle:
                return None
        return self._answer.result() if self._answer.done() else None

    async def wait_async(self, deadline_s: float) -> Answer | None:
        """Wait for the leader, whatever thread or event loop it lives on; None means: call for yourself."""
        loop = asyncio.get_running_loop()
        landed = asyncio.Event()

        def wake(_: Future[Answer | None]) -> None:
            with suppress(RuntimeError):  # the follower's loop is closed: nobody waits any more
                loop.call_soon_threadsafe(landed.set)

        self._answer.add_done_callback(wake)
        ends_s = time.monotonic() + deadline_s
        while not self._answer.done() and (left_s := ends_s - time.monotonic()) > 0.0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _LOOK_S)):
                    await landed.wait()
            if self.is_idle and not self._answer.done():
                return None
        return self._answer.result() if self._answer.done() else None


class Flights:
    """The model calls of this process that are under way, by exact key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._pid = os.getpid()

    def __len__(self) -> int:
        return len(self._flights)

    def join(self, key: str) -> tuple[Flight, bool]:
        """Return the flight of a key, and whether the caller leads it."""
        if self._pid != os.getpid():
            # A forked child has neither the leaders of its parent's flights nor the thread that may hold the lock.
            self._lock, self._flights, self._pid = threading.Lock(), {}, os.getpid()
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(self, key)
            return flight, True

    def end(self, key: str, flight: Flight) -> None:
        """Forget a flight, so that the next caller leads a new one."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

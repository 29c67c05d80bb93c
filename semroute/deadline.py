"""What the guards of the second stage share: calls that wait, with a deadline, and answers that are remembered."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from semroute.background import Workers
from semroute.breaker import Breaker, State
from semroute.errors import ConfigError, DeadlineExceeded, SemrouteError

if TYPE_CHECKING:
    pass

T = TypeVar("T")
logger = logging.getLogger("semroute.guards")


class Unanswered(SemrouteError):
    """The second stage could not say anything about a candidate; the message says why."""


class Remembered(Generic[T]):
    """The latest answers, at most `limit` of them; safe to share between threads."""

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ConfigError(f"remember={limit} is out of range: give the number of answers to keep, 0 for none")
        self._limit = limit
        self._lock = Lock()
        self._answers: OrderedDict[tuple[str, ...], T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: tuple[str, ...]) -> T | None:
        """Return an answer, or None where it is not remembered."""
        with self._lock:
            if key not in self._answers:
                return None
            self._answers.move_to_end(key)
            return self._answers[key]

    def put(self, key: tuple[str, ...], answer: T) -> None:
        """Remember an answer; the one that was asked for longest ago goes."""
        with self._lock:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            while len(self._answers) > self._limit:
                self._answers.popitem(last=False)


class Deadline:
    """Runs calls on worker threads for at most `seconds` each, the wait for a thread included.

    A part that keeps failing or being late is left alone for a while, so that its lateness is not added to every
    request; that is logged once when it begins and once when it ends. Raises Unanswered or DeadlineExceeded.
    """

    def __init__(self, part: str, seconds: float, *, threads: int, clock: Callable[[], float] | None = None) -> None:
        if not 0.0 < seconds <= 3_600.0:
            raise ConfigError(f"deadline_s={seconds!r} is out of range: give seconds, more than 0 and at most 3600")
        if threads < 1:
            raise ConfigError(f"threads={threads!r} is out of range: give at least 1")
        self._part = part
        self._seconds = seconds
        self._workers = Workers(threads, f"semroute-{part}")
        self._breaker = Breaker(part, _log) if clock is None else Breaker(part, _log, clock=clock)

    def run(self, act: Callable[[], T]) -> T:
        """Run a call on a worker thread and wait for it."""
        waiting = self._submit(act)
        try:
            result = waiting.result(timeout=self._seconds)
        except TimeoutError:
            if waiting.done():  # the call itself raised it
                raise self._failed(waiting.exception()) from None
            waiting.cancel()
            raise self._late() from None
        except Exception as error:
            raise self._failed(error) from error
        self._breaker.succeeded()
        return result

    async def arun(self, act: Callable[[], T]) -> T:
        """Do what `run` does, without ever blocking the event loop."""
        waiting = self._submit(act)
        try:
            async with asyncio.timeout(self._seconds) as bounds:
                result = await asyncio.wrap_future(waiting)
        except TimeoutError as error:
            raise (self._late() if bounds.expired() else self._failed(error)) from None
        except Exception as error:
            raise self._failed(error) from error
        self._breaker.succeeded()
        return result

    def close(self) -> None:
        """Let the threads go; a later call starts new ones."""
        self._workers.close()

    def _submit(self, act: Callable[[], T]) -> Future[T]:
        if not self._breaker.allows():
            raise Unanswered(f"the {self._part} is left alone after failures: {self._breaker.reason}")
        try:
            return self._workers.pool().submit(act)
        except RuntimeError as error:  # the interpreter is ending and starts no threads any more
            raise Unanswered(f"the {self._part} cannot be asked: {error}") from error

    def _failed(self, error: BaseException | None) -> Unanswered:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self._breaker.failed(reason)
        return Unanswered(f"the {self._part} failed: {reason}")

    def _late(self) -> DeadlineExceeded:
        reason = f"the {self._part} did not answer within {self._seconds:g} s"
        self._breaker.failed(reason)
        return DeadlineExceeded(reason)


def _log(part: str, state: State, reason: str) -> None:
    match state:
        case "open":
            logger.warning("the %s keeps failing and is left alone for a while: %s", part, reason)
        case "closed":
            logger.info("the %s works again", part)
        case "half_open":
            logger.debug("the %s is tried again", part)

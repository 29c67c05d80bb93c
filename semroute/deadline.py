"""Calls of models that may take long or never end: with a deadline, a breaker, and answers that are remembered."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

from semroute.breaker import Breaker, logged
from semroute.errors import ConfigError, DeadlineExceeded, SemrouteError

T = TypeVar("T")
logger = logging.getLogger("semroute")


class Unanswered(SemrouteError):
    """A part that was asked had nothing to say; the message says why."""


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
        self._helpers = _Helpers(threads, f"semroute-{part}")
        self._breaker = Breaker(part, logged(logger)) if clock is None else Breaker(part, logged(logger), clock=clock)

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
        except Exception as error:  # whatever the model raises: here it is one more way to have no answer
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
        except Exception as error:  # as above
            raise self._failed(error) from error
        self._breaker.succeeded()
        return result

    def close(self) -> None:
        """Forget the calls that wait for a thread; a later call is made as ever."""
        self._helpers.forget()

    def _submit(self, act: Callable[[], T]) -> Future[T]:
        if not self._breaker.allows():
            raise Unanswered(f"the {self._part} is left alone after failures: {self._breaker.reason}")
        try:
            return self._helpers.submit(act)
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


class _Helpers:
    """Threads that end when there is nothing to do, and that hold no interpreter up which is ending.

    Those of a ThreadPoolExecutor would: it waits for its threads at exit, and a model that hangs would hang them.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._name = name
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._lock = Lock()
        self._running = 0
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, act: Callable[[], T]) -> Future[T]:
        """Have a call made as soon as a thread is free; raises RuntimeError where none can be started any more."""
        if self._pid != os.getpid():  # a forked child has none of its parent's threads
            self._start_afresh()
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append((future, act))
            starts = self._running < self._threads
            self._running += starts
        if starts:
            try:
                Thread(target=self._work, name=self._name, daemon=True).start()
            except RuntimeError:  # the interpreter is ending
                with self._lock:
                    self._running -= 1
                raise
        return future

    def forget(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            future.cancel()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                future, act = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(act())
            except StopIteration as error:  # which no future can hand on
                future.set_exception(RuntimeError(f"StopIteration: {error}"))
            except BaseException as error:  # whatever a model raises is for whoever waits for it
                future.set_exception(error)

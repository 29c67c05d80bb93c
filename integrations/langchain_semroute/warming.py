"""Filling a cache ahead of its use: known questions are asked once, with bounded concurrency, and can be resumed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration
from rich.console import Console
from rich.progress import Progress, TaskID

from langchain_semroute import _codec, _messages
from langchain_semroute.cache import SemrouteCache, cache_of
from semroute.cache import SemanticCache
from semroute.driver import told
from semroute.entry import Answer
from semroute.errors import ConfigError
from semroute.request import Request, canonical, content_digest
from semroute.result import Bypass, Hit, Lookup, NotStored, Update

Question: TypeAlias = str | Sequence[BaseMessage]


@dataclass(slots=True)
class Warmed:
    """What warming did: `asked` = `already` + `stored` + the refused + the failed."""

    asked: int = 0
    """Questions that were given, each counted once."""
    already: int = 0
    """Questions that the cache answers, or that an earlier run has done."""
    stored: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Questions whose answer may not be cached, with the reason."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Questions that the model did not answer, with its error; a further run asks them again."""


def warm(
    questions: Iterable[Question],
    model: BaseChatModel,
    *,
    cache: SemrouteCache | SemanticCache | str | Path | None = None,
    system: str | None = None,
    max_concurrency: int = 4,
    progress: bool | None = None,
    done_file: str | Path | None = None,
) -> Warmed:
    """Ask a model the questions that its cache cannot answer yet, and store the answers.

    `cache` may be left out for a model that `cached()` returned. `system` stands before every question that is a
    plain text. `progress` shows a bar on stderr; None shows it on a terminal. `done_file` remembers what is done, so
    that a further run does not even look it up. Failures are collected, not raised.
    """
    task = _Task(model, cache, system, _concurrency(max_concurrency), done_file)
    with task.shown(questions, progress) as todo, ThreadPoolExecutor(task.concurrency) as pool:
        waiting = [pool.submit(copy_context().run, task.ask, messages) for messages in todo]
        try:
            for done in as_completed(waiting):
                done.result()
        except BaseException:  # an interrupt above all: what has not begun must not be asked
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return task.result


async def awarm(
    questions: Iterable[Question],
    model: BaseChatModel,
    *,
    cache: SemrouteCache | SemanticCache | str | Path | None = None,
    system: str | None = None,
    max_concurrency: int = 4,
    progress: bool | None = None,
    done_file: str | Path | None = None,
) -> Warmed:
    """Do what `warm` does on the event loop, without blocking it."""
    task = _Task(model, cache, system, _concurrency(max_concurrency), done_file)
    with task.shown(questions, progress) as todo:
        coming = iter(todo)

        async def work() -> None:
            for messages in coming:
                await task.aask(messages)

        async with asyncio.TaskGroup() as workers:
            for _ in range(task.concurrency):
                workers.create_task(work())
    return task.result


def _concurrency(given: int) -> int:
    if isinstance(given, bool) or not 1 <= given <= 1_000:
        raise ConfigError(f"max_concurrency must be a whole number between 1 and 1000, not {given!r}")
    return given


class _Task:
    """One run: the model past its cache, the cache beside it, and what came of each question."""

    def __init__(
        self,
        model: BaseChatModel,
        cache: SemrouteCache | SemanticCache | str | Path | None,
        system: str | None,
        concurrency: int,
        done_file: str | Path | None,
    ) -> None:
        if not isinstance(model, BaseChatModel):
            raise ConfigError(f"warm() takes a chat model, not {type(model).__name__}: warm each model by itself")
        held = model.cache if isinstance(model.cache, SemrouteCache) else None
        if cache is None and held is None:
            raise ConfigError("warm() needs a cache: give cache=…, or a model that cached() returned")
        self._cache = held if cache is None and held is not None else cache_of(cache)
        self._model = model.model_copy(update={"cache": False})
        self._system = system
        self._done_file = None if done_file is None else Path(done_file)
        self._lock = Lock()
        self._bar: tuple[Progress, TaskID] | None = None
        self.concurrency = concurrency
        self.result = Warmed()

    @contextmanager
    def shown(self, questions: Iterable[Question], progress: bool | None) -> Iterator[list[list[BaseMessage]]]:
        """Show the bar round the work, and yield what is to do."""
        todo = self._todo(questions)
        is_shown = sys.stderr.isatty() if progress is None else progress
        with Progress(console=Console(stderr=True), disable=not is_shown) as bar:
            self._bar = bar, bar.add_task("warming", total=self.result.asked, completed=self.result.already)
            yield todo

    def ask(self, messages: list[BaseMessage]) -> None:
        """See to one question on this thread."""
        try:
            request = self._request(messages)
            if request is None or not self._is_missing(messages, self._cache.core.lookup(request)):
                return
            began = time.perf_counter()
            answer = self._answer(self._model.invoke(messages), began)
            self._updated(messages, None if answer is None else self._cache.core.update(request, answer))
        except Exception as error:  # whatever a provider raises is listed, and the next question asked
            self._failed(messages, error)

    async def aask(self, messages: list[BaseMessage]) -> None:
        """See to one question on the event loop."""
        try:
            request = self._request(messages)
            if request is None or not self._is_missing(messages, await self._cache.core.alookup(request)):
                return
            began = time.perf_counter()
            answer = self._answer(await self._model.ainvoke(messages), began)
            self._updated(messages, None if answer is None else await self._cache.core.aupdate(request, answer))
        except Exception as error:  # as above
            self._failed(messages, error)

    def _todo(self, questions: Iterable[Question]) -> list[list[BaseMessage]]:
        """Return the questions that no earlier run has done, each once."""
        asked = {_digest(messages): messages for messages in map(self._messages, questions)}
        done: frozenset[str] = frozenset()
        if self._done_file is not None and self._done_file.is_file():
            done = frozenset(self._done_file.read_text(encoding="utf-8").split())
        self.result.asked = len(asked)
        self.result.already = len(asked.keys() & done)
        return [messages for digest, messages in asked.items() if digest not in done]

    def _messages(self, question: Question) -> list[BaseMessage]:
        if not isinstance(question, str):
            return list(question)
        head: list[BaseMessage] = [] if self._system is None else [SystemMessage(self._system)]
        return [*head, HumanMessage(question)]

    def _request(self, messages: list[BaseMessage]) -> Request | None:
        request = self._cache.doubtful(lambda: self._cache.asker.of_call(self._model, messages, None, {}))
        if request is None:
            self._refused(messages, "the call cannot be told apart from others with certainty")
        return request

    def _is_missing(self, messages: list[BaseMessage], found: Lookup) -> bool:
        match found:
            case Hit():
                self._note(messages, already=1)
                return False
            case Bypass(explanation):
                self._refused(messages, explanation.reason)
                return False
            case _:
                return True

    def _answer(self, message: BaseMessage, began: float) -> Answer | None:
        return _codec.encode([ChatGeneration(message=message)], latency_s=_codec.since(began))

    def _updated(self, messages: list[BaseMessage], update: Update | None) -> None:
        if update is None or isinstance(update, NotStored):
            self._refused(messages, "no model's answer" if update is None else update.reason)
        else:
            self._note(messages, stored=1)

    def _refused(self, messages: list[BaseMessage], reason: str) -> None:
        with self._lock:
            self.result.refused.append((_words(messages), reason))
        self._note(messages)

    def _failed(self, messages: list[BaseMessage], error: Exception) -> None:
        with self._lock:
            self.result.failed.append((_words(messages), told(error)))
        self._advance()

    def _note(self, messages: list[BaseMessage], *, already: int = 0, stored: int = 0) -> None:
        """Count a question that is done for good, and remember it."""
        with self._lock:
            self.result.already += already
            self.result.stored += stored
            if self._done_file is not None:
                with self._done_file.open("a", encoding="utf-8") as file:
                    file.write(f"{_digest(messages)}\n")
        self._advance()

    def _advance(self) -> None:
        if self._bar is not None:
            bar, task = self._bar
            bar.advance(task)


def _digest(messages: Sequence[BaseMessage]) -> str:
    return content_digest(canonical([turn.canonical() for turn in _messages.of_objects(messages)]))


def _words(messages: Sequence[BaseMessage]) -> str:
    return next((str(message.text) for message in reversed(messages) if message.type == "human"), "")

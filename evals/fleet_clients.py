"""Many clients at once: processes that ask at random, and callers on one event loop."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final

from evals.fleet_load import EMBED_DEADLINE_S, Finding, Key, KnownVectors, all_keys, fill, made_cache
from semroute import Hit, Miss, SemanticCache
from semroute.benchmark.questions import paraphrase, stored_question
from semroute.leading import Lead
from semroute.stores.redis import RedisStore
from semroute.testing.redis_stack import redis_stack

if TYPE_CHECKING:
    from semroute import Request
    from semroute.result import Lookup

_SHARDS: Final = 3
_MOST_STALL_MS: Final = 5.0
_STORED: Final = 1_000


# --- processes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """What one process does."""

    urls: tuple[str, ...]
    keys: tuple[Key, ...]
    lookups: int
    model_s: float
    seed: int


@dataclass(slots=True)
class Tally:
    """What one process saw."""

    lookups: int = 0
    hits: int = 0
    calls: Counter[Key] = field(default_factory=Counter)
    """How often it called the model, by question."""
    across: int = 0
    """Answers of another tenant or system prompt."""
    wrong: int = 0
    """Answers to another question of the same tenant and prompt."""
    errors: int = 0

    def add(self, other: Tally) -> None:
        self.lookups += other.lookups
        self.hits += other.hits
        self.calls += other.calls
        self.across += other.across
        self.wrong += other.wrong
        self.errors += other.errors


@dataclass(frozen=True, slots=True)
class Asked:
    """What all processes saw together."""

    tally: Tally
    seconds: float

    def findings(self) -> list[Finding]:
        tally = self.tally
        return [
            Finding("lookups", tally.lookups),
            Finding("lookups a second", tally.lookups / self.seconds),
            Finding("hit rate", tally.hits / max(1, tally.lookups)),
            Finding.at_most("answers across tenant or system prompt", tally.across, 0),
            Finding.at_most("answers to another question", tally.wrong, 0),
            Finding("questions", len(tally.calls)),
            Finding.at_most("most model calls for one question", max(tally.calls.values(), default=0), 1),
            Finding.at_most("model calls beyond one a question", tally.calls.total() - len(tally.calls), 0),
            Finding.at_most("errors to the caller", tally.errors, 0),
        ]


def ask_at_random(
    *, processes: int = 8, prompts: int = 200, lookups: int = 50_000, questions: int = 10, model_s: float = 0.005
) -> Asked:
    """Let processes ask random questions of two tenants, all of which they begin at the same moment.

    A model call takes `model_s`, in which other processes miss the same question.
    """
    keys = tuple(all_keys(tenants=2, prompts=prompts, questions=questions))
    spawning = multiprocessing.get_context("spawn")
    with redis_stack(_SHARDS) as nodes, ProcessPoolExecutor(processes, mp_context=spawning) as pool:
        urls = tuple(node.url for node in nodes)
        # Half of them ask in one and the same order, so that they meet on every question.
        tasks = [
            Task(urls, keys, lookups // processes, model_s, seed=max(0, number - processes // 2))
            for number in range(processes)
        ]
        list(pool.map(_warm_up, tasks))
        began = time.perf_counter()
        total = Tally()
        for tally in pool.map(ask_as_told, tasks):
            total.add(tally)
        return Asked(total, time.perf_counter() - began)


def _warm_up(task: Task) -> None:
    """Import and connect; the pause keeps one process from taking two of these."""
    with made_cache(task.urls) as cache:
        cache.preload()
    time.sleep(0.2)


def ask_as_told(task: Task) -> Tally:
    """Ask random questions, and call the model where this process is to."""
    tally, drawn = Tally(), random.Random(task.seed)
    with made_cache(task.urls, task.keys) as cache:
        for _ in range(task.lookups):
            key = drawn.choice(task.keys)
            tally.lookups += 1
            try:
                served = _served(cache, key, tally, task.model_s)
            except Exception:  # a cache must raise nothing at all: whatever it is, it is counted
                tally.errors += 1
                continue
            if served is not None:
                tally.hits += 1
                tally.across += not served.startswith(f"{key.owner} ")
                tally.wrong += served.startswith(f"{key.owner} ") and served != key.answer()
    return tally


def _served(cache: SemanticCache, key: Key, tally: Tally, model_s: float) -> str | None:
    """Return what the cache served; None where the model was called."""
    request = key.request(cache)
    result = cache.lookup(request)
    lead = None if isinstance(result, Hit) else cache.lead(request)
    for found in (result, lead):
        if isinstance(found, Hit):
            return found.answer.text
    tally.calls[key] += 1
    time.sleep(model_s)
    kept = cache.update(request, key.answer())
    if isinstance(lead, Lead):
        cache.land(lead, kept)
    return None


# --- one event loop --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Loop:
    """What many lookups at once did to their event loop. Times are of the processor: a slice that another process took
    is not our stall."""

    lookups: int = 0
    tiers: Counter[str] = field(default_factory=Counter)
    longest_callback_ms: float = 0.0
    """The longest time for which one lookup held the loop."""
    turns_ms: list[float] = field(default_factory=list)
    """The longest turn of the loop in each burst: what some of the lookups did of which all were ready at once."""

    def findings(self) -> list[Finding]:
        shares = {f"share of {tier}": count / self.lookups for tier, count in sorted(self.tiers.items())}
        turns = sorted(self.turns_ms)
        return [
            Finding("lookups", self.lookups),
            *(Finding(what, share) for what, share in shares.items()),
            Finding.at_most("longest hold of the loop by one lookup, ms", self.longest_callback_ms, _MOST_STALL_MS),
            Finding("longest turn of the loop in a burst, median, ms", turns[len(turns) // 2]),
            Finding("longest turn of the loop in a burst, 99th of 100, ms", turns[int(0.99 * len(turns))]),
        ]


def ask_on_one_loop(*, callers: int = 64, seconds: float = 5.0, entries: int = _STORED, repeats: bool = False) -> Loop:
    """Look up so many questions at once on one event loop, burst after burst, with new connections warmed up first.

    Half of them are repeats, a quarter paraphrases, a quarter new; or all of them repeats.
    """
    texts = [stored_question(number) for number in range(entries)]
    new = [stored_question(entries + number) for number in range(20 * entries)]
    with redis_stack(_SHARDS) as nodes:
        urls = [node.url for node in nodes]
        cache = SemanticCache(*urls, embedder=KnownVectors([*texts, *new]), embed_deadline_s=EMBED_DEADLINE_S)
        for number, text in enumerate(texts):
            cache.update(cache.request(text, system=_system(number)), f"answer {number}")
        try:
            return asyncio.run(_ask_in_bursts(cache, callers, seconds, entries, repeats))
        finally:
            cache.close()


def _system(number: int) -> str:
    return f"You are assistant number {number % 20}."


async def _ask_in_bursts(cache: SemanticCache, callers: int, seconds: float, entries: int, repeats: bool) -> Loop:
    numbers = count(0, 4) if repeats else count()
    requests = (_mixed(cache, number, entries) for number in numbers)

    async def burst(seen: Loop) -> None:
        watch = asyncio.create_task(_longest_turn())
        asked = list(islice(requests, callers))
        results = await asyncio.gather(*map(cache.alookup, asked))
        watch.cancel()
        seen.turns_ms.append(await watch)
        seen.lookups += callers
        seen.tiers.update(result.tier for result in results)

    for _ in range(5):
        await burst(Loop())
    seen, ends = Loop(), time.perf_counter() + seconds
    with _timed_callbacks(seen):
        await burst(seen)
        while time.perf_counter() < ends:
            await burst(seen)
    await cache.aclose()
    return seen


def _mixed(cache: SemanticCache, number: int, entries: int) -> Request:
    at = number * 7 % entries
    match number % 4:
        case 1:
            return cache.request(paraphrase(at, entries), system=_system(at))
        case 3:
            return cache.request(stored_question(entries + number % (20 * entries)), system=_system(number))
        case _:
            return cache.request(stored_question(at), system=_system(at))


async def _longest_turn() -> float:
    """Note how long the loop takes to come round until this is cancelled."""
    longest_s = 0.0
    with suppress(asyncio.CancelledError):
        while True:
            used_s = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - used_s)
    return longest_s * 1_000


@contextmanager
def _timed_callbacks(seen: Loop) -> Iterator[None]:
    """Note the longest of all callbacks of event loops; the garbage collector's own time is left out."""
    handle: Any = asyncio.events.Handle
    plain, collecting_s = handle._run, [0.0]
    gc.collect()
    gc.freeze()

    def collected(phase: str, _: object) -> None:
        collecting_s[0] += time.thread_time() * (1 if phase == "stop" else -1)

    def run(self: object) -> None:
        began_s, before_s = time.thread_time(), collecting_s[0]
        plain(self)
        took_s = time.thread_time() - began_s - (collecting_s[0] - before_s)
        seen.longest_callback_ms = max(seen.longest_callback_ms, took_s * 1_000)

    gc.callbacks.append(collected)
    handle._run = run
    try:
        yield
    finally:
        handle._run = plain
        gc.callbacks.remove(collected)
        gc.unfreeze()


# --- a pool that is too small ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waited:
    """What callers got that shared too few connections to a server which did not answer for a while."""

    misses: int
    hits: int
    told: int
    """Misses whose reason is that all connections were in use."""
    longest_ms: float
    hits_after: int
    """Of the same lookups, when the server answered again and each could wait its turn."""

    def findings(self, callers: int, most_ms: float) -> list[Finding]:
        return [
            Finding("hits", self.hits),
            Finding("misses", self.misses),
            Finding.at_least("misses that say that all connections were in use", self.told, 1),
            Finding.at_most("longest lookup, ms", self.longest_ms, most_ms),
            Finding.at_least("hits when the server answers again", self.hits_after, callers),
        ]


def wait_for_the_pool(
    *, callers: int = 64, pool_size: int = 4, pool_wait_s: float = 0.2, timeout_s: float = 0.5
) -> Waited:
    """Freeze a server under more callers than there are connections, and let it go on."""
    keys = all_keys(tenants=1, prompts=1, questions=callers)
    with redis_stack() as (node,):
        store = RedisStore(node.url, pool_size=pool_size, pool_wait_s=pool_wait_s, timeout_s=timeout_s)
        embedder = KnownVectors([key.text for key in keys])
        with SemanticCache(store, embedder=embedder, embed_deadline_s=EMBED_DEADLINE_S) as cache:
            fill(cache, keys)
            return asyncio.run(_wait(cache, keys, node.stop, node.resume))


async def _wait(
    cache: SemanticCache, keys: Sequence[Key], freeze: Callable[[], None], thaw: Callable[[], None]
) -> Waited:
    await cache.alookup(keys[0].request(cache))
    freeze()
    try:
        frozen = await asyncio.gather(*(_timed(cache, key) for key in keys))
    finally:
        thaw()
    # The breaker lets nothing through for some seconds: another cache on the same store has one of its own.
    other = SemanticCache(cache.store, embedder=cache.embedder, embed_deadline_s=EMBED_DEADLINE_S)
    after = await asyncio.gather(*(_timed(other, key) for key in keys))
    await cache.aclose()
    reasons = [result.explanation.reason for result, _ in frozen if isinstance(result, Miss)]
    return Waited(
        misses=len(reasons),
        hits=len(frozen) - len(reasons),
        told=sum("connections were in use" in reason for reason in reasons),
        longest_ms=max(took_s for _, took_s in frozen) * 1_000,
        hits_after=sum(isinstance(result, Hit) for result, _ in after),
    )


async def _timed(cache: SemanticCache, key: Key) -> tuple[Lookup, float]:
    began = time.perf_counter()
    result = await cache.alookup(key.request(cache))
    return result, time.perf_counter() - began

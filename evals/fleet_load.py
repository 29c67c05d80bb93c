"""What the fleet is asked in its evaluations, with answers that give away whose they are, and a load of requests."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute import Hit, SemanticCache, Stored
from semroute.benchmark.questions import stored_question
from semroute.request import Digests, Scope
from semroute.stores.redis import RedisStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.embedders import HashEmbedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute import Request
    from semroute.result import Lookup, Update

EMBED_DEADLINE_S: Final = 30.0
"""Generous: a busy machine must not turn into misses in a report about shards."""


@dataclass(frozen=True, slots=True)
class Key:
    """One question of one tenant under one system prompt."""

    tenant: str
    prompt: int
    question: int

    @property
    def text(self) -> str:
        return stored_question(self.question)

    def request(self, cache: SemanticCache) -> Request:
        scope, system = Scope(tenant=self.tenant), f"You are assistant number {self.prompt}."
        return cache.request(self.text, scope=scope, system=system, tags=(f"prompt-{self.prompt}",))

    def answer(self, version: int = 1) -> str:
        """Return the only right answer, which says whose it is."""
        return f"{self.owner} question {self.question} version {version}"

    @property
    def owner(self) -> str:
        return f"tenant {self.tenant} prompt {self.prompt}"


def all_keys(*, tenants: int, prompts: int, questions: int) -> list[Key]:
    """Return every question of every tenant and prompt; each prompt has questions of its own and some of others'."""
    return [
        Key(f"t{tenant}", prompt, (7 * prompt + number) % (3 * prompts + questions))
        for tenant in range(tenants)
        for prompt in range(prompts)
        for number in range(questions)
    ]


class KnownVectors:
    """A direction for each deed, made ahead: where embedding is not what is measured, it costs nothing.

    Paraphrases of a question have one vector, and two questions never are near each other.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._embedder = HashEmbedder(64)
        self.identity = self._embedder.identity
        self._known: dict[str, NDArray[np.float32]] = {}
        self.embed(list(texts))

    def fits(self, text: str) -> bool:
        return self._embedder.fits(text)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        for text in texts:
            if text not in self._known:
                deed = re.sub(r"\W+", "_", text.split(" I ", 1)[-1])
                self._known[text] = self._embedder.embed([deed])[0]
        return np.stack([self._known[text] for text in texts]) if texts else np.empty((0, 64), np.float32)


def made_cache(
    urls: Sequence[str], keys: Sequence[Key] = (), *, replicas: int = 1, cooldown_s: float | None = None
) -> SemanticCache:
    """Return a cache on shards; nothing is opened yet. `cooldown_s` is how long their breakers wait, 5 s by default."""
    embedder = KnownVectors(sorted({key.text for key in keys}))
    if cooldown_s is None:
        return SemanticCache(*urls, embedder=embedder, embed_deadline_s=EMBED_DEADLINE_S, replicas=replicas)
    store = ShardedStore([RedisStore(url) for url in urls], places=urls, replicas=replicas, cooldown_s=cooldown_s)
    return SemanticCache(store, embedder=embedder, embed_deadline_s=EMBED_DEADLINE_S)


def fill(cache: SemanticCache, keys: Sequence[Key]) -> None:
    """Store the answer to every question; raises RuntimeError where one is not stored."""
    for key in keys:
        result: Update = cache.update(key.request(cache), key.answer())
        if not isinstance(result, Stored):
            raise RuntimeError(f"{key} was not stored: {result}")


def shard_of(cache: SemanticCache) -> Callable[[Key], str]:
    """Return what says on which shard the first copy of a question lies."""
    digests, ring = Digests(cache.store.open()), cache.store.ring  # type: ignore[attr-defined]  # a ShardedStore
    return lambda key: str(ring.owner(digests.address(key.request(cache)).shard))


@dataclass(frozen=True, slots=True)
class Sample:
    """What became of one request."""

    key: Key
    began_s: float
    took_s: float
    """For looking up, and for storing the answer after a miss."""
    served: str | None
    """The answer that was served; None for a miss."""
    error: str = ""
    """What the caller was raised; empty as it should be."""


@dataclass(slots=True)
class Phase:
    """The requests of one part of a load."""

    name: str
    samples: list[Sample] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.samples)

    @property
    def errors(self) -> list[str]:
        return [sample.error for sample in self.samples if sample.error]

    @property
    def hit_rate(self) -> float:
        return sum(sample.served is not None for sample in self.samples) / max(1, self.requests)

    @property
    def wrong(self) -> int:
        """How many were served what is not the answer to their question."""
        return sum(sample.served not in (None, sample.key.answer()) for sample in self.samples)

    def took_ms(self, share: float) -> float:
        """Return the time within which so large a share of the requests were done."""
        ordered = sorted(sample.took_s for sample in self.samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1_000 if ordered else 0.0

    def hit_rates(self, window_s: float) -> list[float]:
        """Return the hit rate of each window of so many seconds, the last one left out where it is not full."""
        windows: dict[int, list[bool]] = {}
        start = min((sample.began_s for sample in self.samples), default=0.0)
        for sample in self.samples:
            windows.setdefault(int((sample.began_s - start) / window_s), []).append(sample.served is not None)
        full = [windows[number] for number in sorted(windows)][: max(1, len(windows) - 1)]
        return [sum(hits) / len(hits) for hits in full]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a load: what happens when it begins, and how long it lasts."""

    name: str
    seconds: float
    event: Callable[[], object] | None = None


class Load:
    """So many requests a second on one event loop, each begun when its time has come, whatever became of the others."""

    def __init__(self, cache: SemanticCache, keys: Sequence[Key], *, per_second: float, seed: int = 0) -> None:
        self.cache = cache
        self._keys = keys
        self._per_second = per_second
        self._random = random.Random(seed)

    async def run(self, parts: Sequence[Part]) -> list[Phase]:
        """Go through the parts; what a part begins with happens on a thread beside the load.

        It begins when the requests of the parts before have ended, so that none of them is counted to the wrong part.
        """
        phases = [Phase(part.name) for part in parts]
        due = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            begun: list[asyncio.Task[None]] = []
            for part, phase in zip(parts, phases, strict=True):
                if part.event is not None:
                    await asyncio.gather(*begun)
                    begun, due = [], time.perf_counter()
                    group.create_task(asyncio.to_thread(part.event))
                for _ in range(round(part.seconds * self._per_second)):
                    due += 1 / self._per_second
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    begun.append(group.create_task(self._one(self._random.choice(self._keys), phase)))
        return phases

    async def _one(self, key: Key, phase: Phase) -> None:
        began = time.perf_counter()
        try:
            served = await aask(self.cache, key)
            error = ""
        except Exception as raised:  # a cache must raise nothing at all: whatever it is, it is reported
            served, error = None, repr(raised)
        phase.samples.append(Sample(key, began, time.perf_counter() - began, served, error))


async def aask(cache: SemanticCache, key: Key) -> str | None:
    """Look a question up, and have its answer stored after a miss; returns what was served."""
    request = key.request(cache)
    result: Lookup = await cache.alookup(request)
    if isinstance(result, Hit):
        return result.answer.text
    await cache.aupdate(request, key.answer())
    return None


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure beside its bar."""

    what: str
    measured: float
    bar: str = ""
    holds: bool | None = None

    @classmethod
    def at_most(cls, what: str, measured: float, most: float) -> Finding:
        return cls(what, measured, f"<= {most:g}", measured <= most)

    @classmethod
    def at_least(cls, what: str, measured: float, least: float) -> Finding:
        return cls(what, measured, f">= {least:g}", measured >= least)

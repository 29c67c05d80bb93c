"""Many clients at once: requests a second through the cache, and embeddings a second without it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from semroute.benchmark.questions import answer_to, new_question, paraphrase, stored_question
from semroute.result import Miss

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.embedders import Embedder
    from semroute.request import Request


@dataclass(slots=True)
class Supply:
    """Questions that nobody has asked yet, and repeats; counts on over all phases of a benchmark."""

    entries: int
    _paraphrases: Iterator[int] = field(default_factory=itertools.count)
    _new: Iterator[int] = field(default_factory=itertools.count)
    _repeats: Iterator[int] = field(default_factory=itertools.count)
    _mixed: Iterator[int] = field(default_factory=itertools.count)

    def paraphrase(self) -> tuple[int, str]:
        """Return a fresh paraphrase, with the number of the stored question that answers it."""
        number = next(self._paraphrases)
        return number % self.entries, paraphrase(number, self.entries)

    def new(self) -> str:
        """Return a fresh question that nothing stored answers."""
        return new_question(next(self._new))

    def repeat(self) -> tuple[int, str]:
        """Return a stored question, with its number; all in turn, far apart in the store."""
        number = next(self._repeats) * 4_001 % self.entries
        return number, stored_question(number)

    def mixed(self) -> str:
        """Return the next request of the mix: half exact repeats, a quarter paraphrases, a quarter new."""
        match next(self._mixed) % 4:
            case 0 | 2:
                return self.repeat()[1]
            case 1:
                return self.paraphrase()[1]
            case _:
                return self.new()


@dataclass(slots=True)
class Load:
    """What was done in how many seconds."""

    done: int = 0
    seconds: float = 0.0
    tiers: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return self.done / self.seconds


class Clients:
    """`clients` asynchronous callers on one event loop."""

    def __init__(
        self,
        cache: SemanticCache,
        embedder: Embedder,
        pool: Executor,
        supply: Supply,
        request: Callable[[str], Request],
    ) -> None:
        self._cache = cache
        self._embedder = embedder
        self._pool = pool
        self._supply = supply
        self._request = request

    async def ask(self, clients: int, seconds: float, load: Load) -> None:
        """Send the mix through the cache; a miss is answered at once and stored, as after a model call."""

        async def one() -> None:
            request = self._request(self._supply.mixed())
            result = await self._cache.alookup(request)
            load.tiers[result.tier] += 1
            if isinstance(result, Miss):
                await self._cache.aupdate(request, answer_to(load.done))

        await _repeat(one, clients, seconds, load)

    async def embed_only(self, clients: int, seconds: float, load: Load) -> None:
        """Embed a distinct text for every request, as a cache without an exact tier must."""
        loop = asyncio.get_running_loop()

        async def one() -> None:
            await loop.run_in_executor(self._pool, self._embedder.embed, [self._supply.paraphrase()[1]])

        await _repeat(one, clients, seconds, load)


async def _repeat(act: Callable[[], Awaitable[None]], clients: int, seconds: float, load: Load) -> None:
    """Let every client act again and again until the time is over, and count."""
    began = time.perf_counter()

    async def client() -> None:
        while time.perf_counter() - began < seconds:
            await act()
            load.done += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds += time.perf_counter() - began

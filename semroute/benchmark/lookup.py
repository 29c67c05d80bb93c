"""The benchmark of a lookup: every tier and what lies under it, in interleaved rounds."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from semroute.benchmark.clients import Clients, Load, Supply
from semroute.benchmark.processes import FirstHit, TorchProcess, first_hit, import_seconds
from semroute.benchmark.questions import PARAPHRASES, answer_to, paraphrase, stored_question
from semroute.benchmark.raw import RawFile
from semroute.benchmark.raw_redis import RawRedis, is_redis
from semroute.benchmark.timings import Stopwatch, Timing
from semroute.cache import SemanticCache
from semroute.codec import encode_answer
from semroute.errors import SemrouteError
from semroute.evaluation.vectors import AheadEmbedder, Track
from semroute.guards.verifier import Verifier
from semroute.request import Digests, Request, Scope
from semroute.result import Hit, Stored
from semroute.stores.sharded import ShardedStore

if TYPE_CHECKING:
    from semroute.benchmark.raw import Raw
    from semroute.embedders import Embedder
    from semroute.entry import FloatVector
    from semroute.stores import Store

K: Final = 5
_SLICES: Final = 5
_TORCH_PER_SLICE: Final = 12
_QUICK_PER_ROUND: Final = 50
_SEARCHES_IN_A_ROW: Final = 20
_WARM_UP_ROUNDS: Final = 2
_PLAIN_SEARCHES: Final = 20
_PAUSE_S: Final = 0.1
_IN_A_ROW: Final = 10
_FIRST_HITS: Final = 3
_EMBED_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    entries: int
    clients: int
    seconds: float
    """Time for the rounds, and again for each of the two loads."""
    urls: tuple[str, ...]
    """URLs by which a new process opens the same store; none for a store that lives in this process alone."""
    raw_path: Path | None
    """File of the plain table, for a store that is no Redis server; None for one in memory."""
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured; None where it could not be."""

    timings: dict[str, Timing | None]
    torch_why_not: str | None
    import_s: float
    first_hit: FirstHit | None
    load: Load
    embed_only: Load
    is_remote: bool
    """Whether the entries lie on a server, so that each operation under the cache is a round trip."""
    l2_not_served: int
    """Paraphrases in the rounds that were no right hit by meaning; their times are left out."""


class LookupBenchmark:
    """A filled store, and the rounds over it."""

    def __init__(self, plan: Plan, store: Store, embedder: Embedder, track: Track) -> None:
        self._plan = plan
        self._store = store
        self._embedder = embedder
        self._track = track
        self._supply = Supply(plan.entries)
        self._watch = Stopwatch()
        self._ids: list[str] = []
        self._not_served = 0
        self._cache = SemanticCache(store, embedder=embedder)
        self._digests = Digests(store.open())
        self._raw = self._made_raw()
        self._verifier = Verifier.load()

    def run(self) -> Report:
        """Fill the store, then measure: rounds, new processes, loads."""
        plan = self._plan
        try:
            self._fill()
            # Before the rounds, which use up the paraphrases of a small store.
            asked = [paraphrase(plan.entries * PARAPHRASES - 1 - n, plan.entries) for n in range(_FIRST_HITS)]
            hit = first_hit(plan.urls, plan.tenant, asked) if plan.urls else None
            with TorchProcess() as torch:
                self._rounds(torch)
                torch_why_not = torch.why_not
            load, embed_only = asyncio.run(self._loads())
        finally:
            self._raw.close()
        names = (
            "embed",
            "embed_torch",
            "search",
            "search_hot",
            "verify_5",
            "l1",
            "l2",
            "miss",
            "raw_get",
            "raw_search",
        )
        return Report(
            timings={name: self._watch.timing(name) for name in names},
            torch_why_not=torch_why_not,
            import_s=import_seconds(),
            first_hit=hit,
            load=load,
            embed_only=embed_only,
            is_remote=isinstance(self._raw, RawRedis),
            l2_not_served=self._not_served,
        )

    def _request(self, text: str) -> Request:
        return self._cache.request(text, scope=Scope(tenant=self._plan.tenant))

    def _made_raw(self) -> Raw:
        """Return the raw operations of the shard that keeps the entries, which are all of one prompt."""
        urls = self._plan.urls
        if isinstance(self._store, ShardedStore) and urls:
            owner = self._store.ring.owner(self._digests.address(self._request("")).shard)
            urls = (urls[list(self._store.stores).index(owner)],)
        return RawRedis(urls[0]) if urls and is_redis(urls[0]) else RawFile(self._plan.raw_path)

    def _fill(self) -> None:
        """Store the entries through the cache itself, with vectors made ahead on all cores."""
        ahead = AheadEmbedder(self._embedder)
        questions = [stored_question(number) for number in range(self._plan.entries)]
        ahead.prepare(questions, self._track)
        filling = SemanticCache(self._store, embedder=ahead)
        payloads = []
        for number, question in enumerate(self._track(questions, "storing")):
            answer = answer_to(number)
            kept = filling.update(self._request(question), answer)
            if not isinstance(kept, Stored) or not kept.is_semantic:
                raise SemrouteError(f"an entry of the benchmark was not stored: {question!r}: {kept}")
            self._ids.append(kept.entry_id)
            payloads.append((kept.entry_id, encode_answer(answer)))
        self._raw.fill(payloads, ahead.embed(questions))

    def _rounds(self, torch: TorchProcess) -> None:
        for _ in range(_WARM_UP_ROUNDS):
            self._round()
        self._watch = Stopwatch()
        self._not_served = 0
        gc.collect()
        for _ in self._track(range(_SLICES), "rounds"):
            ends = time.perf_counter() + self._plan.seconds / _SLICES
            while time.perf_counter() < ends:
                self._round()
            self._search_again_and_again()
            if not self._raw.is_quiet:
                self._search_plainly()
            for _ in range(0 if torch.why_not is not None else _TORCH_PER_SLICE):
                self._watch.note("embed_torch", torch.embed_seconds(self._supply.paraphrase()[1]))

    def _round(self) -> None:
        """Do everything several times in a row, one kind after the other, so that noise over time hits all alike.

        Each kind meets the processor's caches as it leaves them itself. `search` follows an embedding, as in a lookup:
        that the embedding pushed the vectors out of the caches is part of its cost.
        """
        for _ in range(_IN_A_ROW):
            self._embed_and_search()
            if self._raw.is_quiet:
                self._search_plainly_once(self._embedder.embed([self._supply.paraphrase()[1]])[0])
        for _ in range(_IN_A_ROW):
            self._ask_in_other_words()
        for _ in range(_IN_A_ROW):
            self._ask_something_new()
        for _ in range(_QUICK_PER_ROUND):
            self._repeat_exactly()

    def _embed_and_search(self) -> None:
        _, text = self._supply.paraphrase()
        address = self._digests.address(self._request(text))
        identity, now = self._embedder.identity, time.time()
        vector = self._watch.time("embed", lambda: self._embedder.embed([text]))[0]
        near = self._watch.time("search", lambda: self._store.search(address, vector, embedder=identity, k=K, now=now))
        if len(near) == K and self._verifier.embedder == identity:
            self._watch.time("verify_5", lambda: self._verifier.probabilities(text, near))

    def _ask_in_other_words(self) -> None:
        number, text = self._supply.paraphrase()
        result = self._watch.time("l2", lambda: self._cache.lookup(self._request(text)))
        if not _is_hit("l2", result, number):
            self._watch.drop_last("l2")
            self._not_served += 1

    def _ask_something_new(self) -> None:
        new = self._supply.new()
        if isinstance(self._watch.time("miss", lambda: self._cache.lookup(self._request(new))), Hit):
            raise SemrouteError(f"a new question of the benchmark was served: {new!r}")

    def _repeat_exactly(self) -> None:
        number, question = self._supply.repeat()
        self._watch.time("raw_get", lambda: self._raw.get(self._ids[number]))
        result = self._watch.time("l1", lambda: self._cache.lookup(self._request(question)))
        if not _is_hit("l1", result, number):
            raise SemrouteError(f"the exact tier of the benchmark should serve {question!r}, and did not: {result}")

    def _search_again_and_again(self) -> None:
        """Time searches in a row, with nothing between them that would push the vectors out of the caches."""
        _, text = self._supply.paraphrase()
        address, vector = self._digests.address(self._request(text)), self._embedder.embed([text])[0]
        identity, now = self._embedder.identity, time.time()
        for turn in range(2 * _SEARCHES_IN_A_ROW):
            # The first half brings the vectors back.
            name = "search_hot" if turn >= _SEARCHES_IN_A_ROW else "search_warming"
            self._watch.time(name, lambda: self._store.search(address, vector, embedder=identity, k=K, now=now))

    def _search_plainly(self) -> None:
        """Time the plain product after an embedding; apart, because its threads keep a core busy for a while after."""
        for _ in range(_PLAIN_SEARCHES):
            self._search_plainly_once(self._embedder.embed([self._supply.paraphrase()[1]])[0])
        time.sleep(_PAUSE_S)

    def _search_plainly_once(self, vector: FloatVector) -> None:
        self._watch.time("raw_search", lambda: self._raw.search(vector, K))

    async def _loads(self) -> tuple[Load, Load]:
        """Run both loads in turns."""
        load, embed_only = Load(), Load()
        # As many threads as the cache embeds with.
        with ThreadPoolExecutor(min(_EMBED_THREADS, os.cpu_count() or 1)) as pool:
            clients = Clients(self._cache, self._embedder, pool, self._supply, self._request)
            await clients.ask(self._plan.clients, 0.2, Load())
            await clients.embed_only(self._plan.clients, 0.2, Load())
            for _ in self._track(range(_SLICES), "clients"):
                await clients.ask(self._plan.clients, self._plan.seconds / _SLICES, load)
                await clients.embed_only(self._plan.clients, self._plan.seconds / _SLICES, embed_only)
        return load, embed_only


def _is_hit(tier: str, result: object, number: int) -> bool:
    return isinstance(result, Hit) and result.tier == tier and result.answer.text == answer_to(number).text

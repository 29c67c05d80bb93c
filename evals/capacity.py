"""What one Redis shard holds for a GB, and what becomes of its latency and insert rate as it grows.

    python -m evals.capacity --entries 100000 --json capacity.json

fills a shard of a real Redis Stack through `RedisStore`, once with float32 and once with float16 vectors, and takes
down the server's memory, the rate of puts, and the time of a get and of a search at steps on the way. The vectors are
random ones of 384 dimensions in clusters, the answers a paragraph each, as those of `semroute bench lookup`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import redis

from semroute.benchmark.questions import answer_to, stored_question
from semroute.entry import Address, Entry
from semroute.stores._redis.index import Names
from semroute.stores.redis import RedisStore
from semroute.testing.redis_stack import redis_stack

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSIONS: Final = 384
EMBEDDER: Final = "made up"
STEPS: Final = (1_000, 10_000, 25_000, 50_000, 75_000, 100_000, 200_000, 500_000)
_ASKED: Final = 200
_CLUSTERS: Final = 2_000
_WRITERS: Final = 4
_AGAIN: Final = 128
_SETTLE_S: Final = 120.0
_DEADLINE_S: Final = 60.0
_GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class Point:
    """A shard at one size."""

    dtype: str
    entries: int
    index: str
    memory_bytes: int
    """Of the server, above what it had when it was empty."""
    puts_per_second: float
    """Since the point before."""
    get_ms: float
    search_ms: float
    small_search_ms: float
    """The same search in a prompt that has a hundredth of the entries."""

    @property
    def entries_per_gb(self) -> float:
        return self.entries / self.memory_bytes * _GB


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--dtype", action="append", choices=("float32", "float16"), help="default: both")
    parser.add_argument("--hnsw-from", type=int, help="entries from which the index is a graph; default: the store's")
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="time for each dtype; then the last step is enough"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the points to a file as well")
    arguments = parser.parse_args()
    points: list[Point] = []
    print("| vectors | entries | index | MB | entries per GB | puts/s | get p50 ms | search p50 ms | small prompt ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for dtype in arguments.dtype or ("float32", "float16"):
        for point in measure(dtype, arguments.entries, arguments.hnsw_from, arguments.seconds):
            points.append(point)
            print(row_of(point), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(point) for point in points], indent=1), encoding="utf-8")


def row_of(point: Point) -> str:
    """Return a point as a row of a table."""
    return (
        f"| {point.dtype} | {point.entries:,} | {point.index} | {point.memory_bytes / 1e6:,.0f} "
        f"| {point.entries_per_gb:,.0f} | {point.puts_per_second:,.0f} | {point.get_ms:.3f} "
        f"| {point.search_ms:.3f} | {point.small_search_ms:.3f} |"
    )


def measure(
    dtype: str, entries: int, hnsw_from: int | None = None, seconds: float = 600.0, *, steps: Sequence[int] = STEPS
) -> Iterator[Point]:
    """Fill a shard, and yield how it does at each step, until it has so many entries or the time is over."""
    ends = time.perf_counter() + seconds
    with redis_stack() as (node,), redis.Redis.from_url(node.url) as server:
        store = RedisStore(
            node.url,
            dtype=dtype,
            hnsw_from=hnsw_from,
            max_bytes=2**40,
            max_entries=10**9,
            timeout_s=_DEADLINE_S,
            pool_wait_s=_DEADLINE_S,
        )
        store.open()
        empty, made = _memory(server), Made()
        stored = 0
        with ThreadPoolExecutor(_WRITERS) as writers:
            for step in [step for step in steps if step < entries] + [entries]:
                batch = made.entries(stored, step)
                began = time.perf_counter()
                list(writers.map(store.put, batch))
                took_s = time.perf_counter() - began
                rate, stored = (step - stored) / took_s, step
                _settle(store, server, batch[:_AGAIN])
                yield _point(store, server, made, dtype, stored, rate, empty)
                if time.perf_counter() > ends:
                    break
        store.close()


class Made:
    """Entries in clusters, as questions are: many ways to ask each of some thousands of things."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._centres = _unit(self._random.standard_normal((_CLUSTERS, DIMENSIONS)))
        self._now = time.time()

    def vectors(self, count: int) -> NDArray[np.float32]:
        """Return unit vectors, each at a similarity of about 0.8 to its cluster's centre."""
        centres = self._centres[self._random.integers(0, _CLUSTERS, count)]
        return _unit(centres + 0.75 * _unit(self._random.standard_normal((count, DIMENSIONS))))

    def entries(self, first: int, last: int) -> list[Entry]:
        vectors = self.vectors(last - first)
        return [self._entry(number, vectors[number - first]) for number in range(first, last)]

    def address(self, number: int, *, is_small: bool = False) -> Address:
        """One entry of a hundred belongs to a small prompt, all others to one large one."""
        return Address(exact=f"{number:032x}", partition=("5" if is_small else "1") * 32, shard="0" * 32)

    def _entry(self, number: int, vector: NDArray[np.float32]) -> Entry:
        return Entry(
            address=self.address(number, is_small=number % 100 == 0),
            query=stored_question(number % 288_000),
            answer=answer_to(number),
            vector=vector,
            embedder=EMBEDDER,
            created_at=self._now,
            expires_at=self._now + 30 * 86_400,
            labels=frozenset({f"entry:{number:032x}"}),
        )


def _point(
    store: RedisStore, server: redis.Redis, made: Made, dtype: str, entries: int, rate: float, empty: int
) -> Point:
    vectors = made.vectors(_ASKED)
    numbers = np.random.default_rng(1).integers(0, entries, _ASKED)
    now = time.time()

    def search(vector: NDArray[np.float32], *, is_small: bool) -> Callable[[], object]:
        address = made.address(0, is_small=is_small)
        return lambda: store.search(address, vector, embedder=EMBEDDER, k=5, now=now)

    small = [number - number % 100 for number in numbers]
    return Point(
        dtype=dtype,
        entries=entries,
        index=_index_of(store),
        memory_bytes=_memory(server) - empty,
        puts_per_second=rate,
        get_ms=_median_ms([lambda n=n: store.get(made.address(int(n)), now=now) for n in small]),  # type: ignore[misc]  # bound at once
        search_ms=_median_ms([search(vector, is_small=False) for vector in vectors]),
        small_search_ms=_median_ms([search(vector, is_small=True) for vector in vectors]),
    )


def _settle(store: RedisStore, server: redis.Redis, batch: Sequence[Entry]) -> None:
    """Wait until a graph that is being built is complete, which only puts notice: some are made again meanwhile."""
    names = Names(store.shard)
    ends = time.perf_counter() + _SETTLE_S
    while server.hexists(names.meta, "building") and time.perf_counter() < ends:
        time.sleep(1.0)
        for entry in batch:
            store.put(entry)


def _index_of(store: RedisStore) -> str:
    return "graph" if "hnsw" in repr(store) else "all compared"


def _median_ms(acts: Sequence[Callable[[], object]]) -> float:
    took: list[float] = []
    for act in acts:
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1_000


def _memory(server: redis.Redis) -> int:
    info: Any = server.info("memory")
    return int(info["used_memory"])


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    units: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units


if __name__ == "__main__":
    main()

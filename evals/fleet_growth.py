"""A fourth shard comes under load, and its part of the entries is moved to it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evals.fleet_load import Finding, Load, Part, Phase, all_keys, fill, made_cache
from semroute.stores.redis import RedisStore
from semroute.testing.redis_stack import redis_stack

if TYPE_CHECKING:
    from semroute.stores.sharded import ShardedStore

_COMMAND: Final = "from semroute.cli.main import main; main()"
_WINDOW_S: Final = 1.0
_WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Grown:
    """What became of the entries, and of the requests meanwhile."""

    ring_share: float
    """Part of the keys that the ring gives to the new shard, by the entries that there are."""
    moved_to_new: float
    """Part of the entries that lie on the new shard at the end and did not at the beginning."""
    moved_elsewhere: int
    """Entries that went from one of the old shards to another one."""
    entries: int
    lost: int
    left_behind: int
    """Entries that an old shard still has though they are the new one's."""
    moved_before_the_kill: int
    before: Phase
    during: Phase
    """From the new list on, with the rebalance that was killed and the one that finished."""
    second: dict[str, Any]
    """What the rebalance said that was begun after the other was killed."""

    def findings(self) -> list[Finding]:
        lowest = min(self.during.hit_rates(_WINDOW_S))
        return [
            Finding("entries", self.entries),
            Finding.at_most("entries lost", self.lost, 0),
            Finding("share of the new shard on the ring", self.ring_share),
            Finding.at_most(
                "entries moved to it, beyond that share", round(abs(self.moved_to_new - self.ring_share), 9), 0
            ),
            Finding.at_most("entries moved between old shards", self.moved_elsewhere, 0),
            Finding.at_most("entries left behind", self.left_behind, 0),
            Finding.at_least("moved when the rebalance was killed", self.moved_before_the_kill, 1),
            Finding.at_least("moved by the one after it", self.second["moved"], 1),
            Finding.at_most("failed", self.second["failed"], 0),
            Finding("hit rate before", self.before.hit_rate),
            Finding.at_least("lowest hit rate in a second, beside before", lowest / self.before.hit_rate, 0.9),
            Finding.at_most("errors to the caller", len(self.before.errors) + len(self.during.errors), 0),
            Finding.at_most("wrong answers", self.before.wrong + self.during.wrong, 0),
        ]


def add_a_shard(
    *, prompts: int = 200, questions: int = 10, per_second: float = 200, seconds: float = 4.0, rate: float = 150
) -> Grown:
    """Add a shard to three, kill its rebalance half-way, and let another one finish.

    The clients with three stores go on reading until those with four take over, as in a rolling restart; then the
    rebalance begins, slowed down to `rate` entries a second until it is killed.
    """
    keys = all_keys(tenants=1, prompts=prompts, questions=questions)
    with redis_stack(4) as nodes:
        urls = [node.url for node in nodes]
        with made_cache(urls[:3], keys) as old, made_cache(urls, keys) as new:
            fill(old, keys)
            there = _places_of(old.store)  # type: ignore[arg-type]  # a ShardedStore
            phases = asyncio.run(_under_load(urls, Load(old, keys, per_second=per_second), new, seconds, rate))
            ring = new.store.ring  # type: ignore[attr-defined]  # a ShardedStore
            here = _places_of(new.store)  # type: ignore[arg-type]  # a ShardedStore
            shard_keys = {entry.id: entry.address.shard for entry in new.store.scan()}
        (newcomer,) = set(ring.names) - set(here_before := {name for names in there.values() for name in names})
        owed = {id for id, shard in shard_keys.items() if ring.owner(shard) == newcomer and id in there}
        return Grown(
            ring_share=len(owed) / len(there),
            moved_to_new=sum(newcomer in here.get(id, ()) for id in there) / len(there),
            moved_elsewhere=sum(bool((here.get(id, set()) & here_before) - names) for id, names in there.items()),
            entries=len(there),
            lost=len(set(there) - set(here)),
            left_behind=sum(here[id] != {newcomer} for id in owed),
            moved_before_the_kill=phases.moved_before_the_kill,
            before=phases.before,
            during=phases.during,
            second=phases.second,
        )


@dataclass(frozen=True, slots=True)
class _Course:
    before: Phase
    during: Phase
    moved_before_the_kill: int
    second: dict[str, Any]


async def _under_load(urls: Sequence[str], load: Load, new: Any, seconds: float, rate: float) -> _Course:
    """Adopt the list of four under the load of the old clients, then rebalance under that of the new ones."""
    before, adopting = await load.run(
        [Part("before", seconds), Part("adopting", seconds / 2, lambda: _ring("adopt", *_named(urls)))]
    )
    load.cache = new
    moving = asyncio.create_task(asyncio.to_thread(_killed_and_resumed, urls, rate, seconds))
    during = Phase("during", adopting.samples)
    while not moving.done():
        (part,) = await load.run([Part("moving", 1.0)])
        during.samples += part.samples
    moved, second = await moving
    return _Course(before, during, moved, second)


def _killed_and_resumed(urls: Sequence[str], rate: float, seconds: float) -> tuple[int, dict[str, Any]]:
    """Kill a slow rebalance with SIGKILL, count what it has moved, and let another one finish."""
    newcomer = RedisStore(urls[3])
    try:
        before = newcomer.size().entries
        process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, "ring", "rebalance", *_named(urls), "--rate", str(rate)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            began = time.monotonic()
            while newcomer.size().entries - before < rate * seconds / 4 and process.poll() is None:
                if time.monotonic() - began > _WAIT_S:
                    raise RuntimeError("the rebalance moves nothing")
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        moved = newcomer.size().entries - before
    finally:
        newcomer.close()
    return moved, json.loads(_ring("rebalance", *_named(urls), "--json"))


def _ring(*arguments: str) -> str:
    """Run `semroute ring`, and return what it printed; raises RuntimeError where it fails."""
    command = [sys.executable, "-c", _COMMAND, "ring", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"semroute ring {arguments[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _named(urls: Sequence[str]) -> list[str]:
    return [part for url in urls for part in ("--store", url)]


def _places_of(store: ShardedStore) -> dict[str, set[str]]:
    """Return the shards that hold each entry."""
    store.open()
    places: dict[str, set[str]] = {}
    for name, shard in store.stores.items():
        for entry in shard.scan():
            places.setdefault(entry.id, set()).add(name)
    return places

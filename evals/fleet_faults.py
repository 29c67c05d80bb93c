"""A shard dies, freezes, or comes back with what it had before: what the callers see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import redis

from evals.fleet_load import Finding, Key, Load, Part, Phase, all_keys, fill, made_cache, shard_of
from semroute import Hit
from semroute.stores.redis import DEFAULT_TIMEOUT_S
from semroute.testing.redis_stack import RedisNode, redis_stack

if TYPE_CHECKING:
    from semroute import SemanticCache

Fault: TypeAlias = Literal["kill", "freeze"]

P99_OVER_DEADLINE_MS: Final = 20.0
_SHARDS: Final = 3
_VICTIM: Final = 1


@dataclass(frozen=True, slots=True)
class Lost:
    """A load through the loss of one shard of three."""

    before: Phase
    during: Phase
    returning: Phase
    """From the shard's return on, until everything should be as before."""
    after: Phase
    on_the_shard: frozenset[Key]
    """The questions whose answers have their first copy on that shard."""
    questions: int

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.before, self.during, self.returning, self.after

    @property
    def share(self) -> float:
        """Part of the answers whose first copy is on that shard."""
        return len(self.on_the_shard) / self.questions

    @property
    def asked_share(self) -> float:
        """Part of the requests that were for those answers, while the shard was away."""
        return sum(sample.key in self.on_the_shard for sample in self.during.samples) / max(1, self.during.requests)

    def findings(self, *, replicas: int, deadline_s: float = DEFAULT_TIMEOUT_S) -> list[Finding]:
        """Hold the figures against the bars."""
        fall = self.before.hit_rate - self.during.hit_rate
        asked = sum(phase.requests for phase in self.phases)
        most = round(self.asked_share, 4) if replicas == 1 else 0.01
        return [
            Finding("requests", asked),
            Finding.at_most("errors to the caller", sum(len(phase.errors) for phase in self.phases), 0),
            Finding.at_most("wrong answers", sum(phase.wrong for phase in self.phases), 0),
            Finding("share of the shard, of the answers", self.share),
            Finding("share of the shard, of the requests while it is away", self.asked_share),
            Finding("hit rate before", self.before.hit_rate),
            Finding("hit rate during", self.during.hit_rate),
            Finding("hit rate after", self.after.hit_rate),
            Finding.at_most("fall of the hit rate", round(fall, 4), most),
            Finding("p50 during, ms", self.during.took_ms(0.5)),
            Finding.at_most("p99 during, ms", self.during.took_ms(0.99), deadline_s * 1_000 + P99_OVER_DEADLINE_MS),
            Finding("longest during, ms", self.during.took_ms(1.0)),
            Finding.at_least("hit rate after beside before", self.after.hit_rate / self.before.hit_rate, 0.99),
        ]


def lose_a_shard(
    fault: Fault = "kill",
    *,
    replicas: int = 1,
    per_second: float = 200,
    seconds: float = 6.0,
    prompts: int = 150,
    questions: int = 2,
    cooldown_s: float = 5.0,
) -> Lost:
    """Lose one shard of three under load, for `seconds`, and get it back: empty after a kill."""
    keys = all_keys(tenants=1, prompts=prompts, questions=questions)
    with redis_stack(_SHARDS) as nodes, _made(nodes, keys, replicas, cooldown_s) as cache:
        fill(cache, keys)
        victim = nodes[_VICTIM]
        name = list(cache.store.stores)[_VICTIM]  # type: ignore[attr-defined]  # a ShardedStore
        first_copy = shard_of(cache)
        on_the_shard = frozenset(key for key in keys if first_copy(key) == name)
        lose, bring_back = (victim.kill, victim.restart) if fault == "kill" else (victim.stop, victim.resume)
        parts = [
            Part("before", seconds / 2),
            Part("during", seconds, lose),
            # The breaker waits before it tries again; after a kill all of the shard's part is asked for anew.
            Part("returning", cooldown_s + seconds, bring_back),
            Part("after", seconds / 2),
        ]
        try:
            phases = asyncio.run(Load(cache, keys, per_second=per_second).run(parts))
        finally:
            if fault == "freeze":
                victim.resume()
    before, during, returning, after = phases
    return Lost(before, during, returning, after, on_the_shard, len(keys))


@dataclass(frozen=True, slots=True)
class Returned:
    """What was served of a shard that came back with old contents."""

    asked: int
    on_the_shard: int
    """Invalidated answers that the shard still had on its disk."""
    served_invalidated: int
    served_right: int
    kept: int
    """Answers on all shards that nobody invalidated."""
    errors: int

    def findings(self) -> list[Finding]:
        return [
            Finding("lookups after the return", self.asked),
            Finding("invalidated answers on the shard that returned", self.on_the_shard),
            Finding.at_most("invalidated answers served", self.served_invalidated, 0),
            Finding.at_most("errors to the caller", self.errors, 0),
            Finding.at_least("answers that hold, served again at the end", self.served_right / max(1, self.kept), 1.0),
        ]


def return_with_old_contents(
    *,
    replicas: int = 1,
    prompts: int = 60,
    questions: int = 5,
    rounds: int = 4,
    cooldown_s: float = 5.0,
    pause: Callable[[], None] = lambda: None,
) -> Returned:
    """Kill a shard that has saved itself to disk, invalidate in all three ways, and let it come back.

    Asked are the cache that was there all the time, one that was made while the shard was away, and one that is made
    after its return. `pause` lets the time go by that breakers wait.
    """
    keys = all_keys(tenants=2, prompts=prompts, questions=questions)
    with redis_stack(_SHARDS) as nodes:

        def made() -> SemanticCache:
            return _made(nodes, keys, replicas, cooldown_s)

        with made() as there, made() as later:
            fill(there, keys)
            hit_ids = _hit_ids(there, keys)
            victim = nodes[_VICTIM]
            name = list(there.store.stores)[_VICTIM]  # type: ignore[attr-defined]  # a ShardedStore
            with redis.Redis.from_url(victim.url) as client:
                client.save()
            victim.kill()
            gone = _invalidate(there, keys, hit_ids)
            lost = _count(later, keys, gone)
            victim.restart()
            tallies = [lost]
            for _ in range(rounds):
                with made() as fresh:
                    tallies += [_count(cache, keys, gone) for cache in (there, later, fresh)]
                pause()
            first_copy = shard_of(there)
            on_the_shard = sum(key in gone and first_copy(key) == name for key in keys)
    last = tallies[-1]
    return Returned(
        asked=len(keys) * len(tallies),
        on_the_shard=on_the_shard,
        served_invalidated=sum(tally.invalidated for tally in tallies),
        served_right=last.right,
        kept=len(keys) - len(gone),
        errors=sum(tally.errors for tally in tallies),
    )


def _made(nodes: Sequence[RedisNode], keys: Sequence[Key], replicas: int, cooldown_s: float) -> SemanticCache:
    return made_cache([node.url for node in nodes], keys, replicas=replicas, cooldown_s=cooldown_s)


@dataclass(slots=True)
class _Tally:
    right: int = 0
    invalidated: int = 0
    errors: int = 0


def _count(cache: SemanticCache, keys: Sequence[Key], gone: set[Key]) -> _Tally:
    """Look every question up, and store nothing."""
    tally = _Tally()
    for key in keys:
        try:
            result = cache.lookup(key.request(cache))
        except Exception:  # a cache must raise nothing at all: whatever it is, it is counted
            tally.errors += 1
            continue
        if isinstance(result, Hit):
            tally.invalidated += key in gone
            tally.right += key not in gone and result.answer.text == key.answer()
    return tally


def _hit_ids(cache: SemanticCache, keys: Sequence[Key]) -> dict[Key, str]:
    found = {key: cache.lookup(key.request(cache)) for key in keys}
    return {key: result.hit_id for key, result in found.items() if isinstance(result, Hit)}


def _invalidate(cache: SemanticCache, keys: Sequence[Key], hit_ids: dict[Key, str]) -> set[Key]:
    """Take answers away: of one tenant's, those with a tag; of the other's, every tenth by feedback, and all at last.

    Returns what must not be served any more.
    """
    tagged = {key for key in keys if key.prompt % 3 == 0}
    judged = {key for number, key in enumerate(keys) if number % 10 == 0}
    for prompt in sorted({key.prompt for key in tagged}):
        cache.invalidate(tag=f"prompt-{prompt}")
    for key in keys:
        if key in judged and key in hit_ids:
            cache.feedback(hit_ids[key], correct=False)
    cache.invalidate(tenant="t1")
    return tagged | judged | {key for key in keys if key.tenant == "t1"}

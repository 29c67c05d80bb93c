"""Requests of one key that are under way at once share one model call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_semroute import cached

from semroute import SemanticCache
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.clock import FakeClock
from semroute.testing.leases import FakeLeases, LendingStore

ASKED = "What are cats?"
MakeCache = Callable[..., SemanticCache]


def tier(message: BaseMessage) -> str:
    return str(message.response_metadata["semroute"]["tier"])


class Gate:
    """Holds a model back until it is opened, and says when it was reached."""

    def __init__(self, error: Exception | None = None) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.error = error

    def __call__(self, *_: object) -> None:
        self.reached.set()
        assert self.opened.wait(20)
        if self.error is not None:
            error, self.error = self.error, None
            raise error


def joined(cache: SemanticCache, followers: int) -> None:
    """Wait until so many callers wait for the one flight of a cache."""
    (flight,) = cache.flights._flights.values()
    while len(flight._answer._condition._waiters) + len(flight._answer._done_callbacks) < followers:
        threading.Event().wait(0.001)


def test_a_batch_of_duplicates_is_one_call(parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache)
    answers = model.batch([ASKED] * 8)
    assert len(parrot.calls) == 1
    assert {answer.text for answer in answers} == {f"You said: {ASKED}"}
    assert len({answer.id for answer in answers}) == 8


async def test_an_asynchronous_batch_of_duplicates_is_one_call(parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache)
    answers = await model.abatch([ASKED] * 8)
    assert len(parrot.calls) == 1
    assert sorted(tier(answer) for answer in answers) == ["l1"] * 7 + ["miss"]


def test_threads_that_follow_get_fresh_objects_and_no_usage(parrot: Any, cache: SemanticCache) -> None:
    parrot.before = gate = Gate()
    model = cached(parrot, cache)
    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(model.invoke, ASKED)
        assert gate.reached.wait(20)
        followers = [pool.submit(model.invoke, ASKED) for _ in range(3)]
        joined(cache, 3)
        gate.opened.set()
        answers = [follower.result(20) for follower in followers]
    assert len(parrot.calls) == 1
    assert leader.result().usage_metadata["total_tokens"] == 8
    assert [answer.usage_metadata["total_tokens"] for answer in answers] == [0, 0, 0]
    assert answers[0].response_metadata["semroute"]["why"] == ["the same request was under way"]


def test_followers_of_a_leader_that_fails_call_for_themselves(parrot: Any, cache: SemanticCache) -> None:
    parrot.before = gate = Gate(RuntimeError("the provider is down"))
    model = cached(parrot, cache)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(model.invoke, ASKED)
        assert gate.reached.wait(20)
        follower = pool.submit(model.invoke, ASKED)
        joined(cache, 1)
        gate.opened.set()
        assert follower.result(20).text == f"You said: {ASKED}"
        with pytest.raises(RuntimeError, match="the provider is down"):
            leader.result(20)
    assert len(parrot.calls) == 2
    assert len(cache.flights) == 0


def test_followers_of_an_answer_that_is_not_admitted_call_for_themselves(parrot: Any, cache: SemanticCache) -> None:
    parrot.before = gate = Gate()
    parrot.replies[ASKED] = "I'm sorry, but I can't help with that."
    model = cached(parrot, cache)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(model.invoke, ASKED)
        assert gate.reached.wait(20)
        follower = pool.submit(model.invoke, ASKED)
        joined(cache, 1)
        gate.opened.set()
        assert tier(follower.result(20)) == "miss"
        assert tier(leader.result(20)) == "miss"
    assert len(parrot.calls) == 2


async def test_followers_of_a_leader_that_is_cancelled_call_for_themselves(parrot: Any, cache: SemanticCache) -> None:
    parrot.before = gate = Gate()
    model = cached(parrot, cache)
    leader = asyncio.create_task(model.ainvoke(ASKED))
    await asyncio.to_thread(gate.reached.wait, 20)
    follower = asyncio.create_task(model.ainvoke(ASKED))
    await asyncio.to_thread(joined, cache, 1)
    leader.cancel()
    gate.opened.set()
    assert (await follower).text == f"You said: {ASKED}"
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert len(cache.flights) == 0


def test_a_leader_on_another_event_loop_is_followed(parrot: Any, cache: SemanticCache) -> None:
    parrot.before = gate = Gate()
    model = cached(parrot, cache)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(lambda: asyncio.run(model.ainvoke(ASKED)))
        assert gate.reached.wait(20)
        follower = pool.submit(lambda: asyncio.run(model.ainvoke(ASKED)))
        joined(cache, 1)
        gate.opened.set()
        assert (tier(leader.result(20)), tier(follower.result(20))) == ("miss", "l1")
    assert len(parrot.calls) == 1


def test_a_follower_waits_no_longer_than_its_deadline(parrot: Any, make_cache: MakeCache) -> None:
    cache = make_cache(flight_deadline_s=0.05)
    gate = Gate()
    parrot.before = lambda words: gate() if not gate.reached.is_set() else None
    model = cached(parrot, cache)
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(model.invoke, ASKED)
        assert gate.reached.wait(20)
        assert tier(model.invoke(ASKED)) == "miss"
        assert not leader.done()
        gate.opened.set()
        assert leader.result(20).text == f"You said: {ASKED}"


def test_a_follower_of_a_stream_gets_a_stream(streaming_parrot: Any, cache: SemanticCache) -> None:
    streaming_parrot.between = gate = Gate()
    model = cached(streaming_parrot, cache, replay_chunk_chars=8)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(lambda: [chunk.text for chunk in model.stream(ASKED)])
        assert gate.reached.wait(20)
        follower = pool.submit(lambda: [chunk.text for chunk in model.stream(ASKED)])
        joined(cache, 1)
        gate.opened.set()
        assert "".join(leader.result(20)) == f"You said: {ASKED}"
        assert follower.result(20) == ["You said", ": What a", "re cats?", ""]
    assert len(streaming_parrot.calls) == 1


async def test_whoever_reads_a_stream_never_waits_for_itself(streaming_parrot: Any, cache: SemanticCache) -> None:
    model = cached(streaming_parrot, cache)
    begun, abegun = model.stream(ASKED), model.astream("What are dogs?")
    next(begun)
    await anext(abegun)
    asked_at = time.perf_counter()
    assert tier(model.invoke(ASKED)) == "miss"
    assert tier(model.invoke("What are dogs?")) == "miss"
    assert time.perf_counter() - asked_at < cache.settings.flight_deadline_s / 3
    begun.close()
    await abegun.aclose()


async def test_a_task_that_reads_a_stream_never_waits_for_itself(streaming_parrot: Any, cache: SemanticCache) -> None:
    model = cached(streaming_parrot, cache)
    begun = model.astream(ASKED)
    await anext(begun)
    async with asyncio.timeout(10):
        assert tier(await model.ainvoke(ASKED)) == "miss"
    await begun.aclose()


def test_calls_of_two_tenants_never_share_a_flight(parrot: Any, cache: SemanticCache) -> None:
    import semroute

    parrot.before = gate = Gate()
    model = cached(parrot, cache)

    def ask(tenant: str) -> BaseMessage:
        with semroute.scope(tenant=tenant):
            return model.invoke(ASKED)

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(ask, tenant) for tenant in ("acme", "other")]
        while len(parrot.calls) < 2:
            threading.Event().wait(0.001)
        gate.opened.set()
        assert [tier(answer.result(20)) for answer in answers] == ["miss", "miss"]


def test_an_answer_in_the_background_is_shared_too(parrot: Any, make_cache: MakeCache) -> None:
    cache = make_cache(write="background")
    parrot.before = gate = Gate()
    model = cached(parrot, cache)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(model.invoke, ASKED)
        assert gate.reached.wait(20)
        follower = pool.submit(model.invoke, ASKED)
        joined(cache, 1)
        gate.opened.set()
        assert (tier(leader.result(20)), tier(follower.result(20))) == ("miss", "l1")
    assert len(parrot.calls) == 1


def make_processes(make_cache: MakeCache, clock: FakeClock) -> tuple[FakeLeases, list[SemanticCache]]:
    """Return caches as two processes have them: of one store, which lends keys."""
    leases = FakeLeases(clock)
    store = LendingStore(EmbeddedStore("memory://"), leases)
    return leases, [make_cache(store, flight_deadline_s=20.0) for _ in range(2)]


def followed(leases: FakeLeases) -> None:
    """Wait until a second process has begun to wait for the first."""
    ends_at = time.monotonic() + 20
    while leases.asked < 3:
        assert time.monotonic() < ends_at
        threading.Event().wait(0.001)


@pytest.mark.parametrize("is_async", [False, True])
def test_another_process_takes_the_answer_of_the_one_that_leads(
    parrot: Any, make_cache: MakeCache, clock: FakeClock, is_async: bool
) -> None:
    leases, (one, other) = make_processes(make_cache, clock)
    parrot.before = gate = Gate()
    follow = cached(parrot, other)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(cached(parrot, one).invoke, ASKED)
        assert gate.reached.wait(20)
        asked = (lambda: asyncio.run(follow.ainvoke(ASKED))) if is_async else (lambda: follow.invoke(ASKED))
        follower = pool.submit(asked)
        followed(leases)
        gate.opened.set()
        assert tier(follower.result(20)) == "l1"
    assert tier(leader.result()) == "miss"
    assert len(parrot.calls) == 1


def test_where_the_leading_process_fails_another_calls_for_itself(
    parrot: Any, make_cache: MakeCache, clock: FakeClock
) -> None:
    leases, (one, other) = make_processes(make_cache, clock)
    parrot.before = gate = Gate(ValueError("no luck"))
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(cached(parrot, one).invoke, ASKED)
        assert gate.reached.wait(20)
        follower = pool.submit(cached(parrot, other).invoke, ASKED)
        followed(leases)
        gate.opened.set()
        assert tier(follower.result(20)) == "miss"
    with pytest.raises(ValueError, match="no luck"):
        leader.result()


def test_a_stream_leads_among_processes_until_its_last_chunk(
    streaming_parrot: Any, make_cache: MakeCache, clock: FakeClock
) -> None:
    leases, (one, other) = make_processes(make_cache, clock)
    stream = cached(streaming_parrot, one).stream(ASKED)
    next(stream)
    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(cached(streaming_parrot, other).invoke, ASKED)
        followed(leases)
        assert not follower.done()
        for _ in stream:
            pass
        assert tier(follower.result(20)) == "l1"

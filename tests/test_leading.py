"""Single flight between caches that share a store: who leads, who waits, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from semroute import Request, SemanticCache
from semroute.entry import Address
from semroute.leading import LEASE_S, Lead
from semroute.request import Digests
from semroute.result import Hit, NotStored
from semroute.stores import Claim, Lease
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.clock import FakeClock
from semroute.testing.entries import make_address
from semroute.testing.leases import FakeLeases, LendingStore
from semroute.testing.store_suite import LeaseSuite

MakeCache = Callable[..., SemanticCache]
ASKED = Request.of("What are cats?")
SHORT_S, LONG_S = 0.05, 30.0


class Fleet:
    """A store that lends keys, and the caches of several processes on it."""

    def __init__(self, make_cache: MakeCache, clock: FakeClock) -> None:
        self.leases = FakeLeases(clock)
        self.store = LendingStore(EmbeddedStore("memory://"), self.leases)
        self._make = make_cache

    def cache(self, **settings: Any) -> SemanticCache:
        return self._make(self.store, **{"flight_deadline_s": LONG_S, **settings})

    def asked(self, times: int) -> None:
        """Wait until leases were asked for so often: a follower has begun to wait."""
        ends_at = time.monotonic() + LONG_S
        while self.leases.asked < times:
            assert time.monotonic() < ends_at
            threading.Event().wait(0.001)

    def landed(self) -> None:
        """Wait until the store has heard of the lead's end."""
        address = address_of(self.store)
        while self.leases.holder(address) is not None:
            threading.Event().wait(0.001)


def address_of(store: LendingStore) -> Address:
    return Digests(store.open(), ()).address(ASKED)


@pytest.fixture
def fleet(make_cache: MakeCache, clock: FakeClock) -> Fleet:
    return Fleet(make_cache, clock)


class SyncLead:
    async def lead(self, cache: SemanticCache) -> Hit | Lead | None:
        return await asyncio.to_thread(cache.lead, ASKED)


class AsyncLead:
    async def lead(self, cache: SemanticCache) -> Hit | Lead | None:
        return await cache.alead(ASKED)


@pytest.fixture(params=[SyncLead, AsyncLead], ids=["sync", "async"])
def way(request: pytest.FixtureRequest) -> SyncLead | AsyncLead:
    return request.param()


async def test_the_first_leads_and_the_other_gets_its_answer(fleet: Fleet, way: SyncLead | AsyncLead) -> None:
    one, other = fleet.cache(), fleet.cache()
    lead = await way.lead(one)
    assert isinstance(lead, Lead)
    following = asyncio.create_task(way.lead(other))
    await asyncio.to_thread(fleet.asked, 3)
    assert not following.done()
    one.land(lead, one.update(ASKED, "Small tigers."))
    hit = await following
    assert isinstance(hit, Hit)
    assert (hit.answer.text, hit.tier) == ("Small tigers.", "l1")


async def test_an_answer_that_was_stored_before_the_lease_was_free_is_found(
    fleet: Fleet, way: SyncLead | AsyncLead
) -> None:
    one, other = fleet.cache(), fleet.cache()
    one.update(ASKED, "Small tigers.")
    assert isinstance(await way.lead(other), Hit)
    fleet.landed()


async def test_an_answer_is_taken_though_its_leader_died_before_it_said_so(
    fleet: Fleet, way: SyncLead | AsyncLead
) -> None:
    fleet.leases.acquire(address_of(fleet.store), "dead", ttl_s=LONG_S)
    one = fleet.cache()
    following = asyncio.create_task(way.lead(one))
    await asyncio.to_thread(fleet.asked, 3)
    fleet.cache().update(ASKED, "Small tigers.")
    assert isinstance(await following, Hit)


async def test_where_the_answer_was_not_admitted_followers_call_for_themselves_at_once(
    fleet: Fleet, way: SyncLead | AsyncLead
) -> None:
    one, other = fleet.cache(), fleet.cache()
    lead = await way.lead(one)
    assert isinstance(lead, Lead)
    following = [asyncio.create_task(way.lead(other)) for _ in range(3)]
    await asyncio.to_thread(fleet.asked, 5)
    one.land(lead, NotStored("it is a refusal"))
    assert await asyncio.gather(*following) == [None, None, None]
    assert await way.lead(one) is None, "nor does whoever comes next wait"


async def test_when_a_leader_dies_one_follower_leads_in_its_place(
    fleet: Fleet, way: SyncLead | AsyncLead, clock: FakeClock
) -> None:
    fleet.leases.acquire(address_of(fleet.store), "dead", ttl_s=LEASE_S)
    caches = [fleet.cache(), fleet.cache()]
    following = {asyncio.create_task(way.lead(cache)) for cache in caches}
    await asyncio.to_thread(fleet.asked, 5)
    clock.advance(LEASE_S)
    done, waiting = await asyncio.wait(following, return_when=asyncio.FIRST_COMPLETED)
    lead = done.pop().result()
    assert isinstance(lead, Lead)
    assert not done
    caches[0].land(lead, caches[0].update(ASKED, "Small tigers."))
    assert isinstance(await waiting.pop(), Hit)


async def test_a_follower_calls_for_itself_when_its_deadline_has_passed(
    fleet: Fleet, way: SyncLead | AsyncLead
) -> None:
    fleet.leases.acquire(address_of(fleet.store), "another", ttl_s=LONG_S)
    assert await way.lead(fleet.cache(flight_deadline_s=SHORT_S)) is None


async def test_a_store_that_lends_nothing_for_the_moment_costs_nobody_anything(
    fleet: Fleet, way: SyncLead | AsyncLead
) -> None:
    cache = fleet.cache()
    fleet.leases.is_down = True
    assert [await way.lead(cache) for _ in range(5)] == [None] * 5
    assert fleet.leases.asked == 3, "its breaker has opened"
    assert cache.stats().failures == {"lease": 3}
    assert cache.lookup(ASKED).explanation.failures == (), "the store itself is not blamed"


async def test_without_a_store_that_lends_and_without_a_deadline_nobody_waits(
    fleet: Fleet, way: SyncLead | AsyncLead, make_cache: MakeCache
) -> None:
    assert await way.lead(make_cache()) is None
    assert await way.lead(fleet.cache(flight_deadline_s=0)) is None
    assert fleet.leases.asked == 0


async def test_nobody_waits_for_an_answer_that_shadow_mode_would_not_serve(
    fleet: Fleet, way: SyncLead | AsyncLead, tmp_path: Any
) -> None:
    cache = fleet.cache(mode="shadow", shadow_log=str(tmp_path / "shadow.db"))
    assert await way.lead(cache) is None
    assert fleet.leases.asked == 0


async def test_a_follower_that_is_cancelled_gives_back_what_it_may_have_got(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = fleet.cache()
    entered = asyncio.Event()

    async def acquire(*arguments: Any, **named: Any) -> Claim:
        fleet.leases.acquire(*arguments, **named)
        entered.set()
        await asyncio.sleep(LONG_S)
        return Claim.OURS

    monkeypatch.setattr(fleet.store, "aacquire", acquire)
    task = asyncio.create_task(cache.alead(ASKED))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(fleet.landed)


def test_a_lead_is_renewed_while_the_model_works_and_for_no_longer_than_followers_wait(
    fleet: Fleet, clock: FakeClock
) -> None:
    cache = fleet.cache()
    leading = cache._leading
    assert leading is not None
    leading._clock = clock
    lead = cache.lead(ASKED)
    assert isinstance(lead, Lead)
    for _ in range(5):
        clock.advance(LEASE_S - 1)
        leading.renew_all()
        assert fleet.leases.holder(lead.address) == lead.token
    clock.advance(LONG_S)
    leading.renew_all()
    assert len(leading) == 0
    assert fleet.leases.holder(lead.address) is None
    cache.land(lead, None)  # late, and of no effect


def test_a_renewal_that_fails_is_tried_again_and_one_that_is_refused_is_not(fleet: Fleet, clock: FakeClock) -> None:
    cache = fleet.cache()
    lead, leading = cache.lead(ASKED), cache._leading
    assert isinstance(lead, Lead)
    assert leading is not None
    fleet.leases.is_down = True
    leading.renew_all()
    assert len(leading) == 1
    fleet.leases.is_down = False
    clock.advance(LEASE_S)
    leading.renew_all()
    assert len(leading) == 0


def test_an_update_in_the_background_ends_the_lead_when_it_is_stored(fleet: Fleet) -> None:
    one, other = fleet.cache(write="background"), fleet.cache()
    lead = one.lead(ASKED)
    assert isinstance(lead, Lead)
    held: Future[None] = Future()
    one._writer.offer(held.result)
    one.land(lead, one.update(ASKED, "Small tigers."))
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(other.lead, ASKED)
        fleet.asked(3)
        assert not following.done()
        held.set_result(None)
        assert isinstance(following.result(LONG_S), Hit)


class TestFakeLeases(LeaseSuite):
    @pytest.fixture
    def lender(self, clock: FakeClock) -> Lease:
        return FakeLeases(clock)

    @pytest.fixture
    def let_pass(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance


class LeaseMachine(RuleBasedStateMachine):
    """Whatever holders do, and however time goes by, a key has one holder at most, and is free again some day."""

    tokens = st.sampled_from(["a", "b", "c"])

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(0.0)
        self.leases = FakeLeases(self.clock)
        self.address = make_address("q")
        self.believes: dict[str, float] = {}
        """Until when each holder may take the lease for its own."""

    @rule(token=tokens, ttl_s=st.floats(0.1, 10))
    def acquire(self, token: str, ttl_s: float) -> None:
        if self.leases.acquire(self.address, token, ttl_s=ttl_s) is Claim.OURS:
            self.believes[token] = self.clock() + ttl_s

    @rule(token=tokens, ttl_s=st.floats(0.1, 10))
    def renew(self, token: str, ttl_s: float) -> None:
        if self.leases.renew(self.address, token, ttl_s=ttl_s):
            self.believes[token] = self.clock() + ttl_s

    @rule(token=tokens, declined_s=st.sampled_from([0.0, 2.0]))
    def release(self, token: str, declined_s: float) -> None:
        self.leases.release(self.address, token, declined_s=declined_s)
        self.believes.pop(token, None)

    @rule(seconds=st.floats(0.0, 6.0))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def there_is_one_holder_at_most(self) -> None:
        holders = [token for token, until in self.believes.items() if until > self.clock()]
        assert len(holders) <= 1
        assert holders == [token for token in (self.leases.holder(self.address),) if token is not None]

    def teardown(self) -> None:
        self.clock.advance(10.1)
        assert self.leases.acquire(self.address, "next", ttl_s=1) is Claim.OURS


LeaseMachine.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLeaseStates = LeaseMachine.TestCase


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "semroute-lease":
            thread.join(10)
            assert not thread.is_alive()

"""The drivers: they perform steps, turn failures into StepFailed, and leave alone what keeps failing."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from semroute.driver import Driver, told
from semroute.entry import Address, Candidate
from semroute.errors import RouterError, StoreError
from semroute.rehearsal import Recorder
from semroute.request import Request
from semroute.result import Verdict
from semroute.router.decision import RoutingDecision
from semroute.router.rules import RuleRouter
from semroute.steps import Embed, Get, Judge, Put, Route, Search, Step, StepFailed
from semroute.stores.embedded import EmbeddedStore
from semroute.telemetry import Event, FailureEvent, StateEvent
from semroute.testing.clock import FakeClock
from semroute.testing.embedders import FailingEmbedder, HashEmbedder
from semroute.testing.entries import make_address, make_entry
from semroute.testing.stores import FailingStore

MakeDriver = Callable[..., Driver]
GET = Get(make_address("q"))


class HeldEmbedder(HashEmbedder):
    """Embeds nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def embed(self, texts):
        self.may_go_on.wait()
        return super().embed(texts)


class Giving:
    """A router, a guard or an embedder that gives what it was told to, or raises it."""

    name = "odd"
    identity = "odd"

    def __init__(self, what: object) -> None:
        self.what = what

    def route(self, request, vector):
        return self._give()

    def check(self, query, candidate):
        return self._give()

    def fits(self, text: str) -> bool:
        return True

    def embed(self, texts):
        return self._give()

    def _give(self):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def make_driver(events: list[Event], clock: FakeClock) -> Iterator[MakeDriver]:
    made: list[Driver] = []

    def make(store=None, embedder=None, router=None, deadline_s: float = 30.0) -> Driver:
        driver = Driver(
            FailingStore(EmbeddedStore("memory://", clock=clock)) if store is None else store,
            HashEmbedder() if embedder is None else embedder,
            RuleRouter() if router is None else router,
            events.append,
            deadline_s,
            clock,
            breaker_clock=clock,
        )
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.close()


def one(step: Step):
    """Return a flow of one step, which returns what it got, or the failure that was thrown into it."""
    try:
        return (yield step)
    except StepFailed as failure:
        return failure


@pytest.fixture(params=["sync", "async"])
def perform(request: pytest.FixtureRequest):
    """Perform one step in either world."""

    async def act(driver: Driver, step: Step):
        return driver.drive(one(step)) if request.param == "sync" else await driver.adrive(one(step))

    return act


async def test_steps_reach_store_embedder_router_and_guard(make_driver: MakeDriver, perform, clock: FakeClock) -> None:
    driver = make_driver()
    entry = make_entry("q", vector=None, expires_at=clock() + 60)
    assert await perform(driver, Put(entry)) is True
    assert (await perform(driver, GET)).entry == entry
    vector, identity = await perform(driver, Embed("some words"))
    assert (vector.shape, identity) == ((64,), "hash-64-0")
    assert await perform(driver, Search(make_address("q"), vector, identity, 5)) == []
    assert isinstance(await perform(driver, Route(Request.of("q"), vector, "e")), RoutingDecision)
    verdict = Verdict("odd", passed=True)
    assert await perform(driver, Judge((Giving(verdict),), "q", Candidate("e", "q", 1.0))) == (verdict,)


async def test_a_text_that_does_not_fit_has_no_vector(make_driver: MakeDriver, perform) -> None:
    assert await perform(make_driver(embedder=HashEmbedder(max_words=2)), Embed("three words here")) is None


@pytest.mark.parametrize(
    ("step", "parts", "reason"),
    [
        (Route(Request.of("q"), None, None), {"router": Giving(RouterError("no idea"))}, "RouterError: no idea"),
        (Route(Request.of("q"), None, None), {"router": Giving(None)}, "router failed: TypeError: it gave None"),
        (Embed("q"), {"embedder": FailingEmbedder()}, "EmbedderError: the embedder is broken"),
        (Embed("q"), {"embedder": Giving([])}, "embedder failed: IndexError"),
        (Embed("q"), {"embedder": Giving(np.full((1, 4), math.nan))}, "it must be 1"),
        (Embed("q"), {"embedder": Giving(np.full((1, 4), 3.0))}, "has length 6: it must be 1"),
        (Embed("q"), {"embedder": Giving(np.zeros((1, 4)))}, "has length 0: it must be 1"),
    ],
)
async def test_whatever_a_part_raises_or_gives_amiss_is_a_failed_step(
    make_driver: MakeDriver, perform, events, step, parts, reason: str
) -> None:
    failure = await perform(make_driver(**parts), step)
    assert isinstance(failure, StepFailed)
    assert reason in str(failure)
    assert [type(event) for event in events] == [FailureEvent]


async def test_the_first_guard_that_refuses_ends_the_questioning(make_driver: MakeDriver, perform) -> None:
    consent, refusal = Verdict("one", passed=True), Verdict("two", passed=False, why="a ≠ b")
    guards = (Giving(consent), Giving(refusal), Giving(consent))
    assert await perform(make_driver(), Judge(guards, "q", Candidate("e", "q", 1.0))) == (consent, refusal)


@pytest.mark.parametrize(
    ("given", "reason"),
    [(ValueError("odd"), "unverifiable: it failed: ValueError: odd"), (True, "it gave True and not a Verdict")],
)
async def test_a_guard_that_fails_leaves_the_candidate_unverified_which_refuses_it(
    make_driver: MakeDriver, perform, events, given, reason: str
) -> None:
    (verdict,) = await perform(make_driver(), Judge((Giving(given),), "q", Candidate("e", "q", 1.0)))
    assert not verdict.passed
    assert reason in verdict.why
    assert [type(event) for event in events] == [FailureEvent]


async def test_a_store_that_fails_is_a_failed_step_with_the_reason(make_driver: MakeDriver, perform) -> None:
    store = FailingStore(EmbeddedStore("memory://"), frozenset({"get"}), message="the disk is gone")
    assert str(await perform(make_driver(store), GET)) == "store failed: StoreError: get: the disk is gone"


async def test_a_part_that_keeps_failing_is_left_alone_and_tried_again_after_the_cooldown(
    make_driver: MakeDriver, perform, clock: FakeClock, events: list[Event]
) -> None:
    store = FailingStore(EmbeddedStore("memory://", clock=clock), frozenset({"get"}))
    driver = make_driver(store)
    failures = [await perform(driver, GET) for _ in range(10)]
    assert store.calls["get"] == 3
    assert "left alone after failures: StoreError: get: it is broken" in str(failures[-1])
    clock.advance(5)
    await perform(driver, GET)
    assert store.calls["get"] == 4
    store.failing = frozenset()
    clock.advance(5)
    assert (await perform(driver, GET)).entry is None
    assert [event.state for event in events if isinstance(event, StateEvent)] == [
        "open", "half_open", "open", "half_open", "closed",
    ]  # fmt: skip


async def test_one_part_that_is_left_alone_does_not_touch_the_others(make_driver: MakeDriver, perform) -> None:
    driver = make_driver(embedder=FailingEmbedder())
    for _ in range(5):
        await perform(driver, Embed("q"))
    assert isinstance(await perform(driver, Route(Request.of("q"), None, None)), RoutingDecision)
    assert (await perform(driver, GET)).entry is None


async def test_an_embedder_that_dawdles_is_waited_for_until_the_deadline_only(make_driver, perform, events) -> None:
    embedder = HeldEmbedder()
    driver = make_driver(embedder=embedder, deadline_s=0.02)
    try:
        failures = [await perform(driver, Embed("q")) for _ in range(4)]
    finally:
        embedder.may_go_on.set()
    assert str(failures[0]) == "embedder failed: TimeoutError: no vector within 0.02 s"
    assert "left alone" in str(failures[3])
    assert [event.state for event in events if isinstance(event, StateEvent)] == ["open"]


async def test_a_caller_that_is_cancelled_while_it_waits_is_no_failure_of_the_part(make_driver, events) -> None:
    embedder = HeldEmbedder()
    driver = make_driver(embedder=embedder)
    waiting = asyncio.create_task(driver.adrive(one(Embed("q"))))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    embedder.may_go_on.set()
    assert events == []


async def test_embedding_never_blocks_the_event_loop(make_driver: MakeDriver) -> None:
    embedder = HeldEmbedder()
    driver = make_driver(embedder=embedder)
    waiting = asyncio.create_task(driver.adrive(one(Embed("q"))))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    embedder.may_go_on.set()
    vector, _ = await waiting
    assert vector.shape == (64,)


def test_embedding_works_where_no_thread_can_be_started_any_more(make_driver: MakeDriver) -> None:
    driver = make_driver()
    driver._workers.pool().shutdown()
    vector, _ = driver.drive(one(Embed("q")))
    assert vector.shape == (64,)


def test_a_rehearsal_reads_for_real_and_writes_nothing(make_driver: MakeDriver, clock: FakeClock) -> None:
    store = FailingStore(EmbeddedStore("memory://", clock=clock))
    recorder = Recorder(make_driver(store))
    entry = make_entry("q", vector=None, expires_at=clock() + 60)
    assert recorder.drive(one(Put(entry))) is True
    assert recorder.drive(one(GET)).entry is None
    assert store.calls["put"] == 0
    assert [(record.name, record.outcome) for record in recorder.records] == [
        ("put", "not written: this is a rehearsal"),
        ("get", "nothing"),
    ]


def test_a_rehearsal_notes_a_step_that_failed(make_driver: MakeDriver) -> None:
    recorder = Recorder(make_driver(FailingStore(EmbeddedStore("memory://"), frozenset({"get"}))))
    assert isinstance(recorder.drive(one(GET)), StepFailed)
    assert recorder.records[0].outcome == "store failed: StoreError: get: it is broken"


def test_what_a_part_must_not_swallow_is_not_swallowed(make_driver: MakeDriver) -> None:
    class Interrupting(Giving):
        def _give(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_driver(router=Interrupting(None)).drive(one(Route(Request.of("q"), None, None)))


def test_an_error_is_told_in_one_line() -> None:
    assert told(StoreError("the disk is full")) == "StoreError: the disk is full"
    assert told(ValueError()) == "ValueError"


def test_opening_a_store_that_fails_is_a_failed_step(make_driver: MakeDriver, caplog) -> None:
    driver = make_driver(FailingStore(EmbeddedStore("memory://"), frozenset({"open"})))
    with caplog.at_level(logging.DEBUG, "semroute"), pytest.raises(StepFailed, match="open: it is broken"):
        driver.open()


async def test_the_exact_address_is_what_the_store_is_asked_for(make_driver: MakeDriver, perform) -> None:
    found = await perform(make_driver(), Get(Address("s", "p", "nobody")))
    assert (found.entry, found.alias) == (None, None)

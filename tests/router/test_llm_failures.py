"""A router's model that fails, hangs or will not end: every request still gets a decision, and in time."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from semroute import Request
from semroute.errors import RouterError
from semroute.testing.clock import FakeClock

from .llm_by_hand import (
    GOOD,
    PATIENT_S,
    QUESTION,
    Decide,
    Script,
    WaitingScript,
    check_stand_in,
    each_face,
    each_way,
    on_the_loop,
    router_of,
)

if TYPE_CHECKING:
    pass


class Stuck:
    """A model that does not answer before it is let go."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.calls = 0

    def __call__(self, system: str, user: str, schema: type[BaseModel]) -> object:
        self.calls += 1
        self.free.wait(30)
        return "hm"


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    model = Stuck()
    yield model
    model.free.set()


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (ConnectionError("the line is dead"), "ConnectionError: the line is dead"),
            (TimeoutError("socket"), "TimeoutError: socket"),
            (StopIteration(), "StopIteration"),
            (RouterError("hm"), "RouterError: hm"),
            (RecursionError(), "RecursionError"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    @each_way
    async def test_a_model_that_fails_ends_in_the_fallbacks_decision(
        self, decide: Decide, script: type[Script], error: Exception, told: str
    ) -> None:
        decision = await decide(router_of(script(error)), QUESTION)
        check_stand_in(decision)
        assert told in decision.reason

    async def test_a_task_that_gives_up_by_itself_does_not_cancel_the_caller(
        self,
    ) -> None:
        decision = await on_the_loop(router_of(WaitingScript(asyncio.CancelledError())), QUESTION)
        check_stand_in(decision)
        assert "CancelledError: it gave up by itself" in decision.reason

    @each_face
    async def test_a_missed_deadline_ends_in_the_fallbacks_decision(self, decide: Decide, stuck: Stuck) -> None:
        decision = await decide(router_of(stuck, deadline_s=0.01), QUESTION)
        check_stand_in(decision)
        assert decision.reason == "the router's model did not answer within 0.01 s; decided by rules instead"

    async def test_a_task_that_will_not_be_cancelled_is_left_behind(
        self,
    ) -> None:
        free, left = asyncio.Event(), asyncio.Event()

        async def stubborn() -> object:
            try:
                await free.wait()
            except asyncio.CancelledError:
                await free.wait()
            left.set()
            raise ValueError("nobody hears this")

        decision = await on_the_loop(router_of(WaitingScript(stubborn), deadline_s=0.01), QUESTION)
        check_stand_in(decision)
        free.set()
        await asyncio.wait_for(left.wait(), PATIENT_S)

    async def test_a_caller_that_is_cancelled_takes_its_question_back(
        self,
    ) -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def endless() -> object:
            begun.set()
            try:
                return await asyncio.Event().wait()
            finally:
                ended.set()

        asking = asyncio.create_task(on_the_loop(router_of(WaitingScript(endless)), QUESTION))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(ended.wait(), PATIENT_S)

    async def test_others_go_on_while_a_sync_model_is_waited_for(self, stuck: Stuck) -> None:
        asking = asyncio.create_task(on_the_loop(router_of(stuck), QUESTION))
        await asyncio.sleep(0)
        assert not asking.done()
        stuck.free.set()
        check_stand_in(await asking)

    @each_way
    async def test_nothing_is_repaired_when_the_time_is_up(
        self, decide: Decide, script: type[Script], clock: FakeClock
    ) -> None:
        def slow() -> object:
            clock.advance(PATIENT_S)
            return "hm"

        ask = script(slow, GOOD)
        decision = await decide(router_of(ask, clock=clock), QUESTION)
        check_stand_in(decision)
        assert "no time for a second reply" in decision.reason
        assert len(ask.asked) == 1

    @each_way
    async def test_a_model_that_keeps_failing_is_left_alone_for_a_while_and_that_is_logged_once(
        self,
        decide: Decide,
        script: type[Script],
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        ask = script(ConnectionError("down"))
        router = router_of(ask, clock=clock)
        with caplog.at_level(logging.INFO, logger="semroute"):
            for _ in range(10):
                check_stand_in(await decide(router, QUESTION))
            assert len(ask.asked) == 3
            ask.replies = [GOOD]
            clock.advance(3_600)
            assert (await decide(router, QUESTION)).origin == "llm"
        assert [record.getMessage() for record in caplog.records] == [
            "the router's model keeps failing and is left alone for a while: ConnectionError: down",
            "the router's model works again",
        ]

    def test_threads_that_were_let_go_are_started_again(
        self,
    ) -> None:
        router = router_of(Script(GOOD), remember=0)
        assert router.route(Request.of(QUESTION), None).origin == "llm"
        router.close()
        assert router.route(Request.of(QUESTION), None).origin == "llm"


class Silent:
    """A server that accepts every connection and never says a word."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.accepted.append(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self.accepted:
            connection.close()


class OverTheWire:
    """A model behind a port."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self, system: str, user: str, schema: type[BaseModel]) -> object:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/", timeout=30) as reply:
            return reply.read().decode()

    async def aask(self, system: str, user: str, schema: type[BaseModel]) -> object:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.close()


@each_face
async def test_a_model_that_hangs_costs_three_requests_their_deadline_and_not_every_one(
    silent: Silent, decide: Decide, clock: FakeClock
) -> None:
    router = router_of(OverTheWire(silent.port), deadline_s=0.05, clock=clock)
    decisions = [await decide(router, QUESTION) for _ in range(20)]
    for decision in decisions:
        check_stand_in(decision)
    reasons = [decision.reason.split(";")[0] for decision in decisions]
    assert reasons[:3] == ["the router's model did not answer within 0.05 s"] * 3
    assert set(reasons[3:]) == {
        "the router's model is left alone after failures: the router's model did not answer within 0.05 s"
    }
    assert len(silent.accepted) <= 3

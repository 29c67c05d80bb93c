"""Single flight: followers of a model call under way, and whatever may befall its leader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from semroute.calls.flights import Flights
from semroute.entry import Answer

ANSWER = Answer("a")
LONG_S = 30.0
SHORT_S = 0.02


def test_the_first_leads_and_the_others_follow() -> None:
    flights = Flights()
    flight, leads = flights.join("k")
    again, leads_too = flights.join("k")
    assert (leads, leads_too) == (True, False)
    assert again is flight
    assert flights.join("other")[1] is True
    assert len(flights) == 2


def test_a_flight_that_has_landed_is_forgotten() -> None:
    flights = Flights()
    flight, _ = flights.join("k")
    flight.land(ANSWER)
    assert len(flights) == 0
    assert flights.join("k")[1] is True


def test_a_follower_on_another_thread_takes_the_leaders_answer() -> None:
    flights, answers = Flights(), []
    flight, _ = flights.join("k")
    followed, _ = flights.join("k")
    follower = threading.Thread(target=lambda: answers.append(followed.wait(LONG_S)))
    follower.start()
    flight.land(ANSWER)
    follower.join()
    assert answers == [ANSWER]


def test_a_follower_of_a_landed_flight_gets_its_answer_at_once() -> None:
    flights = Flights()
    flight, _ = flights.join("k")
    follower, _ = flights.join("k")
    flight.land(ANSWER)
    assert follower.wait(0.0) == ANSWER


def test_a_leader_without_an_answer_to_share_sends_its_followers_to_the_model() -> None:
    flights = Flights()
    flight, _ = flights.join("k")
    follower, _ = flights.join("k")
    flight.land(None)
    assert follower.wait(LONG_S) is None


def test_a_leader_that_is_too_slow_costs_a_follower_its_deadline_only() -> None:
    flights = Flights()
    flights.join("k")
    assert flights.join("k")[0].wait(SHORT_S) is None


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_nobody_waits_for_a_stream_that_nobody_reads(is_async: bool) -> None:
    flight, _ = Flights().join("k")
    flight.is_idle = True
    if is_async:
        assert await flight.wait_async(LONG_S) is None
    else:
        assert flight.wait(LONG_S) is None
    flight.land(ANSWER)
    assert flight.wait(0.0) == await flight.wait_async(LONG_S) == ANSWER


def test_landing_twice_keeps_the_first_answer() -> None:
    flights = Flights()
    flight, _ = flights.join("k")
    flight.land(ANSWER)
    flight.land(None)
    assert flight.wait(0.0) == ANSWER


def test_a_late_landing_does_not_end_the_flight_of_a_later_leader() -> None:
    flights = Flights()
    old, _ = flights.join("k")
    old.land(None)
    new, _ = flights.join("k")
    old.land(ANSWER)
    assert flights.join("k") == (new, False)


async def test_followers_on_the_event_loop_wait_without_blocking_it() -> None:
    flights = Flights()
    flight, _ = flights.join("k")
    waiting = [asyncio.create_task(flights.join("k")[0].wait_async(LONG_S)) for _ in range(5)]
    await asyncio.sleep(0)
    flight.land(ANSWER)
    assert await asyncio.gather(*waiting) == [ANSWER] * 5


async def test_a_follower_that_joins_after_the_landing_is_not_left_waiting() -> None:
    flight, _ = Flights().join("k")
    flight.land(ANSWER)
    assert await flight.wait_async(LONG_S) == ANSWER


async def test_an_async_follower_has_a_deadline_too() -> None:
    flight, _ = Flights().join("k")
    assert await flight.wait_async(SHORT_S) is None
    flight.land(ANSWER)


async def test_a_follower_that_is_cancelled_hurts_neither_leader_nor_other_followers() -> None:
    flights = Flights()
    flight, _ = flights.join("k")
    impatient, patient = (asyncio.create_task(flight.wait_async(LONG_S)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    flight.land(ANSWER)
    assert impatient.cancelled()
    assert await patient == ANSWER


async def test_a_leader_that_is_cancelled_and_lands_empty_frees_its_followers() -> None:
    flights, has_begun = Flights(), asyncio.Event()

    async def lead() -> None:
        flight, _ = flights.join("k")
        try:
            has_begun.set()
            await asyncio.Event().wait()
        finally:
            flight.land(None)

    leader = asyncio.create_task(lead())
    await has_begun.wait()
    follower = asyncio.create_task(flights.join("k")[0].wait_async(LONG_S))
    await asyncio.sleep(0)
    leader.cancel()
    assert await follower is None
    assert len(flights) == 0


async def test_a_leader_on_another_event_loop_serves_a_follower_on_this_one() -> None:
    flights = Flights()
    has_begun, may_land = threading.Event(), threading.Event()

    async def lead() -> None:
        flight, _ = flights.join("k")
        has_begun.set()
        await asyncio.to_thread(may_land.wait)
        flight.land(ANSWER)

    leader = threading.Thread(target=lambda: asyncio.run(lead()))
    leader.start()
    await asyncio.to_thread(has_begun.wait)
    follower = asyncio.create_task(flights.join("k")[0].wait_async(LONG_S))
    await asyncio.sleep(0)
    may_land.set()
    assert await follower == ANSWER
    await asyncio.to_thread(leader.join)


def test_a_follower_whose_loop_has_ended_does_not_break_the_landing() -> None:
    flight, _ = Flights().join("k")
    assert asyncio.run(flight.wait_async(SHORT_S)) is None
    flight.land(ANSWER)
    assert flight.wait(0.0) == ANSWER


def test_a_forked_child_leads_for_itself_and_leaves_the_parents_flights_alone(run_python: Callable[..., str]) -> None:
    script = """
import os
from semroute.calls.flights import Flights
flights = Flights()
flight, leads = flights.join("k")
child = os.fork()
if child == 0:
    os._exit(0 if flights.join("k")[1] and len(flights) == 1 else 1)
print(os.waitpid(child, 0)[1], flights.join("k")[1])
"""
    assert run_python(script) == "0 False"

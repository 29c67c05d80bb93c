"""Opening a store for its digests: once for all who ask at once, and again after it failed or was closed."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from semroute.keyring import Keyring
from semroute.steps import StepFailed

KEY = b"k" * 32


class SlowDoor:
    """A driver whose store takes a moment to open; it counts, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.opened = 0
        self._failures = failures
        self.may_open = threading.Event()

    def open(self) -> bytes:
        self.may_open.wait(5)
        return self._opened()

    async def aopen(self) -> bytes:
        await asyncio.sleep(0)
        return self._opened()

    def _opened(self) -> bytes:
        self.opened += 1
        if self.opened <= self._failures:
            raise StepFailed("the store is away")
        return KEY


def ring(door: SlowDoor) -> Keyring:
    return Keyring(door, door, ())


def test_threads_that_ask_at_once_open_it_once() -> None:
    door = SlowDoor()
    keyring = ring(door)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(keyring.open) for _ in range(8)]
        door.may_open.set()
        assert len({id(each.result()) for each in asked}) == 1
    assert door.opened == 1


async def test_tasks_that_ask_at_once_open_it_once() -> None:
    door = SlowDoor()
    keyring = ring(door)
    assert len({id(digests) for digests in await asyncio.gather(*[keyring.aopen() for _ in range(64)])}) == 1
    assert door.opened == 1


def test_every_loop_may_ask() -> None:
    door = SlowDoor()
    keyring = ring(door)
    for _ in range(2):
        asyncio.run(keyring.aopen())
        keyring.forget()
    assert door.opened == 2


async def test_where_it_fails_the_next_one_tries() -> None:
    door = SlowDoor(failures=1)
    keyring = ring(door)
    came = await asyncio.gather(*[keyring.aopen() for _ in range(4)], return_exceptions=True)
    assert [isinstance(each, StepFailed) for each in came] == [True, False, False, False]
    assert door.opened == 2


def test_nobody_waits_for_ever_for_one_who_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semroute.keyring._LONGEST_S", 0.01)
    door = SlowDoor()
    keyring = ring(door)
    keyring._turn.acquire()  # as a thread that a fork has left behind
    door.may_open.set()
    assert keyring.open().label("tag", "a") == keyring.open().label("tag", "a")

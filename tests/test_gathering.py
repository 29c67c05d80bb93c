"""Texts of many tasks that wait for a vector at the same time are embedded a few at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from semroute.background import Workers
from semroute.gathering import MOST_AT_ONCE, Gathering


class Model:
    """Notes what it is asked for, and can be held."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()

    def __call__(self, texts: Sequence[str]) -> list[tuple[np.ndarray, str] | Exception | None]:
        self.runs.append(list(texts))
        self.began.set()
        self.gate.wait(10)
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> tuple[np.ndarray, str] | Exception | None:
        if text == "bad":
            return ValueError("no such text")
        return None if text == "long" else (np.full(2, float(len(text)), np.float32), "model")


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers(1, "test-embed")
    yield workers
    workers.close()


@pytest.fixture
def gathering(model: Model, workers: Workers) -> Gathering:
    return Gathering(model, workers, 1)


async def _held(gathering: Gathering, model: Model, texts: Sequence[str]) -> list[asyncio.Task]:
    """Send texts while the only thread is kept busy by a first one."""
    model.gate.clear()
    tasks = [asyncio.create_task(gathering.embed("first", deadline_s=10))]
    await asyncio.to_thread(model.began.wait, 10)
    tasks += [asyncio.create_task(gathering.embed(text, deadline_s=10)) for text in texts]
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_text_is_embedded_at_once(gathering: Gathering, model: Model) -> None:
    vector, identity = await gathering.embed("four", deadline_s=10)
    assert (vector[0], identity, model.runs) == (4.0, "model", [["four"]])


async def test_texts_that_come_while_all_threads_are_busy_share_runs(gathering: Gathering, model: Model) -> None:
    texts = ["x" * (number + 1) for number in range(MOST_AT_ONCE + 2)]
    tasks = await _held(gathering, model, texts)
    model.gate.set()
    results = await asyncio.gather(*tasks)
    assert [vector[0] for vector, _ in results] == [5.0, *(float(len(text)) for text in texts)]
    assert model.runs == [["first"], texts[:MOST_AT_ONCE], texts[MOST_AT_ONCE:]]


async def test_those_of_one_length_share_a_run_and_nobody_waits_for_ever(model: Model, workers: Workers) -> None:
    gathering = Gathering(model, workers, 1, len)
    texts = ["aa", "b", "cc", "d", "ee", "ff", "gg"]
    tasks = await _held(gathering, model, texts)
    model.gate.set()
    results = await asyncio.gather(*tasks)
    assert [vector[0] for vector, _ in results] == [5.0, *(float(len(text)) for text in texts)]
    assert model.runs == [["first"], ["aa", "cc", "ee", "ff"], ["b", "d", "gg"]]


async def test_an_error_reaches_only_the_text_that_caused_it(gathering: Gathering, model: Model) -> None:
    first, bad, long, good = await _held(gathering, model, ["bad", "long", "good"])
    model.gate.set()
    with pytest.raises(ValueError, match="no such text"):
        await bad
    assert await long is None
    assert (await good)[0][0] == 4.0
    assert (await first)[0][0] == 5.0


async def test_a_deadline_ends_the_wait_and_not_the_run(gathering: Gathering, model: Model) -> None:
    (first,) = await _held(gathering, model, [])
    with pytest.raises(TimeoutError, match=r"no vector within 0\.01 s"):
        await gathering.embed("late", deadline_s=0.01)
    model.gate.set()
    assert (await first)[0][0] == 5.0
    assert (await gathering.embed("next", deadline_s=10))[0][0] == 4.0


def test_loops_of_several_threads_share_one_gathering(gathering: Gathering) -> None:
    async def ask(text: str) -> float:
        results = await asyncio.gather(*(gathering.embed(text, deadline_s=10) for _ in range(5)))
        return sum(float(vector[0]) for vector, _ in results)

    sums: list[float] = []
    texts = ["x" * (number + 1) for number in range(4)]
    threads = [threading.Thread(target=lambda text=text: sums.append(asyncio.run(ask(text)))) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(sums) == [5.0, 10.0, 15.0, 20.0]


async def test_what_nobody_waits_for_any_more_does_no_harm(gathering: Gathering, model: Model) -> None:
    _, left = await _held(gathering, model, ["left"])
    left.cancel()
    model.gate.set()
    assert (await gathering.embed("next", deadline_s=10))[0][0] == 4.0

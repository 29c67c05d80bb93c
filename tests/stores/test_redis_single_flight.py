"""Single flight between real processes on one Redis: what a key costs, and what a dead leader costs the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from semroute.leading import LEASE_S
from semroute.testing.redis_stack import RedisNode, redis_stack

# Asks all that it is told to, each once, as integrations do, and says what it got and whether its model was called.
ASKING = """
import asyncio, json, os, random, sys, threading
from semroute import Answer, Hit, SemanticCache
from semroute.leading import Lead
from semroute.testing.embedders import HashEmbedder

url, calls, seed, face, text, takes_s, deadline_s, *questions = sys.argv[1:]
cache = SemanticCache(url, embedder=HashEmbedder(), embed_deadline_s=60, flight_deadline_s=float(deadline_s))

def model(question):
    with open(calls, "a") as file:
        file.write(question + "\\n")
    print(json.dumps({"calling": question}), flush=True)
    threading.Event().wait(float(takes_s))
    finish = "length" if text == "cut off" else "stop"
    return Answer(text + " " + question, finish_reason=finish)

def ask(question):
    request = cache.request(question)
    found = cache.lookup(request)
    if not isinstance(found, Hit):
        found = cache.lead(request)
    if isinstance(found, Hit):
        return found.answer.text
    answer, update = model(question), None
    try:
        update = cache.update(request, answer)
    finally:
        if isinstance(found, Lead):
            cache.land(found, update)
    return answer.text

async def aask(question):
    request = cache.request(question)
    found = await cache.alookup(request)
    if not isinstance(found, Hit):
        found = await cache.alead(request)
    if isinstance(found, Hit):
        return found.answer.text
    answer, update = await asyncio.to_thread(model, question), None
    try:
        update = await cache.aupdate(request, answer)
    finally:
        if isinstance(found, Lead):
            cache.land(found, update)
    return answer.text

async def aask_all():
    return dict(zip(questions, await asyncio.gather(*map(aask, questions))))

cache.preload()
print(json.dumps({"ready": True}), flush=True)
sys.stdin.readline()
random.Random(seed).shuffle(questions)
answers = {question: ask(question) for question in questions} if face == "sync" else asyncio.run(aask_all())
print(json.dumps({"answers": answers, "failures": cache.stats().failures}), flush=True)
cache.close()
"""


class Asker:
    """A process that asks."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-W", "error", "-c", ASKING, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def said(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def done(self) -> Any:
        """Return the last that it says."""
        while "answers" not in (said := self.said()):
            pass
        assert self.process.wait(60) == 0
        return said


class Room:
    """Processes that ask one Redis."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.log = folder / "calls"
        self._askers: list[Asker] = []

    def ready(
        self,
        count: int,
        *questions: str,
        face: str = "sync",
        text: str = "About",
        takes_s: float = 0.5,
        deadline_s: float = 60.0,
    ) -> list[Asker]:
        """Start processes, and wait until they are ready to go."""
        settings = (face, text, str(takes_s), str(deadline_s))
        askers = [Asker(self.url, str(self.log), str(seed), *settings, *questions) for seed in range(count)]
        self._askers += askers
        for asker in askers:
            assert asker.said() == {"ready": True}
        return askers

    @property
    def calls(self) -> Counter[str]:
        """How often the model was asked what."""
        return Counter(self.log.read_text().splitlines())

    def close(self) -> None:
        for asker in self._askers:
            asker.process.kill()
            asker.process.communicate()


@pytest.fixture
def room(redis_node: RedisNode, new_shard: Callable[[], str], tmp_path: Path) -> Iterator[Room]:
    room = Room(f"{redis_node.url}?shard={new_shard()}", tmp_path)
    yield room
    room.close()


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize("count", [2, 8])
def test_a_key_that_many_processes_ask_at_once_costs_one_call(room: Room, count: int, face: str) -> None:
    askers = room.ready(count, "What are cats?", face=face)
    for asker in askers:
        asker.go()
    assert [asker.done() for asker in askers] == [
        {"answers": {"What are cats?": "About What are cats?"}, "failures": {}}
    ] * count
    assert room.calls == {"What are cats?": 1}


def test_eight_processes_that_ask_much_in_different_orders_ask_the_model_each_key_once(room: Room) -> None:
    questions = [f"What is number {number}?" for number in range(40)]
    askers = room.ready(8, *questions, takes_s=0.01)
    for asker in askers:
        asker.go()
    for asker in askers:
        assert asker.done()["answers"] == {question: f"About {question}" for question in questions}
    assert room.calls == dict.fromkeys(questions, 1)


@pytest.mark.parametrize("face", ["sync", "async"])
def test_when_the_leader_is_killed_one_of_the_others_leads_in_its_place(room: Room, face: str) -> None:
    (leader,) = room.ready(1, "q", face=face, takes_s=60)
    others = room.ready(3, "q", face=face, takes_s=0.2)
    leader.go()
    assert leader.said() == {"calling": "q"}
    for asker in others:
        asker.go()
    leader.process.send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert [asker.done()["answers"] for asker in others] == [{"q": "About q"}] * 3
    assert time.monotonic() - began < LEASE_S + 15
    assert room.calls == {"q": 2}


def test_an_answer_that_is_not_admitted_is_handed_to_nobody(room: Room) -> None:
    askers = room.ready(4, "q", text="cut off", takes_s=0.5)
    for asker in askers:
        asker.go()
    assert [asker.done()["answers"] for asker in askers] == [{"q": "cut off q"}] * 4
    assert room.calls == {"q": 4}


def test_followers_of_a_leader_that_is_too_slow_go_on_after_their_deadline(room: Room) -> None:
    (leader,) = room.ready(1, "q", takes_s=60)
    (other,) = room.ready(1, "q", takes_s=0, deadline_s=0.3)
    leader.go()
    assert leader.said() == {"calling": "q"}
    other.go()
    assert other.done()["answers"] == {"q": "About q"}
    assert room.calls == {"q": 2}


def test_a_leader_that_is_stopped_for_a_while_finds_another_in_its_place_and_leaves_it_alone(room: Room) -> None:
    (leader,) = room.ready(1, "q", takes_s=0.2)
    (other,) = room.ready(1, "q", takes_s=0.2)
    leader.go()
    assert leader.said() == {"calling": "q"}
    os.kill(leader.process.pid, signal.SIGSTOP)
    other.go()
    assert other.done()["answers"] == {"q": "About q"}
    os.kill(leader.process.pid, signal.SIGCONT)
    assert leader.done()["answers"] == {"q": "About q"}
    assert room.calls == {"q": 2}


def test_when_the_server_dies_everybody_calls_for_themselves(tmp_path: Path) -> None:
    with redis_stack() as (node,):
        room = Room(node.url, tmp_path)
        try:
            (leader,) = room.ready(1, "q", takes_s=1)
            (other,) = room.ready(1, "q", takes_s=0)
            leader.go()
            assert leader.said() == {"calling": "q"}
            other.go()
            with redis.Redis(port=node.port) as raw:
                while raw.info("clients")["connected_clients"] < 3:
                    pass
            node.kill()
            assert other.done()["answers"] == {"q": "About q"}
            assert leader.done()["answers"] == {"q": "About q"}
        finally:
            room.close()

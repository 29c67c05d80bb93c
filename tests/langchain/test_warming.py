"""warm() and awarm(): known questions are answered before anybody asks them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_semroute import SemrouteCache, Warmed, awarm, cached, warm

import semroute
from semroute import ConfigError, SemanticCache

QUESTIONS = ["What are cats?", "How do dogs bark?", "Why do birds sing?"]


async def in_threads(*arguments: Any, **named: Any) -> Warmed:
    return warm(*arguments, **named)


@pytest.fixture(params=[in_threads, awarm], ids=["warm", "awarm"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


async def test_what_was_warmed_is_served(run: Any, parrot: Any, cache: SemanticCache) -> None:
    done = await run([*QUESTIONS, QUESTIONS[0]], parrot, cache=cache, system="Be brief.")
    assert done == Warmed(asked=3, stored=3)
    parrot.calls.clear()
    model = cached(parrot, cache)
    for question in QUESTIONS:
        hit = model.invoke([("system", "Be brief."), ("human", question)])
        assert hit.response_metadata["semroute"]["tier"] == "l1"
        assert hit.response_metadata["semroute"]["saved"]["seconds"] > 0
    assert parrot.calls == []


async def test_what_the_cache_answers_is_not_asked_again(run: Any, parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache)
    model.invoke(QUESTIONS[0])
    assert await run(QUESTIONS, model) == Warmed(asked=3, already=1, stored=2)
    assert len(parrot.calls) == 3


async def test_failures_are_listed_and_asked_again_by_the_next_run(
    run: Any, parrot: Any, cache: SemanticCache, tmp_path: Path
) -> None:
    parrot.before = lambda words: 1 / 0 if "dogs" in words else None
    done_file = tmp_path / "done.txt"
    first = await run(QUESTIONS, parrot, cache=cache, done_file=done_file)
    assert (first.stored, first.failed) == (2, [("How do dogs bark?", "ZeroDivisionError: division by zero")])
    parrot.before = None
    parrot.calls.clear()
    assert await run(QUESTIONS, parrot, cache=cache, done_file=done_file) == Warmed(asked=3, already=2, stored=1)
    assert parrot.calls == ["How do dogs bark?"]
    assert "dogs" not in done_file.read_text(encoding="utf-8")


async def test_what_may_not_be_cached_is_told_and_not_asked_for_again(
    run: Any, parrot: Any, cache: SemanticCache, tmp_path: Path
) -> None:
    parrot.replies["How do dogs bark?"] = "I'm sorry, but I can't help with that."
    questions = ["What is the weather right now?", "How do dogs bark?"]
    done_file = tmp_path / "done.txt"
    done = await run(questions, parrot, cache=cache, done_file=done_file)
    assert sorted(done.refused)[0] == ("How do dogs bark?", "the answer is a refusal")
    assert [question for question, _ in sorted(done.refused)] == sorted(questions)
    assert parrot.calls == ["How do dogs bark?"]
    assert await run(questions, parrot, cache=cache, done_file=done_file) == Warmed(asked=2, already=2)


async def test_concurrency_is_bounded(run: Any, parrot: Any, cache: SemanticCache) -> None:
    lock, running, most = threading.Lock(), 0, 0
    full = threading.Barrier(3, timeout=20)

    def count(_: str) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.wait()
        with lock:
            running -= 1

    parrot.before = count
    done = await run([f"What is thing {number}?" for number in range(9)], parrot, cache=cache, max_concurrency=3)
    assert (done.stored, most) == (9, 3)


async def test_answers_belong_to_the_scope_that_warms(run: Any, parrot: Any, cache: SemanticCache) -> None:
    with semroute.scope(tenant="acme"):
        await run(QUESTIONS, parrot, cache=SemrouteCache(cache=cache))
    model = cached(parrot, cache)
    assert model.invoke(QUESTIONS[0]).response_metadata["semroute"]["tier"] == "miss"
    with semroute.scope(tenant="acme"):
        assert model.invoke(QUESTIONS[0]).response_metadata["semroute"]["tier"] == "l1"


async def test_conversations_can_be_warmed(run: Any, parrot: Any, cache: SemanticCache) -> None:
    talk = [HumanMessage("Hi"), AIMessage("Hello."), HumanMessage("What are cats?")]
    assert (await run([talk], parrot, cache=cache)).stored == 1
    assert cached(parrot, cache).invoke(talk).response_metadata["semroute"]["tier"] == "l1"


async def test_the_bar_is_shown_on_stderr_when_asked_for(
    run: Any, parrot: Any, cache: SemanticCache, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(QUESTIONS, parrot, cache=cache, progress=True)
    shown = capsys.readouterr()
    assert "100%" in shown.err
    assert shown.out == ""
    await run(QUESTIONS, parrot, cache=cache)
    assert capsys.readouterr() == ("", "")


async def test_mistakes_are_named(run: Any, parrot: Any, cache: SemanticCache) -> None:
    with pytest.raises(ConfigError, match=r"give cache=…, or a model that cached\(\) returned"):
        await run(QUESTIONS, parrot)
    with pytest.raises(ConfigError, match="max_concurrency must be a whole number between 1 and 1000, not 0"):
        await run(QUESTIONS, parrot, cache=cache, max_concurrency=0)

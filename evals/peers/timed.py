"""A worker that times lookups: told in JSON lines what to do, it answers each with a JSON line.

Both sides run it, each in its own environment and its own process: `timed_rivals.py` with the other caches,
`timed_ours.py` with ours. So all are timed by the same lines, and nobody's threads live in another's process.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Protocol, TextIO

MODEL = "model-a"
"""The model that gave the stored answers; `model-b` and so on are others."""


@dataclass(frozen=True, slots=True)
class About:
    """Which cache is timed, and how it is set up."""

    name: str
    form: str
    """What it is asked with: "text", or the "messages" that LangChain hands its caches for a chat model."""
    call: str
    """The call that is timed."""
    embedding: str
    versions: Mapping[str, str]
    is_filled: bool = True
    """Whether it takes part in the timing; else it is only asked with alternating models."""
    has_meaning: bool = True
    """Whether its vectors mean something; else it is only timed, whatever it serves."""


class Timed(Protocol):
    """A cache whose lookups are timed."""

    about: About

    def fill(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        """Store answers of MODEL."""

    def call(self, text: str, model: str) -> Callable[[], Any]:
        """Return the lookup, ready to be called: all that its caller has at hand is made ahead."""

    def answer_in(self, found: Any) -> str | None:
        """Read the answer out of what the call returned; None is a miss."""

    def store(self, text: str, model: str, answer: str) -> None:
        """Store one answer as an application would after a miss."""


def versions_of(*packages: str) -> dict[str, str]:
    """Return the versions of installed packages by name."""
    return {package: version(package) for package in packages}


def serve(caches: Sequence[Timed], asked: TextIO, said: TextIO) -> None:
    """Say which caches there are, then do what each line asks for until the lines end."""
    by_name = {(cache.about.name, cache.about.form): cache for cache in caches}
    _say(said, {"caches": [asdict(cache.about) for cache in caches]})
    for line in asked:
        order = json.loads(line)
        match order["do"]:
            case "fill":
                by_name[order["name"], order["form"]].fill(order["questions"], order["answers"])
                _say(said, {"stored": len(order["questions"])})
            case "settle":
                # What lives on from here on is no longer looked at by the collector, which would cost lookups time.
                gc.collect()
                gc.freeze()
                _say(said, {})
            case "ask":
                _say(said, ask(by_name[order["name"], order["form"]], order["texts"], order["model"]))
            case "store":
                by_name[order["name"], order["form"]].store(order["text"], order["model"], order["answer"])
                _say(said, {})


def ask(
    cache: Timed, texts: Sequence[str], model: str, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[Any]]:
    """Look texts up one after the other; return the seconds of each and what was served."""
    calls = [cache.call(text, model) for text in texts]
    seconds, answers = [], []
    for call in calls:
        began = clock()
        found = call()
        seconds.append(clock() - began)
        answers.append(cache.answer_in(found))
    return {"seconds": seconds, "answers": answers}


def own_output() -> TextIO:
    """Return standard output for the worker alone: what libraries print goes to standard error from now on."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def _say(said: TextIO, line: Mapping[str, object]) -> None:
    said.write(json.dumps(line) + "\n")
    said.flush()

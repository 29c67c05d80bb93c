"""A hand that drives the flow: it replies to each step as a test says, and notes what it was asked."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from semroute import flow, steps
from semroute.entry import Address, Alias, Answer, Candidate, Entry, Found, Usage
from semroute.gate import Policy
from semroute.request import Request
from semroute.result import Verdict
from semroute.router.decision import RoutingDecision
from semroute.rules import Rules
from semroute.steps import Search, Step, StepFailed
from semroute.trail import Trail

NOW = 1_750_000_000.0
ADDRESS = Address("shard", "partition", "asked")
VECTOR = np.array([1.0, 0.0], np.float32)
QUESTION = "How do I reset my password?"
BROKEN = StepFailed("it is broken")
NOTHING = Found(None, None, 7)


@dataclass(frozen=True)
class NamedGuard:
    """A guard that the flow only names: its verdict comes from the hand that drives."""

    name: str


def entry(id: str = "entry", **fields: object) -> Entry:
    values = {
        "address": Address("shard", "partition", id),
        "query": f"the question of {id}",
        "answer": Answer(f"the answer of {id}", model="m", usage=Usage(10, 20), usd=0.5, latency_s=1.5),
        "created_at": NOW - 60,
        "expires_at": NOW + 60,
        **fields,
    }
    return Entry(**values)


def alias(**fields: object) -> Alias:
    values = {"address": ADDRESS, "entry_id": "entry", "query": QUESTION, "similarity": 0.96, "p_reusable": 0.99}
    return Alias(**{**values, "policy": "default", "created_at": NOW - 30, **fields})


@dataclass
class Hand:
    """Drives a flow: replies to each kind of step in turn (the last reply again and again), and notes the steps."""

    replies: dict[type, list[object]]
    steps: list[Step] = field(default_factory=list)

    def drive(self, steps: Generator) -> object:
        try:
            step = next(steps)
            while True:
                self.steps.append(step)
                replies = self.replies[type(step)]
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
                step = steps.throw(reply) if isinstance(reply, Exception) else steps.send(reply)
        except StopIteration as end:
            return end.value

    @property
    def kinds(self) -> list[str]:
        return [type(step).__name__ for step in self.steps]

    def of(self, kind: type) -> list:
        return [step for step in self.steps if isinstance(step, kind)]


def hand(**replies: object) -> Hand:
    """Reply as an empty cache with a working embedder does, except for what `replies` names."""
    usual = {"Get": NOTHING, "Embed": (VECTOR, "e-1"), "Route": RoutingDecision(), "Search": [], "Put": True}
    usual["Judge"] = (Verdict("g", passed=True),)
    given = {**usual, **replies}
    return Hand(
        {getattr(steps, name): value if isinstance(value, list) else [value] for name, value in given.items()}
        | {Search: given["Search"] if _is_script(given["Search"]) else [given["Search"]]}
    )


def _is_script(value: object) -> bool:
    return isinstance(value, list) and bool(value) and not isinstance(value[0], Candidate)


def rules(*guards: str, **parts: object) -> Rules:
    return Rules(**{"policy": Policy(), "guards": tuple(NamedGuard(name) for name in guards), **parts})


def candidate(id: str = "entry", similarity: float = 0.97) -> Candidate:
    return Candidate(id, f"the question of {id}", similarity)


def look(by: Hand, request: Request | None = None, under: Rules | None = None, trail: Trail | None = None):
    asked = Request.of(QUESTION) if request is None else request
    trail = Trail(ADDRESS) if trail is None else trail
    return by.drive(flow.lookup(asked, asked.query, trail, rules("g") if under is None else under, NOW))


def store(
    by: Hand,
    request: Request | None = None,
    under: Rules | None = None,
    trail: Trail | None = None,
    answer: Answer | None = None,
):
    asked = Request.of(QUESTION) if request is None else request
    given = Answer("Click on 'forgot'.") if answer is None else answer
    trail = Trail(ADDRESS) if trail is None else trail
    labels = frozenset({"label"})
    return by.drive(flow.update(asked, asked.query, given, trail, labels, rules("g") if under is None else under, NOW))

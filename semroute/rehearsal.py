"""Lookups that are only explained: every step is performed for real, but nothing is written."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from semroute.driver import drive
from semroute.steps import Embed, Get, Judge, Put, Reconsider, Route, Search, Step, StepFailed

if TYPE_CHECKING:
    from semroute.driver import Driver
    from semroute.result import Explanation
    from semroute.router.decision import RoutingDecision

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of an explained lookup."""

    name: str
    outcome: str
    ms: float


@dataclass(frozen=True, slots=True, repr=False)
class Trace:
    """A lookup as it would go: its explanation, and every step on the way."""

    explanation: Explanation
    steps: tuple[StepRecord, ...]

    def __repr__(self) -> str:
        return f"<Trace {self.explanation.tier}: {self.explanation.reason}; {len(self.steps)} steps>"

    def _repr_html_(self) -> str:
        from semroute.display import trace_page

        return trace_page(self)


class Recorder:
    """Drives a flow as a rehearsal: reads for real, writes nothing, and notes every step."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.records: list[StepRecord] = []

    def drive(self, steps: Generator[Step, Any, T]) -> T:
        return drive(steps, self._perform)

    def _perform(self, step: Step) -> Any:
        began = time.perf_counter()
        try:
            result = True if isinstance(step, Put) else self._driver.perform(step)
        except StepFailed as failure:
            self._note(step, str(failure), began)
            raise
        self._note(step, outcome(step, result), began)
        return result

    def _note(self, step: Step, what: str, began: float) -> None:
        self.records.append(StepRecord(type(step).__name__.lower(), what, (time.perf_counter() - began) * 1_000))


def outcome(step: Step, result: Any) -> str:
    """Say in a few words what a step brought."""
    match step:
        case Get():
            return "nothing" if result.entry is None else f"an entry{'' if result.alias is None else ' by alias'}"
        case Embed():
            return "too long for the embedder" if result is None else f"{len(result[0])} dimensions"
        case Search():
            best = f", best {result[0].similarity:.3f}" if result else ""
            return f"{len(result)} candidates{best}"
        case Judge(_, _, candidate):
            refused = [str(verdict) for verdict in result if not verdict.passed]
            return f"{candidate.query!r} — {refused[0] if refused else f'{len(result)} guards passed'}"
        case Route():
            return _decided(result)
        case Reconsider():
            return f"a second look: {_decided(result)}"
        case Put():
            return "not written: this is a rehearsal"


def _decided(decision: RoutingDecision) -> str:
    return f"{decision.cache_strategy}, {decision.staleness}, confidence {decision.confidence:.2f} ({decision.origin})"

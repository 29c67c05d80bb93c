"""What the cache saw in each trap: the look-alike, and the guard or rule that kept its answer back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semroute.entry import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from semroute.cli.report import Outcome
    from semroute.cli.stream import Row
    from semroute.entry import JSON
    from semroute.guards import Guard
    from semroute.result import Nearest, Verdict


@dataclass(frozen=True, slots=True)
class Sighting:
    """A trap that was not fallen for."""

    outcome: Outcome
    look_alike: str
    """The earlier question that it resembles."""
    saw: str
    """What tells the two apart, for a person."""
    by: str
    """Which guard or rule saw it."""
    is_close: bool = False
    """Whether a hit was a step away: the threshold was met, or only one part of the context differs."""

    @property
    def kind(self) -> str:
        return self.outcome.kind

    @property
    def query(self) -> str:
        return " ".join(self.outcome.row.query.split())

    def as_dict(self) -> dict[str, JSON]:
        return {"kind": self.kind, "query": self.query, "look_alike": self.look_alike, "by": self.by, "saw": self.saw}


def sightings(outcomes: Sequence[Outcome], guards: Sequence[Guard]) -> list[Sighting]:
    """Return what was seen in every trap that was not served."""
    rows = [outcome.row for outcome in outcomes]
    return [
        _sighting(outcome, rows[: outcome.position], guards)
        for outcome in outcomes
        if outcome.row.trap and not outcome.is_hit and outcome.explanation is not None
    ]


def telling_examples(seen: Iterable[Sighting], *, max_characters: int) -> list[Sighting]:
    """Return one sighting of each kind, by kind: one whose texts fit, and that a guard or a rule told apart."""
    best: dict[str, Sighting] = {}
    for sighting in sorted(seen, key=lambda one: _dullness(one, max_characters)):
        best.setdefault(sighting.kind, sighting)
    return sorted(best.values(), key=lambda one: one.kind)


def _dullness(sighting: Sighting, max_characters: int) -> tuple[bool, bool, int, int]:
    longest = max(len(sighting.query), len(sighting.look_alike))
    return longest > max_characters, not sighting.is_close, len(sighting.saw), -longest


def _sighting(outcome: Outcome, earlier: Sequence[Row], guards: Sequence[Guard]) -> Sighting:
    row, explanation = outcome.row, outcome.explanation
    twin = _look_alike(row, earlier)
    words = "" if twin is None else " ".join(twin.query.split())
    if explanation is None or explanation.tier == "bypass":
        return Sighting(outcome, words, outcome.refusal, "never cached", is_close=True)
    if twin is not None and row.place != twin.place and _words(row.query) == _words(twin.query):
        is_close = _closeness(row, twin) == len(row.place) - 1
        return Sighting(outcome, words, f"another {_apart(row, twin)}", "out of reach", is_close)
    near = _telling(explanation.considered)
    if near is None:
        return Sighting(outcome, words, explanation.reason, "out of reach")
    return _at_the_gate(outcome, near, guards)


def _at_the_gate(outcome: Outcome, near: Nearest, guards: Sequence[Guard]) -> Sighting:
    """Say what kept the nearest candidate back; one under the threshold is shown to the guards all the same."""
    verdict = _refusal(near)
    if verdict is not None:
        saw, _, probability = verdict.why.partition("; ")
        by = f"verifier: {probability.partition(',')[0]}" if probability else f"{verdict.guard} guard"
        return Sighting(outcome, near.query, saw, by, is_close=True)
    verdict = _refusal_of(guards, outcome.row.query, near)
    below = f"similarity {near.similarity:.2f}"
    if verdict is None:
        return Sighting(outcome, near.query, outcome.refusal, below)
    return Sighting(outcome, near.query, verdict.why, f"{below}; {verdict.guard} guard")


def _telling(considered: Sequence[Nearest]) -> Nearest | None:
    """Return the candidate that a guard refused, else the nearest one."""
    refused = (near for near in considered if _refusal(near) is not None)
    return next(refused, considered[0] if considered else None)


def _refusal(near: Nearest) -> Verdict | None:
    return next((verdict for verdict in near.verdicts if not verdict.passed), None)


def _refusal_of(guards: Sequence[Guard], query: str, near: Nearest) -> Verdict | None:
    """Ask the guards about a candidate that was too far for them to be asked."""
    candidate = Candidate(near.id, near.query, near.similarity)
    return next((verdict for guard in guards if not (verdict := guard.check(query, candidate)).passed), None)


def _apart(row: Row, twin: Row) -> str:
    """Say which part of the context keeps two requests apart."""
    if row.tenant != twin.tenant:
        return "tenant"
    if row.system != twin.system:
        return "system prompt"
    return "conversation" if row.history != twin.history else "model"


def _look_alike(row: Row, earlier: Sequence[Row]) -> Row | None:
    """Return the earlier request with another answer that shares most of the words, and then of the context."""
    words = _words(row.query)
    others = [other for other in earlier if other.label != row.label]
    return max(others, key=lambda other: (_overlap(words, _words(other.query)), _closeness(row, other)), default=None)


def _closeness(row: Row, other: Row) -> int:
    return sum(one == two for one, two in zip(row.place, other.place, strict=True))


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    together = len(one | other)
    return len(one & other) / together if together else 0.0


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))

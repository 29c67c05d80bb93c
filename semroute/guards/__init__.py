"""Guards: checks of a query against a candidate before its answer is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from semroute.entry import Candidate
    from semroute.result import Verdict


@runtime_checkable
class Guard(Protocol):
    """A check of a query against one candidate; pure, deterministic, and quick."""

    @property
    def name(self) -> str: ...

    def check(self, query: str, candidate: Candidate) -> Verdict:
        """Say whether the candidate's answer may be reused for the query, and if not, what differs."""
        ...


@runtime_checkable
class Estimator(Guard, Protocol):
    """A guard that was fitted on labelled pairs: its verdicts tell a probability, which the gate decides about."""

    @property
    def embedder(self) -> str | None:
        """Identity of the embedder whose similarities it was fitted on; None for any."""
        ...

    @property
    def digest(self) -> str:
        """Digest of its coefficients."""
        ...


def verdicts_of(guards: Iterable[Guard], query: str, candidate: Candidate) -> tuple[Verdict, ...]:
    """Ask the guards one after the other until one refuses; what a guard raises goes on to the caller."""
    verdicts: list[Verdict] = []
    for guard in guards:
        verdicts.append(guard.check(query, candidate))
        if not verdicts[-1].passed:
            break
    return tuple(verdicts)


@runtime_checkable
class WaitingGuard(Guard, Protocol):
    """A guard that waits for a model; on an event loop it is asked by `acheck`, which never blocks the loop."""

    async def acheck(self, query: str, candidate: Candidate) -> Verdict: ...


async def acheck(guard: Guard, query: str, candidate: Candidate) -> Verdict:
    """Ask a guard from an event loop: by its `acheck` where it has one."""
    waiting: WaitingGuard | None = guard if hasattr(guard, "acheck") else None  # type: ignore[assignment]  # it has it
    return guard.check(query, candidate) if waiting is None else await waiting.acheck(query, candidate)

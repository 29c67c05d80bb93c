"""The steps that the flow asks its driver to perform: every kind of I/O and outside judgement there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from semroute.entry import Address, Alias, Candidate, Entry, FloatVector
    from semroute.guards import Guard
    from semroute.request import Request
    from semroute.router.decision import RoutingDecision


@dataclass(frozen=True, slots=True)
class Get:
    """Read the exact tier; the driver sends back Found."""

    address: Address


@dataclass(frozen=True, slots=True)
class Embed:
    """Turn the words into a vector; the driver sends back (vector, identity), or None where they do not fit."""

    text: str


@dataclass(frozen=True, slots=True)
class Route:
    """Ask the router; the driver sends back a RoutingDecision."""

    request: Request
    vector: FloatVector | None
    embedder: str | None
    """Identity of the embedder that made the vector."""


@dataclass(frozen=True, slots=True)
class Reconsider:
    """Ask a router that can take a second look; the driver sends back its decision, or the earlier one.

    `similarity` is that of the best candidate whose fate hangs on the decision's confidence; None after a miss, where
    only the choice of the model and the life of the answer hang on it.
    """

    request: Request
    vector: FloatVector | None
    decision: RoutingDecision
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Search:
    """Find the nearest queries of the partition; the driver sends back candidates, best first."""

    address: Address
    vector: FloatVector
    embedder: str
    k: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask the guards about one candidate, one after the other until one refuses; the driver sends back their verdicts.

    A guard that fails refuses: what cannot be verified is not served.
    """

    guards: tuple[Guard, ...]
    query: str
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Put:
    """Store an entry or an alias; the driver sends back whether it was kept."""

    record: Entry | Alias


Step: TypeAlias = Get | Embed | Route | Reconsider | Search | Judge | Put


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask for the lease of a key; sent back is a Claim."""

    address: Address
    token: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Let some time go by."""

    seconds: float


WaitingStep: TypeAlias = Get | Judge | Acquire | Pause
"""What a caller does that waits for another process to answer."""


class StepFailed(Exception):
    """A step could not be done; thrown into the flow by the driver, with the reason for a person."""

"""The seam of online policies: what the flow asks of one when it has a candidate, and what it tells it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from semroute.online.observations import Observations


@dataclass(frozen=True, slots=True)
class Serve:
    """Serve the candidate's answer."""

    explore_probability: float
    """With which probability the model would have been asked instead."""
    p_wrong: float
    """Upper bound of the probability that the answer is wrong."""
    reason: str
    """One sentence for a person."""


@dataclass(frozen=True, slots=True)
class Explore:
    """Ask the model; its answer tells whether the candidate's would have been right."""

    explore_probability: float
    p_wrong: float
    """Upper bound of the probability that the candidate's answer is wrong."""
    reason: str
    is_audit: bool = False
    """The candidate was good enough, and the model is asked all the same, to check. An audit must be labelled."""
    is_worth_a_label: bool = True
    """Whether it pays to compare the two answers; where they are not, `observe` is not called."""


Decision: TypeAlias = Serve | Explore


@dataclass(frozen=True, slots=True)
class Learned:
    """What to keep after a label."""

    candidate: Observations
    """The candidate's new record."""
    own: Observations | None
    """The record of the entry that the request makes; None: it shares the candidate's, since they answer alike."""


class EntryPolicy(Protocol):
    """Decides per entry whether to serve or to explore, and learns from what exploring showed.

    Every request is told to it exactly once: by `decide` on its best candidate, or by `skip` where there is none. The
    promise is about all requests.
    """

    def probability(self, observations: Observations, similarity: float, p_prior: float | None) -> float:
        """Estimate P(right), by which the best of several candidates is chosen; changes nothing."""
        ...

    def decide(self, observations: Observations, similarity: float, p_prior: float | None, uniform: float) -> Decision:
        """Decide about one request; `uniform` is a fresh random number in [0, 1)."""
        ...

    def skip(self) -> None:
        """Take note of a request that has no candidate."""
        ...

    def observe(
        self,
        observations: Observations,
        decision: Explore,
        similarity: float,
        p_prior: float | None,
        *,
        is_right: bool,
    ) -> Learned:
        """Learn whether the candidate's answer would have been right for an explored request."""
        ...

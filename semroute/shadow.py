"""Shadow mode and canaries: which requests are served, and what is taken down of a lookup to be judged later."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from semroute.errors import ConfigError
from semroute.result import Nearest, least_p

if TYPE_CHECKING:
    from collections.abc import Mapping

    from semroute.entry import Address, Answer, Entry, Selector
    from semroute.result import Explanation, Verdict

_STEPS: Final = 2**64


@dataclass(frozen=True, slots=True)
class ShadowRecord:
    """One request beside one stored question: would its answer have been served, and what was answered instead.

    Everything in it belongs to one scope and context: that of the request.
    """

    at: float
    """When the request was asked, in seconds since the Unix epoch."""
    request: str
    """Exact key of the request."""
    entry: str
    """Id of the candidate's entry."""
    query: str
    """The words that were asked."""
    candidate: str
    """The words that were stored."""
    similarity: float
    p_reusable: float | None = None
    """Probability that the stored answer is reusable, where a guard estimated one."""
    verdicts: tuple[Verdict, ...] = ()
    threshold: float | None = None
    """The similarity that a hit needed."""
    needed_p: float | None = None
    """The probability that a hit needed, where the gate asked for one."""
    threshold_from: str | None = None
    would_serve: bool = False
    """Whether the rules let the answer pass."""
    was_served: bool = False
    """Whether the answer was served: False in shadow mode and outside a canary's share."""
    stored_answer: Answer | None = None
    """The answer that the cache had, where it was read."""
    real_answer: Answer | None = None
    """What the model answered instead, where it was asked."""
    labels: frozenset[str] = field(default_factory=frozenset)
    """Digests of everything that can invalidate the record: those of the request, and those of the entry."""
    number: int | None = None
    """Its number in the log; None before it is written."""

    @property
    def pair(self) -> tuple[str, str]:
        """The two questions, the stored one first."""
        return self.candidate, self.query


@dataclass(frozen=True, slots=True)
class ShadowEvent:
    """A lookup and the answer that followed it have ended, with a record for each candidate that was looked at."""

    records: tuple[ShadowRecord, ...]


@runtime_checkable
class RecordTaker(Protocol):
    """A listener that keeps shadow records, and forgets those of entries that are removed."""

    def on(self, event: Any) -> None: ...

    def delete(self, selector: Selector) -> int: ...

    def close(self) -> None: ...


def records_of(
    explanation: Explanation,
    *,
    address: Address,
    query: str,
    at: float,
    labels: frozenset[str] = frozenset(),
    was_served: bool = False,
    needed_p: float | None = None,
    stored: Mapping[str, Entry] | None = None,
    real_answer: Answer | None = None,
) -> tuple[ShadowRecord, ...]:
    """Return a record for each candidate of a lookup, best first; none where the semantic tier was not asked.

    `explanation` is that of the lookup as the rules decided it, whether or not it was served; `query` holds the words
    as they were compared, `labels` are the request's. `stored` holds the entries of candidates that were read, by id:
    they bring their answers and labels. An entry of another scope or context is left out, whoever passed it in.
    """
    entries = {} if stored is None else stored
    is_hit = explanation.tier in ("l2", "l1_alias")
    records = []
    for nearest in _candidates(explanation, entries):
        entry = entries.get(nearest.id)
        if entry is not None and entry.address.partition != address.partition:
            continue
        would_serve = is_hit and nearest.id == explanation.hit_id
        estimated = least_p(nearest.verdicts)
        records.append(
            ShadowRecord(
                at=at,
                request=address.exact,
                entry=nearest.id,
                query=query,
                candidate=nearest.query,
                similarity=nearest.similarity,
                p_reusable=explanation.p_reusable if would_serve and estimated is None else estimated,
                verdicts=nearest.verdicts,
                threshold=explanation.threshold,
                needed_p=needed_p,
                threshold_from=explanation.threshold_from,
                would_serve=would_serve,
                was_served=was_served and would_serve,
                stored_answer=None if entry is None else entry.answer,
                real_answer=real_answer,
                labels=labels if entry is None else labels | entry.labels,
            )
        )
    return tuple(records)


def _candidates(explanation: Explanation, entries: Mapping[str, Entry]) -> tuple[Nearest, ...]:
    """Return what was looked at; an alias was served without a search, by the entry that it points to."""
    entry = None if explanation.hit_id is None else entries.get(explanation.hit_id)
    if explanation.tier != "l1_alias" or entry is None or explanation.similarity is None:
        return explanation.considered
    return (Nearest(entry.id, entry.query, explanation.similarity, explanation.verdicts),)


def is_in_canary(exact_key: str, share: float) -> bool:
    """Say whether a request belongs to the share of requests that is served.

    `exact_key` is the digest of scope, context and words, so the same question of the same tenant always falls on the
    same side, in every process; and whoever is in at one share stays in at every larger one. `share` is a fraction:
    0 serves nobody, 1 everybody. Raises ConfigError for anything else.
    """
    share = checked_share(share)
    digest = blake2b(exact_key.encode("utf-8", "surrogatepass"), digest_size=8, person=b"semroute.canary").digest()
    return int.from_bytes(digest) < share * _STEPS


def checked_share(share: float) -> float:
    """Return a share as it is, or raise ConfigError where it is no fraction in [0, 1]."""
    given: object = share
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    # A comparison with NaN is false, so NaN is refused too.
    if not is_number or not 0.0 <= share <= 1.0:
        raise ConfigError(f"canary must be a share of requests in [0, 1], not {given!r}")
    return share

"""Driving the shipped flow over records that an evaluation holds.

Every rule is the production's own: cacheability, exact tier, router, gate, guards, admission, freshness. Only the
steps that would wait (store, embedder) are answered out of memory. A step that fails ends the evaluation: nothing
fails open here, because a failure would count as a miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from semroute import flow
from semroute.cache import SemanticCache
from semroute.config import Settings
from semroute.driver import drive
from semroute.entry import Answer, Candidate, Found
from semroute.gate import Policy
from semroute.guards import verdicts_of
from semroute.policy_file import check_parts
from semroute.request import Digests, Request, Scope
from semroute.result import Hit
from semroute.steps import Embed, Get, Judge, Put, Route, Search, Step
from semroute.trail import Trail

if TYPE_CHECKING:
    from semroute.cacheability import Judgement
    from semroute.entry import Address, Alias, Entry, FloatVector
    from semroute.evaluation.vectors import AheadEmbedder
    from semroute.guards import Estimator
    from semroute.result import Lookup, Update

NOW: Final = 1_750_000_000.0
"""The moment at which everything happens, in seconds since the Unix epoch: no time passes, nothing expires."""
_KEY: Final = b"semroute.evaluation.digest.key.."


def open_policy(threshold: float = 0.0) -> Policy:
    """Return a policy whose gate is the same low similarity for every request, and asks for no probability."""
    return Policy(
        version=f"open from {threshold:g}",
        threshold=threshold,
        verified_threshold=threshold,
        strict_threshold=threshold,
        min_p_reusable=0.0,
        strict_p_reusable=0.0,
        aggressive_step=0.0,
        floor=threshold,
        min_confidence=0.0,
    )


def score_of(result: Lookup) -> float:
    """Return what a result is ranked by: the probability of the verifier, or without one the similarity; 0 for none.

    The same words score 1.0: the exact tier serves them.
    """
    if not isinstance(result, Hit) or result.tier == "l1":
        return float(isinstance(result, Hit))
    told = result.explanation
    score = told.similarity if told.p_reusable is None else told.p_reusable
    return 0.0 if score is None else score


class Records(Protocol):
    """Entries and aliases of an evaluation, found as a store finds them."""

    def get(self, address: Address) -> Found: ...
    def search(self, address: Address, vector: FloatVector, k: int) -> Sequence[Candidate]: ...
    def put(self, record: Entry | Alias) -> bool: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with what the rules say of it whatever the cache holds."""

    request: Request
    words: str
    address: Address
    judgement: Judgement


class Flows:
    """Lookups and updates by the shipped rules under one policy, with a verifier of one's own where one is given.

    Raises ConfigError for a policy that was tuned with another embedder or verifier: it would serve nothing.
    """

    def __init__(
        self,
        records: Records,
        embedder: AheadEmbedder,
        policy: Policy | None = None,
        verifier: Estimator | None = None,
    ) -> None:
        # Settings as built in: what a machine's environment says is not what ships.
        cache = SemanticCache("memory://", embedder=embedder, policy=policy, verifier=verifier, settings=Settings())
        self.rules = cache.rules
        standing = self.rules.verifier if self.rules.has_another_verifier(embedder.identity) else None
        digest = None if standing is None else standing.digest
        check_parts(self.rules.policy, embedder=embedder.identity, verifier=digest)
        self._router = cache.router
        self._embedder = embedder
        self._records = records
        self._digests = Digests(_KEY)

    def under(self, policy: Policy) -> Flows:
        """Return the same flows over the same records under another policy."""
        other = copy(self)
        other.rules = replace(self.rules, policy=policy)
        return other

    def ask(self, request: Request) -> Asked:
        """Judge a request and name it."""
        trail = Trail(self._digests.address(request))
        return Asked(request, self._digests.words(request), trail.address, trail.judged(request, self.rules))

    def lookup(self, asked: Asked) -> Lookup:
        """Look a request up."""
        trail = Trail(asked.address, asked.judgement)
        return drive(flow.lookup(asked.request, asked.words, trail, self.rules, NOW), self._perform)

    def update(self, asked: Asked, answer: Answer) -> Update:
        """Store an answer where the rules allow it."""
        trail = Trail(asked.address, asked.judgement)
        steps = flow.update(asked.request, asked.words, answer, trail, frozenset(), self.rules, NOW)
        return drive(steps, self._perform)

    def _perform(self, step: Step) -> Any:
        match step:
            case Get(address):
                return self._records.get(address)
            case Embed(text):
                if not self._embedder.fits(text):
                    return None
                return self._embedder.embed([text])[0], self._embedder.identity
            case Search(address, vector, _, k):
                return self._records.search(address, vector, k)
            case Put(record):
                return self._records.put(record)
            case Route(request, vector):
                return self._router.route(request, vector)
            case Judge(guards, query, candidate):
                return verdicts_of(guards, query, candidate)


class LoneRecords:
    """At most one entry, the last that was put; aliases are not kept, so that asking leaves no trace."""

    def __init__(self) -> None:
        self._entry: Entry | None = None

    def forget(self) -> None:
        """Hold nothing."""
        self._entry = None

    def get(self, address: Address) -> Found:
        entry = self._entry
        return Found(entry if entry is not None and entry.id == address.exact else None, None, 0)

    def search(self, address: Address, vector: FloatVector, k: int) -> Sequence[Candidate]:
        entry = self._entry
        if entry is None or entry.vector is None or entry.address.partition != address.partition:
            return []
        return [Candidate(entry.id, entry.query, clipped(float(entry.vector @ vector)))]

    def put(self, record: Entry | Alias) -> bool:
        from semroute.entry import Entry

        if isinstance(record, Entry):
            self._entry = record
        return True


def clipped(cosine: float) -> float:
    """Return a cosine on the scale of similarity, [0, 1]."""
    return min(max(cosine, 0.0), 1.0)


def plain_request(text: str, *, namespace: str | None = None) -> Request:
    """Return a request of one question without any history."""
    return Request.of(text, scope=Scope(namespace=namespace))

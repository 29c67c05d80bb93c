"""The semantic tier of a lookup: candidates behind gate and guards, and a second look where the router is unsure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from semroute.entry import Address, Alias, Candidate, Entry, Found
from semroute.explaining import explain_hit, quoted, why_none
from semroute.result import Hit, Lookup, Nearest, Verdict, least_p
from semroute.steps import Get, Judge, Put, Reconsider, Search, Step, StepFailed

if TYPE_CHECKING:
    from semroute.gate import Gate
    from semroute.request import Request
    from semroute.router.decision import RoutingDecision
    from semroute.rules import Rules
    from semroute.trail import Trail


@dataclass(frozen=True, slots=True)
class SemanticTier:
    """One request that the exact tier did not answer, with its vector in the trail."""

    request: Request
    words: str
    trail: Trail
    rules: Rules
    now: float

    def look(self, gate: Gate) -> Generator[Step, Any, Lookup]:
        """Search the partition and serve the best candidate that clears the gate and every guard.

        Where the router is unsure and can look twice, candidates that only a surer decision would let through are
        judged too, and decided upon by its second look; no request that is served without one gets one.
        """
        candidates = yield from self._neighbours()
        if candidates is None:
            return self.trail.miss(self.trail.failures[-1])
        guards = self.rules.asked(gate, self.trail.embedder)
        doubted, surest = self._doubted(gate)
        doubtful: list[tuple[Candidate, tuple[Verdict, ...]]] = []
        for candidate in candidates:
            if candidate.id == self.trail.address.exact:
                hit = yield from self._just_answered()
            elif surest.reaches(candidate.similarity):
                judged: tuple[Verdict, ...] = yield Judge(guards, self.words, candidate)
                hit = yield from self._tried(candidate, judged, gate)
                if doubted is not None and surest.lets_through(candidate, judged):
                    doubtful.append((candidate, judged))
            else:
                hit = None
                self._note(Nearest(candidate.id, candidate.query, candidate.similarity))
            if hit is not None:
                return hit
        if doubted is None or not doubtful:
            return self.trail.miss(why_none(self.trail.considered, gate))
        yield from reconsider(self.trail, self.request, doubted, doubtful[0][0].similarity)
        return (yield from self._decided_anew(doubtful))

    def _neighbours(self) -> Generator[Step, Any, Sequence[Candidate] | None]:
        trail = self.trail
        if trail.vector is None or trail.embedder is None:
            return ()
        try:
            candidates: Sequence[Candidate] = yield Search(trail.address, trail.vector, trail.embedder, self.rules.k)
        except StepFailed as failure:
            trail.failures.append(str(failure))
            return None
        return candidates

    def _doubted(self, gate: Gate) -> tuple[RoutingDecision | None, Gate]:
        """Return the decision that is in doubt, and what the gate would be without doubt; else None and the gate."""
        decision, rules = self.trail.decision, self.rules
        if not rules.reconsiders or decision is None or rules.is_sure(decision):
            return None, gate
        return decision, rules.gate(decision.model_copy(update={"confidence": 1.0}), self.trail.embedder)

    def _decided_anew(self, doubtful: Sequence[tuple[Candidate, tuple[Verdict, ...]]]) -> Generator[Step, Any, Lookup]:
        """Hold candidates against the gate of the second look."""
        gate = self.trail.gate = self.rules.gate(self.trail.decision, self.trail.embedder)
        if gate.is_bypass:
            return self.trail.bypass(f"the router decided so: {gate.threshold_from}")
        for candidate, judged in doubtful:
            hit = yield from self._tried(candidate, judged, gate)
            if hit is not None:
                return hit
        return self.trail.miss(why_none(self.trail.considered, gate))

    def _tried(self, candidate: Candidate, judged: tuple[Verdict, ...], gate: Gate) -> Generator[Step, Any, Hit | None]:
        """Serve a candidate that the gate lets through, and note how it did."""
        verdicts = gate.held(judged) if gate.reaches(candidate.similarity) else ()
        nearest = Nearest(candidate.id, candidate.query, candidate.similarity, verdicts)
        self._note(nearest)
        return (yield from self._serve(nearest)) if gate.lets_through(candidate, judged) else None

    def _note(self, nearest: Nearest) -> None:
        """Note what became of a candidate, in the place of what was said of it before."""
        considered = self.trail.considered
        place = next((at for at, other in enumerate(considered) if other.id == nearest.id), len(considered))
        considered[place : place + 1] = [nearest]

    def _serve(self, nearest: Nearest) -> Generator[Step, Any, Hit | None]:
        """Fetch the payload of the one candidate that is served, and point the exact tier at it."""
        trail, verdicts = self.trail, nearest.verdicts
        entry = yield from self._fetch(nearest.id)
        if entry is None:
            return None
        until = self._served_until(entry)
        refusal = self._refusal(entry, until)
        if refusal is not None:
            self._note(Nearest(nearest.id, nearest.query, nearest.similarity, (*verdicts, refusal)))
            return None
        trail.entry = entry
        p_reusable = least_p(verdicts)
        if trail.serves and until >= entry.expires_at:  # an alias lives as long as its entry
            version = self.rules.version
            alias = Alias(trail.address, nearest.id, self.words, nearest.similarity, p_reusable, version, self.now)
            try:
                yield Put(alias)
            except StepFailed as failure:
                trail.failures.append(str(failure))
        explanation = explain_hit(
            "l2",
            f"the same question in other words: {quoted(entry.query)}",
            entry,
            self.now,
            similarity=nearest.similarity,
            p_reusable=p_reusable,
            verdicts=verdicts,
            trail=trail,
        )
        return Hit(entry.answer, explanation)

    def _served_until(self, entry: Entry) -> float:
        """Return until when an answer may be served to this question.

        Its own wording, or the router, may allow it less than the question that the answer was stored for.
        """
        judgement = self.trail.judged(self.request, self.rules)
        life = self.rules.life(self.request, judgement, self.trail.decision)
        return entry.created_at if life is None else entry.created_at + life.total_seconds()

    def _refusal(self, entry: Entry, until: float) -> Verdict | None:
        """Return what speaks against an answer whose question is the same: a weaker model, or its age."""
        least = self.request.least_tier
        if not entry.answer.is_of_tier(least):
            return Verdict("tier", passed=False, why=f"answered by tier {entry.answer.tier}, under {least}")
        if not self.now < until:
            return Verdict("age", passed=False, why="older than an answer to this question may be")
        return None

    def _just_answered(self) -> Generator[Step, Any, Hit | None]:
        """Serve the very same request, whose answer was stored since the exact tier was read."""
        entry = yield from self._fetch(self.trail.address.exact)
        if entry is None or not entry.answer.is_of_tier(self.request.least_tier):
            return None
        return Hit(entry.answer, explain_hit("l1", "the same request was just answered", entry, self.now))

    def _fetch(self, entry_id: str) -> Generator[Step, Any, Entry | None]:
        """Return the entry of a candidate with its answer, or None where it is gone."""
        address = self.trail.address
        try:
            found: Found = yield Get(Address(address.shard, address.partition, entry_id))
        except StepFailed as failure:
            self.trail.failures.append(str(failure))
            return None
        return found.entry if found.alias is None else None


def reconsider(
    trail: Trail, request: Request, decision: RoutingDecision, similarity: float | None
) -> Generator[Step, Any, None]:
    """Ask the router for a second look, at most once; where it fails the first one stands."""
    if trail.is_reconsidered:
        return
    trail.is_reconsidered = True
    try:
        trail.decision = yield Reconsider(request, trail.vector, decision, similarity)
    except StepFailed as failure:
        trail.failures.append(str(failure))

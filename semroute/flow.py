"""The whole policy of the cache: lookup and update as generators of steps, without any I/O.

A driver (see `semroute.cache`) performs each step and sends its result back; a step that failed is thrown back in as
`StepFailed`. So there is one copy of the logic for the sync and the async world, and it is tested without stores,
models or clocks. Everything fails open: to the model, never to a wider scope.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from semroute.admission import admit
from semroute.cacheability import Cacheability
from semroute.entry import Address, Alias, Answer, Candidate, Entry, Found
from semroute.explaining import explain_hit, quoted, why_none
from semroute.result import (
    Hit,
    Lookup,
    Nearest,
    NotStored,
    Stored,
    Update,
    Verdict,
    least_p,
)
from semroute.steps import Embed, Get, Judge, Put, Reconsider, Route, Search, Step, StepFailed

if TYPE_CHECKING:
    from semroute.cacheability import Judgement
    from semroute.entry import FloatVector
    from semroute.gate import Gate
    from semroute.request import Request
    from semroute.router.decision import RoutingDecision, Staleness
    from semroute.rules import Rules
    from semroute.trail import Trail


def lookup(request: Request, words: str, trail: Trail, rules: Rules, now: float) -> Generator[Step, Any, Lookup]:
    """Look a request up: the exact tier, cacheability, then the semantic tier behind gate and guards.

    `words` is the query as it is compared. The trail is filled on the way. Where the model is to be called by the
    decision (`request.is_routed`), there is one, unless the router failed.
    """
    result: Lookup = yield from _lookup(request, words, trail, rules, now)
    if not request.is_routed or isinstance(result, Hit):
        return result
    yield from _decide(request, words, trail, rules)
    return replace(result, explanation=replace(result.explanation, decision=trail.decision))


def _decide(request: Request, words: str, trail: Trail, rules: Rules) -> Generator[Step, Any, None]:
    """Have the model chosen that is called: what was not asked on the way is asked now, and doubts are looked into."""
    if trail.decision is None:
        if trail.fits is None:
            yield from _embed(trail, words)
        yield from _route(trail, request)
    if rules.reconsiders and trail.decision is not None and not rules.is_sure(trail.decision):
        yield from _reconsider(trail, request, trail.decision, None)


def _lookup(request: Request, words: str, trail: Trail, rules: Rules, now: float) -> Generator[Step, Any, Lookup]:
    """Look a request up. The exact tier needs no rules in front: what they bypass is never stored, nor found."""
    refusal = _reason_to_refuse(request, rules)
    if refusal is not None:
        return trail.bypass(refusal)
    found = yield from _get(trail)
    if found is not None and found.entry is not None and _is_strong_enough(found.entry, request.least_tier):
        hit = yield from _exact_hit(words, found.entry, found.alias, rules, now)
        if hit is not None:
            trail.entry = found.entry
            return hit
    judgement = trail.judged(request, rules)
    if judgement.cacheability is Cacheability.BYPASS:
        return trail.bypass(judgement.reason)
    if judgement.cacheability is Cacheability.EXACT_ONLY:
        return trail.miss(f"exact tier only: {judgement.reason}")
    if not (yield from _embed(trail, words)):
        return trail.miss(trail.failures[-1] if trail.failures else "exact tier only: longer than the embedder's limit")
    yield from _route(trail, request)
    if rules.policy.embedder not in (None, trail.embedder):
        return trail.miss(f"policy {rules.policy.version} was tuned for another embedder, {rules.policy.embedder}")
    if rules.has_another_verifier(trail.embedder):
        return trail.miss(
            f"policy {rules.policy.version} was tuned with another verifier, {rules.policy.verifier}: "
            "give the cache that one (verifier=), or tune again with `semroute tune`"
        )
    trail.gate = rules.gate(trail.decision, trail.embedder)
    if trail.gate.is_bypass:
        return trail.bypass(f"the router decided so: {trail.gate.threshold_from}")
    return (yield from _semantic(request, words, trail, trail.gate, rules, now))


def answered(
    request: Request, words: str, address: Address, rules: Rules, now: float
) -> Generator[Get | Judge, Any, Hit | None]:
    """Look once more into the exact tier alone, for a caller that has missed and waits for another's answer."""
    try:
        found: Found = yield Get(address)
    except StepFailed:
        return None
    if found.entry is None or not _is_strong_enough(found.entry, request.least_tier):
        return None
    return (yield from _exact_hit(words, found.entry, found.alias, rules, now))


def update(
    request: Request, words: str, answer: Answer, trail: Trail, labels: frozenset[str], rules: Rules, now: float
) -> Generator[Step, Any, Update]:
    """Store an answer where admission and freshness allow it. `trail` is that of the lookup, or a new one."""
    refusal = _reason_to_refuse(request, rules)
    if refusal is not None:
        return NotStored(refusal)
    judgement = trail.judged(request, rules)
    if judgement.cacheability is Cacheability.BYPASS:
        return NotStored(judgement.reason)
    admission = admit(answer, rules.admission)
    if not admission.stored:
        return NotStored(admission.reason)
    if trail.epoch is None and (yield from _get(trail)) is None:
        return NotStored(trail.failures[-1])
    is_semantic = admission.semantic and judgement.cacheability is Cacheability.FULL
    if is_semantic and trail.vector is None and trail.fits is not False:
        yield from _embed(trail, words)
    if trail.decision is None:
        yield from _route(trail, request)
    if rules.gate(trail.decision).is_bypass:
        return NotStored("the router decided to bypass")
    life = _lifetime(request, judgement, trail.decision, rules)
    if life is None:
        return NotStored("its answer is right for a moment only")
    has_vector = is_semantic and trail.vector is not None
    entry = Entry(
        address=trail.address,
        query=words,
        answer=answer,
        created_at=now,
        expires_at=now + life.total_seconds(),
        labels=labels,
        epoch=0 if trail.epoch is None else trail.epoch,
        vector=trail.vector if has_vector else None,
        embedder=trail.embedder if has_vector else None,
    )
    return (yield from _put(entry))


def _put(entry: Entry) -> Generator[Step, Any, Update]:
    try:
        kept: bool = yield Put(entry)
    except StepFailed as failure:
        return NotStored(str(failure))
    if not kept:
        return NotStored("invalidated while the model was answering")
    return Stored(entry.id, entry.expires_at, entry.vector is not None)


def _reason_to_refuse(request: Request, rules: Rules) -> str | None:
    if request.bypass:
        return "the application asked for a fresh answer"
    if rules.require_scope and request.scope.is_empty:
        return "the cache requires a scope and the request names none"
    return None


def _lifetime(
    request: Request, judgement: Judgement, decision: RoutingDecision | None, rules: Rules
) -> timedelta | None:
    """Return the shortest life that rules, router and request allow; None where there is none at all."""
    stalenesses: list[Staleness] = [judgement.freshness.staleness]
    if decision is not None:
        stalenesses.append(decision.staleness)
        if decision.intent == "retrieval":  # what documents say may change: at most slow
            stalenesses.append("slow")
    lives = [rules.lifetimes.get(staleness) for staleness in stalenesses]
    bounds = [life for life in [*lives, request.ttl] if life is not None]
    return None if None in lives else min(bounds)


def _get(trail: Trail) -> Generator[Step, Any, Found | None]:
    try:
        found: Found = yield Get(trail.address)
    except StepFailed as failure:
        trail.failures.append(str(failure))
        return None
    trail.epoch = found.epoch
    return found


def _embed(trail: Trail, words: str) -> Generator[Step, Any, bool]:
    try:
        embedded: tuple[FloatVector, str] | None = yield Embed(words)
    except StepFailed as failure:
        trail.failures.append(str(failure))
        return False
    trail.fits = embedded is not None
    if embedded is not None:
        trail.vector, trail.embedder = embedded
    return trail.fits


def _route(trail: Trail, request: Request) -> Generator[Step, Any, None]:
    try:
        trail.decision = yield Route(request, trail.vector)
    except StepFailed as failure:
        trail.failures.append(str(failure))


def _reconsider(
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


def _is_strong_enough(entry: Entry, least_tier: int) -> bool:
    """Say whether an answer may be served in a route group: never one of a weaker model, or of an unknown one."""
    return least_tier == 0 or (entry.answer.tier is not None and entry.answer.tier >= least_tier)


def _exact_hit(
    words: str, entry: Entry, alias: Alias | None, rules: Rules, now: float
) -> Generator[Judge, Any, Hit | None]:
    """Serve what the exact tier holds; an alias only where the policy of today would still serve it."""
    if alias is None:
        return Hit(entry.answer, explain_hit("l1", "the same request was answered before", entry, now))
    verdicts: tuple[Verdict, ...] = ()
    if alias.policy != rules.version:
        if rules.verifier is not None:  # the semantic tier asks it again, and makes the alias anew
            return None
        today = rules.gate(None)
        # Written so that a similarity that is not a number is under every threshold; so below.
        if today.threshold is None or not alias.similarity >= today.threshold:
            return None
        candidate = Candidate(entry.id, entry.query, alias.similarity)
        verdicts = yield Judge(rules.guards, words, candidate)
        if not all(verdict.passed for verdict in verdicts):
            return None
    explanation = explain_hit(
        "l1_alias",
        "the same words were served by this entry before",
        entry,
        now,
        similarity=alias.similarity,
        p_reusable=alias.p_reusable,
        verdicts=verdicts,
    )
    return Hit(entry.answer, explanation)


def _semantic(
    request: Request, words: str, trail: Trail, gate: Gate, rules: Rules, now: float
) -> Generator[Step, Any, Lookup]:
    """Search the partition and serve the best candidate that clears the gate and every guard."""
    candidates = yield from _neighbours(trail, rules.k)
    if candidates is None:
        return trail.miss(trail.failures[-1])
    guards = rules.asked(gate, trail.embedder)
    doubted, surest = _doubted(trail.decision, gate, rules, trail.embedder)
    for candidate in candidates:
        if candidate.id == trail.address.exact:
            hit = yield from _just_answered(request, trail, now)
            if hit is not None:
                return hit
            continue
        if not surest.reaches(candidate.similarity):
            trail.considered.append(Nearest(candidate.id, candidate.query, candidate.similarity))
            continue
        judged: tuple[Verdict, ...] = yield Judge(guards, words, candidate)
        if doubted is not None and surest.lets_through(candidate, judged) and not gate.lets_through(candidate, judged):
            yield from _reconsider(trail, request, doubted, candidate.similarity)
            doubted, trail.gate = None, rules.gate(trail.decision, trail.embedder)
            gate = surest = trail.gate
            if gate.is_bypass:
                return trail.bypass(f"the router decided so: {gate.threshold_from}")
        verdicts = gate.held(judged) if gate.reaches(candidate.similarity) else ()
        trail.considered.append(Nearest(candidate.id, candidate.query, candidate.similarity, verdicts))
        if gate.lets_through(candidate, judged):
            hit = yield from _serve(request, words, candidate, verdicts, trail, rules, now)
            if hit is not None:
                return hit
    return trail.miss(why_none(trail.considered, gate))


def _neighbours(trail: Trail, k: int) -> Generator[Step, Any, Sequence[Candidate] | None]:
    if trail.vector is None or trail.embedder is None:
        return ()
    try:
        candidates: Sequence[Candidate] = yield Search(trail.address, trail.vector, trail.embedder, k)
    except StepFailed as failure:
        trail.failures.append(str(failure))
        return None
    return candidates


def _just_answered(request: Request, trail: Trail, now: float) -> Generator[Step, Any, Hit | None]:
    """Serve the very same request, whose answer was stored since the exact tier was read."""
    entry = yield from _fetch(trail, trail.address.exact)
    if entry is None or not _is_strong_enough(entry, request.least_tier):
        return None
    return Hit(entry.answer, explain_hit("l1", "the same request was just answered", entry, now))


def _doubted(
    decision: RoutingDecision | None, gate: Gate, rules: Rules, embedder: str | None
) -> tuple[RoutingDecision | None, Gate]:
    """Return a decision that a second look may make surer, and what the gate would be then; else None and the gate."""
    if not rules.reconsiders or decision is None or rules.is_sure(decision):
        return None, gate
    return decision, rules.gate(decision.model_copy(update={"confidence": 1.0}), embedder)


def _fetch(trail: Trail, entry_id: str) -> Generator[Step, Any, Entry | None]:
    """Return the entry of a candidate with its answer, or None where it is gone."""
    try:
        found: Found = yield Get(Address(trail.address.shard, trail.address.partition, entry_id))
    except StepFailed as failure:
        trail.failures.append(str(failure))
        return None
    return found.entry if found.alias is None else None


def _serve(
    request: Request,
    words: str,
    candidate: Candidate,
    verdicts: tuple[Verdict, ...],
    trail: Trail,
    rules: Rules,
    now: float,
) -> Generator[Step, Any, Hit | None]:
    """Fetch the payload of the one candidate that is served, and point the exact tier at it."""
    entry = yield from _fetch(trail, candidate.id)
    if entry is None:
        return None
    if not _is_strong_enough(entry, request.least_tier):
        weak = Verdict("tier", passed=False, why=f"answered by tier {entry.answer.tier}, under {request.least_tier}")
        trail.considered[-1] = replace(trail.considered[-1], verdicts=(*verdicts, weak))
        return None
    trail.entry = entry
    p_reusable = least_p(verdicts)
    alias = Alias(trail.address, candidate.id, words, candidate.similarity, p_reusable, rules.version, now)
    if trail.serves:
        try:
            yield Put(alias)
        except StepFailed as failure:
            trail.failures.append(str(failure))
    explanation = explain_hit(
        "l2",
        f"the same question in other words: {quoted(entry.query)}",
        entry,
        now,
        similarity=candidate.similarity,
        p_reusable=p_reusable,
        verdicts=verdicts,
        trail=trail,
    )
    return Hit(entry.answer, explanation)

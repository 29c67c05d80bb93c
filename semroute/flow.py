"""The whole policy of the cache: lookup and update as generators of steps, without any I/O.

A driver (see `semroute.cache`) performs each step and sends its result back; a step that failed is thrown back in as
`StepFailed`. So there is one copy of the logic for the sync and the async world, and it is tested without stores,
models or clocks. Everything fails open: to the model, never to a wider scope.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from semroute.admission import admit
from semroute.cacheability import Cacheability
from semroute.entry import Address, Alias, Answer, Candidate, Entry, Found
from semroute.explaining import explain_hit
from semroute.result import Hit, Lookup, NotStored, Stored, Update, Verdict
from semroute.semantic import SemanticTier, reconsider
from semroute.steps import Embed, Get, Judge, Put, Route, Step, StepFailed

if TYPE_CHECKING:
    from semroute.entry import FloatVector
    from semroute.request import Request
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


def decide(request: Request, words: str, trail: Trail) -> Generator[Step, Any, None]:
    """Have the router decide about a request, unless it has done so."""
    if trail.decision is None:
        yield from _embed(trail, words)
        yield from _route(trail, request)


def _decide(request: Request, words: str, trail: Trail, rules: Rules) -> Generator[Step, Any, None]:
    """Have the model chosen that is called: what was not asked on the way is asked now, and doubts are looked into."""
    yield from decide(request, words, trail)
    if rules.reconsiders and trail.decision is not None:  # it knows itself what it is sure of
        yield from reconsider(trail, request, trail.decision, None)


def _lookup(request: Request, words: str, trail: Trail, rules: Rules, now: float) -> Generator[Step, Any, Lookup]:
    """Look a request up. The exact tier needs no rules in front: what they bypass is never stored, nor found."""
    refusal = _reason_to_refuse(request, rules)
    if refusal is not None:
        return trail.bypass(refusal)
    found = yield from _get(trail)
    if found is not None and found.entry is not None and found.entry.answer.is_of_tier(request.least_tier):
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
    return (yield from SemanticTier(request, words, trail, rules, now).look(trail.gate))


def answered(
    request: Request, words: str, address: Address, rules: Rules, now: float
) -> Generator[Get | Judge, Any, Hit | None]:
    """Look once more into the exact tier alone, for a caller that has missed and waits for another's answer."""
    try:
        found: Found = yield Get(address)
    except StepFailed:
        return None
    if found.entry is None or not found.entry.answer.is_of_tier(request.least_tier):
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
    if is_semantic:
        yield from _embed(trail, words)
    yield from _route(trail, request)
    if rules.gate(trail.decision).is_bypass:
        return NotStored("the router decided to bypass")
    life = rules.life(request, judgement, trail.decision)
    if life is None:
        return NotStored("its answer is right for a moment only")
    has_vector = is_semantic and trail.vector is not None
    entry = Entry(
        address=trail.address,
        query=words,
        answer=answer,
        created_at=now,
        expires_at=now + (life if request.ttl is None else min(life, request.ttl)).total_seconds(),
        labels=labels,
        epoch=0 if trail.epoch is None else trail.epoch,
        vector=trail.vector if has_vector else None,
        embedder=trail.embedder if has_vector else None,
    )
    result: Update = yield from _put(entry)
    trail.stored = entry if isinstance(result, Stored) else None
    return result


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


def _get(trail: Trail) -> Generator[Step, Any, Found | None]:
    try:
        found: Found = yield Get(trail.address)
    except StepFailed as failure:
        trail.failures.append(str(failure))
        return None
    trail.epoch = found.epoch
    return found


def _embed(trail: Trail, words: str) -> Generator[Step, Any, bool]:
    if trail.fits is not None:
        return trail.fits
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
    if trail.decision is not None:
        return
    try:
        trail.decision = yield Route(request, trail.vector, trail.embedder)
    except StepFailed as failure:
        trail.failures.append(str(failure))


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

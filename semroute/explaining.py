"""The explanations of the flow, in words for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from semroute.result import Explanation, Nearest, Saved, Tier, Verdict

if TYPE_CHECKING:
    from semroute.entry import Entry
    from semroute.gate import Gate
    from semroute.trail import Trail


def why_none(considered: Sequence[Nearest], gate: Gate) -> str:
    if not considered:
        return "nothing is stored for this scope and context yet"
    for nearest in considered:
        refusals = [str(verdict) for verdict in nearest.verdicts if not verdict.passed]
        if refusals:
            return f"refused {quoted(nearest.query)}: {refusals[0]}"
    best = considered[0]
    if not gate.reaches(best.similarity):
        return f"the nearest, {quoted(best.query)}, has similarity {best.similarity:.3f}, under {gate.threshold:.2f}"
    return f"the nearest, {quoted(best.query)}, was gone before it could be served"


def quoted(query: str) -> str:
    """Quote a question for a person, who does not want to read a megabyte."""
    return repr(query if len(query) <= 200 else f"{query[:199]}…")


def explain_hit(
    tier: Tier,
    reason: str,
    entry: Entry,
    now: float,
    *,
    similarity: float = 1.0,
    p_reusable: float | None = None,
    verdicts: tuple[Verdict, ...] = (),
    trail: Trail | None = None,
) -> Explanation:
    answer = entry.answer
    usage = answer.usage
    gated = None if trail is None else trail.gate
    return Explanation(
        tier=tier,
        reason=reason,
        hit_id=entry.id,
        similarity=similarity,
        p_reusable=p_reusable,
        threshold=None if gated is None else gated.threshold,
        threshold_from=None if gated is None else gated.threshold_from,
        age_s=max(0.0, now - entry.created_at),
        model=answer.model,
        saved=Saved(None if usage is None else usage.total_tokens, answer.usd, answer.latency_s),
        verdicts=verdicts,
        considered=() if trail is None else tuple(trail.considered),
        decision=None if trail is None else trail.decision,
        failures=() if trail is None else tuple(trail.failures),
    )

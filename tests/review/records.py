"""Records of lookups, made up."""

from __future__ import annotations

from semroute.entry import Answer
from semroute.result import Verdict
from semroute.shadow import ShadowRecord


def make_record(number: int = 0, **fields: object) -> ShadowRecord:
    """Return a record of a question of its own about one stored question."""
    given: dict[str, object] = {
        "at": 1_750_000_000.0 + number,
        "request": f"request{number}",
        "entry": "entry0",
        "query": f"How do I pay bill {number}?",
        "candidate": "How do I pay my bill?",
        "similarity": 0.9,
        "threshold": 0.85,
    }
    return ShadowRecord(**{**given, **fields})  # type: ignore[arg-type]  # passed through as they are


FULL_RECORD = make_record(
    p_reusable=0.75,
    verdicts=(Verdict("numbers", True), Verdict("verifier", False, "0.75 is under 0.9", 0.75)),
    needed_p=0.9,
    threshold_from="policy mine",
    would_serve=True,
    was_served=True,
    stored_answer=Answer("By card.", model="small"),
    real_answer=Answer("By bank transfer — «überall»."),
    labels=frozenset({"tenant digest", "tag digest"}),
)

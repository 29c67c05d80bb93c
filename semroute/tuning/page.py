"""A tuning as a page for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from semroute.policy_page import policy_page

if TYPE_CHECKING:
    from semroute.tuning.tune import Tuning

_WIDTH, _HEIGHT = 320, 120


def tuning_page(tuning: Tuning) -> str:
    """Return a tuning as HTML: the policy, a sketch of hit rate over error rate, and what it rests on."""
    promise = tuning.promise
    notes = (
        f"hit rate {promise.hit_rate:.4f} of all requests, {tuning.right_hits:.4f} of those with a right answer",
        f"error rate {promise.error_rate:.4f}, upper bound {tuning.error_bound:.4f}, promised {promise.max_error:g}",
        f"{tuning.n:,} pairs, {tuning.positives:,} of them right; {tuning.learned_on:,} chose the path, "
        f"{promise.n:,} tested it, worth {tuning.effective_n:,.0f} independent ones",
        *(["the labels have weights, so the promise is approximate"] if tuning.is_approximate else []),
    )
    return policy_page(tuning.policy) + _sketch(tuning) + "".join(f"<p>{escape(note)}</p>" for note in notes)


def _sketch(tuning: Tuning) -> str:
    """Draw the curve up to four times the bound, with a line at the bound and a dot at the chosen point."""
    right = 4.0 * tuning.promise.max_error
    inside = tuning.curve.error_rate <= right
    hits, errors = tuning.curve.hit_rate[inside], tuning.curve.error_rate[inside]
    top = max(float(hits.max(initial=0.0)), 1e-9)

    def place(error: float, hit: float) -> tuple[float, float]:
        return round(error / right * _WIDTH, 1), round(_HEIGHT - hit / top * _HEIGHT, 1)

    points = " ".join("{},{}".format(*place(float(error), float(hit))) for error, hit in zip(errors, hits, strict=True))
    bound = place(tuning.promise.max_error, 0.0)[0]
    x, y = place(tuning.promise.error_rate, tuning.promise.hit_rate)
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="hit rate over error rate">'
        f'<polyline points="{points}" fill="none" stroke="currentColor"/>'
        f'<line x1="{bound}" y1="0" x2="{bound}" y2="{_HEIGHT}" stroke="currentColor" stroke-dasharray="3"/>'
        f'<circle cx="{x}" cy="{y}" r="4"/></svg>'
    )

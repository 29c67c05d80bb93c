"""Results and explanations as small HTML cards for notebooks.

Colours are the page's own (`currentColor`) but for a stripe that repeats what the headline says, so that a card can be
read on a dark page and without telling colours apart. Whatever came from users or models is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Final

from semroute.result import Bypass, Hit, Miss

if TYPE_CHECKING:
    from semroute.ledger import CostLedger, Costs
    from semroute.rehearsal import Trace
    from semroute.result import Explanation, Lookup, Nearest, Saved, Verdict

_TIERS: Final[Mapping[str, tuple[str, str]]] = {
    "l1": ("Hit", "the same request"),
    "l1_alias": ("Hit", "the same words as an earlier hit"),
    "l2": ("Hit", "the same question in other words"),
    "miss": ("Miss", "the model is asked"),
    "bypass": ("Bypass", "neither read from the cache nor stored"),
}
_STRIPES: Final[Mapping[str, str]] = {"Hit": "#2a8fc7", "Miss": "#d98c1f", "Bypass": "#8a8a8a"}
"""Blue, orange and grey: apart under every common colour blindness, and in front of black and white."""
_CARD: Final = (
    "border-left:4px solid {stripe};padding:.3em 0 .3em 1em;margin:.4em 0;max-width:56em;line-height:1.45;"
    "overflow-wrap:anywhere"
)
_CELL: Final = "text-align:left;vertical-align:top;padding:.15em 1em .15em 0;background:none"
_LABEL: Final = f"{_CELL};opacity:.7;font-weight:normal;white-space:nowrap"
_ANSWER: Final = "white-space:pre-wrap;margin:.3em 0 .5em"
_MOST_CHARS: Final = 600
_MOST_CANDIDATES: Final = 5
_BAR_WIDTH, _BAR_HEIGHT = 200, 12


def result_page(result: Lookup) -> str:
    """Return a result as a card: what was decided and why, the answer of a hit, and what a miss withheld."""
    match result:
        case Hit(answer, explanation):
            return _card(explanation, _answer(answer.text))
        case Miss(explanation, withheld) if withheld is not None:
            note = f"Shadow mode or a canary withheld this answer (tier {withheld.tier}):"
            return _card(explanation, f"<div>{escape(note)}</div>{_answer(withheld.answer.text)}")
        case Miss(explanation) | Bypass(explanation):
            return _card(explanation, "")


def explanation_page(explanation: Explanation) -> str:
    """Return an explanation as a card: tier, reason, similarity against its threshold, verdicts and candidates."""
    return _card(explanation, "")


def trace_page(trace: Trace) -> str:
    """Return an explained lookup as a card, with what each of its steps brought."""
    steps = "".join(
        f'<tr style="background:none"><td style="{_CELL}">{escape(step.name)}</td>'
        f'<td style="{_CELL}">{_text(step.outcome)}</td>'
        f'<td style="{_CELL};text-align:right">{f"{step.ms:.2f} ms" if step.ms else ""}</td></tr>'
        for step in trace.steps
    )
    table = f'<table style="border-collapse:collapse;margin:.4em 0 0"><tbody>{steps}</tbody></table>'
    return _card(trace.explanation, "", table)


def ledger_page(ledger: CostLedger) -> str:
    """Return a ledger as a table: a row for each model, and one for their sum; estimates are marked."""
    names = ("calls", "hits", "spent", "saved by hits", "saved by routing")
    head = "".join(f'<th style="{_CELL};text-align:right" scope="col">{name}</th>' for name in ("", *names))
    rows = [*ledger.by_model().items(), ("in all", ledger.total())]
    body = "".join(f'<tr style="background:none">{_costs(name, costs)}</tr>' for name, costs in rows)
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _costs(name: str | None, costs: Costs) -> str:
    mark = "≈ " if costs.is_estimate else ""
    cells = (
        f"{costs.calls:,}",
        f"{costs.hits:,}",
        f"{mark}${costs.spent_usd:,.4f}",
        f"${costs.saved_by_hits_usd:,.4f}",
        f"{mark}${costs.saved_by_routing_usd:,.4f}",
    )
    label = f'<th style="{_LABEL}" scope="row">{_text("(unnamed)" if name is None else name)}</th>'
    return label + "".join(f'<td style="{_CELL};text-align:right">{cell}</td>' for cell in cells)


def _card(explanation: Explanation, answer: str, below: str = "") -> str:
    kind, meaning = _TIERS[explanation.tier]
    headline = f"{kind} ({explanation.tier})" if kind == "Hit" else kind
    rows = "".join(
        f'<tr style="background:none"><th style="{_LABEL}" scope="row">{escape(name)}</th>'
        f'<td style="{_CELL}">{content}</td></tr>'
        for name, content in _rows(explanation)
    )
    return (
        f'<div style="{_CARD.format(stripe=_STRIPES[kind])}" dir="auto">'
        f"<div><b>{headline}</b> · {meaning}</div>"
        f'{answer}<table style="border-collapse:collapse;margin:0"><tbody>{rows}</tbody></table>{below}</div>'
    )


def _answer(text: str) -> str:
    return f'<div style="{_ANSWER}" dir="auto">{_text(text)}</div>'


def _rows(explanation: Explanation) -> Iterable[tuple[str, str]]:
    """Yield what there is to tell, each as a name and as HTML."""
    yield "why", _text(explanation.reason)
    if explanation.similarity is not None:
        yield "similarity", _against(explanation.similarity, explanation.threshold, explanation.threshold_from)
    if explanation.p_reusable is not None:
        yield "P(reusable)", f"{explanation.p_reusable:.3f}"
    if explanation.verdicts:
        yield "guards", _verdicts(explanation.verdicts)
    if explanation.saved is not None and (told := _saved(explanation.saved)):
        yield "saved", escape(told)
    if explanation.model is not None:
        yield "answered by", _text(explanation.model)
    if explanation.age_s is not None:
        yield "age", escape(_duration(explanation.age_s))
    if explanation.considered:
        yield "looked at", _candidates(explanation.considered)
    if explanation.failures:
        yield "failed", "<br>".join(map(_text, explanation.failures))


def _against(similarity: float, threshold: float | None, origin: str | None) -> str:
    """Draw a similarity as a bar, with a line where a hit begins."""
    told = escape(f"{similarity:.3f}{'' if threshold is None else _needed(similarity, threshold, origin)}")
    x = round(min(max(similarity, 0.0), 1.0) * _BAR_WIDTH, 1)
    line = "" if threshold is None else _mark(round(threshold * _BAR_WIDTH, 1))
    return (
        f'<svg width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" role="img" aria-label="{told}" '
        f'style="vertical-align:middle;overflow:visible"><g fill="currentColor">'
        f'<rect y="3" width="{_BAR_WIDTH}" height="6" opacity=".15"/><rect y="3" width="{x}" height="6" opacity=".6"/>'
        f"</g>{line}</svg> {told}"
    )


def _needed(similarity: float, threshold: float, origin: str | None) -> str:
    source = "" if origin is None else f" (from {origin})"
    return f", {'at least' if similarity >= threshold else 'under'} {threshold:g}{source}"


def _mark(x: float) -> str:
    return f'<line x1="{x}" y1="-1" x2="{x}" y2="{_BAR_HEIGHT + 1}" stroke="currentColor" stroke-width="2"/>'


def _verdicts(verdicts: tuple[Verdict, ...]) -> str:
    """Tell those that passed in one line, and each refusal in one of its own."""
    passed = ", ".join(_guard(verdict) for verdict in verdicts if verdict.passed)
    refusals = [f"✗ {_guard(verdict)} refused: {_text(verdict.why)}" for verdict in verdicts if not verdict.passed]
    return "<br>".join([*([f"✓ passed: {passed}"] if passed else []), *refusals])


def _guard(verdict: Verdict) -> str:
    p = "" if verdict.p_reusable is None else f" (P(reusable) {verdict.p_reusable:.3f})"
    return f"{_text(verdict.guard)}{p}"


def _candidates(considered: tuple[Nearest, ...]) -> str:
    lines = [
        f"{nearest.similarity:.3f} {_text(nearest.query)}{_fate(nearest)}" for nearest in considered[:_MOST_CANDIDATES]
    ]
    more = len(considered) - _MOST_CANDIDATES
    return "<br>".join([*lines, *([f"and {more} more"] if more > 0 else [])])


def _fate(nearest: Nearest) -> str:
    if not nearest.verdicts:
        return ""
    refusal = next((verdict for verdict in nearest.verdicts if not verdict.passed), None)
    return " ✓ passed" if refusal is None else f" ✗ {_text(refusal.guard)}"


def _saved(saved: Saved) -> str:
    parts = (
        None if saved.tokens is None else f"{saved.tokens:,} tokens",
        None if saved.usd is None else f"${saved.usd:.6f}",
        None if saved.seconds is None else f"{saved.seconds:.2f} s",
    )
    return " · ".join(part for part in parts if part is not None)


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _text(text: str) -> str:
    """Escape a text, and cut one that would fill the page."""
    if len(text) <= _MOST_CHARS:
        return escape(text)
    return f"{escape(text[:_MOST_CHARS])}… ({len(text) - _MOST_CHARS:,} more characters)"

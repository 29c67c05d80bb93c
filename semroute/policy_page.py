"""A policy as a small table for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semroute.policy import Cell, Policy, Promise


def policy_page(policy: Policy) -> str:
    """Return a policy as HTML: its thresholds, and what it promises where it promises anything."""
    rows = [_row(cell) for cell in policy.cells] if policy.cells else _plain_rows(policy)
    unsure = (f"router unsure or failed, no data: similarity at least {policy.strict_threshold:g}",)
    head = "".join(f"<th>{name}</th>" for name in ("requests", "similarity ≥", "P(reusable) ≥", "lexical guards"))
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    notes = [*unsure, *([] if policy.promise is None else _promised(policy.promise))]
    foot = "<br>".join(escape(note) for note in notes)
    return (
        f"<table><caption>policy {escape(policy.version)}</caption><thead><tr>{head}</tr></thead>"
        f'<tbody>{body}</tbody><tfoot><tr><td colspan="4">{foot}</td></tr></tfoot></table>'
    )


def _row(cell: Cell) -> tuple[str, ...]:
    sureness = "sure" if cell.is_sure else "unsure"
    p_reusable = "–" if cell.min_p_reusable is None else f"{cell.min_p_reusable:g}"
    return f"{cell.strategy}, router {sureness}", f"{cell.threshold:g}", p_reusable, _guards(cell.requires_guards)


def _plain_rows(policy: Policy) -> list[tuple[str, ...]]:
    return [
        ("without a verifier", f"{policy.threshold:g}", "–", _guards(True)),
        (
            "behind a verifier",
            f"{policy.verified_threshold:g}",
            f"{policy.min_p_reusable:g}",
            _guards(policy.verified_requires_guards),
        ),
    ]


def _guards(are_required: bool) -> str:
    return "must pass" if are_required else "not asked"


def _promised(promise: Promise) -> list[str]:
    return [
        f"promise: error rate at most {promise.max_error:g} with confidence {promise.confidence:g}, "
        f"also among the next {promise.requests:,} requests",
        f"measured on {promise.n:,} pairs: error rate {promise.error_rate:.4f}, hit rate {promise.hit_rate:.4f}",
    ]

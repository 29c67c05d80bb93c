"""Pieces of HTML that the report is put together from."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

STYLE: Final = """
:root { --ink: #222; --faint: #666; --line: #ddd; --ours: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1.5rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.25rem; margin: 3rem 0 .4rem; }
p { max-width: 46rem; margin: .4rem 0; } .faint, figcaption, .made { color: var(--faint); font-size: .875rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; margin: 1.5rem 0; }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: .875rem; }
.tile i { color: var(--faint); font-style: normal; font-size: .8rem; }
table { border-collapse: collapse; margin: 1rem 0 .4rem; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; white-space: normal; border-bottom: 2px solid #999; }
th:first-child, td:first-child { text-align: left; }
table.words th, table.words td { text-align: left; white-space: normal; vertical-align: top; }
tr.ours td { color: var(--ours); font-weight: 600; }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; max-height: 60rem; }
figure.narrow { max-width: 34rem; }
svg text { font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif !important; }
code { font: .8rem/1.4 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--faint); font-size: .9rem; }
.scroll { overflow-x: auto; } .scroll table { margin-top: .3rem; } table.words code { overflow-wrap: normal; }
"""


def percent(rate: float | None, digits: int = 1) -> str:
    """Return a share in per cent; a dash for none."""
    return "–" if rate is None else f"{100 * rate:.{digits}f} %"


def number(value: float | None) -> str:
    """Return a number with three digits; a dash for none."""
    return "–" if value is None else f"{value:.3f}"


def table(heads: Sequence[str], lines: Sequence[str], kind: str = "") -> str:
    """Return a table that scrolls by itself where the window is narrow."""
    names = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return f'<div class="scroll"><table class="{kind}"><tr>{names}</tr>{"".join(lines)}</table></div>'


def line(cells: Sequence[str], kind: str = "") -> str:
    """Return a row of a table; the cells are HTML already."""
    return f'<tr class="{kind}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def drawing(svg: str, caption: str, command: str, *, kind: str = "") -> str:
    """Return a picture with its caption and the command that made it."""
    words = escape(caption)
    return (
        f'<figure class="{kind}" role="img" aria-label="{words}">{svg}'
        f"<figcaption>{words}. {made_by(command)}</figcaption></figure>"
    )


def made_by(command: str) -> str:
    """Return the command that made what stands above."""
    return f'<div class="made"><code>{escape(command)}</code></div>'

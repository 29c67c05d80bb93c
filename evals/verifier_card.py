"""The card of a verifier as a page: what it is for, what it rests on, and how it did on questions it had not seen.

python -m evals.verifier_card semroute/guards/verifier.json > semroute/guards/verifier_card.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semroute.guards.verifier import Verifier

_COLUMNS = ("hit_rate", "false_hit_rate", "p_chr_auc", "best_hits_1", "best_hits_5", "ece")
_TITLES = ("set", "pairs", "hit rate", "false-hit rate", "P-CHR AUC", "hits at <= 1 %", "at <= 5 %", "ECE")
_LEFT_OUT_TITLES = ("hit rate, left out", "false, left out")
_LEFT_OUT = '"Left out": by a fit that saw nothing of the set: what to expect of questions of another kind. '
_NEVER_SEEN = "No fit learns from `held_out` and `same_place`, but weights were chosen with `held_out` in view. "


def page(verifier: Verifier) -> str:
    """Return the card as Markdown."""
    card: Mapping[str, Any] = verifier.card
    command = "python -m evals.verifier DATA" + (" --left-out" if card["left_out"] else "")
    point, method = card["operating_point"], card["method"]
    return f"""# {card["title"]}

| | |
|---|---|
| coefficients | `{verifier.digest}` |
| embedder | `{verifier.embedder}` |
| use | {card["use"]} |
| method | {method["trees"]} boosted trees of depth {method["depth"]}; {method["calibration"]} |
| folds | {method["folds"]} |
| operating point | P(reusable) >= {point["least_p_reusable"]} and similarity >= {point["least_similarity"]} |

Made by `{command} --out semroute/guards/verifier.json`; this page by
`python -m evals.verifier_card semroute/guards/verifier.json`.

## Data

{_table(("set", "pairs", "right", "weight", "source", "licence"), _data(card))}

{card["licence_limits"]}

## Figures

Hit rates and false-hit rates at the operating point, through the shipped flow, out of fold: no question stands on both
sides. {_LEFT_OUT if card["left_out"] else _NEVER_SEEN}A rate of 1 is out of
reach where vetoes or the rules about what
is cached refuse.

{_table((*_TITLES, *(_LEFT_OUT_TITLES if card["left_out"] else ())), _figures(card))}

## What it cannot do

It reads English. Numbers, names, opposites and code that differ hold it down whatever else is said. It was fitted on
short questions; long stories and domains unlike the sets above do worse. It knows of no answer: whether two questions
have the same one by chance, or no longer, it cannot tell.
"""


def _data(card: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            one["set"],
            f"{one['pairs']:,}",
            f"{one['positives']:,}",
            f"{one['weight']:,.0f}",
            one["source"],
            one["licence"],
        )
        for one in card["data"]
    ]


def _figures(card: Mapping[str, Any]) -> list[tuple[str, ...]]:
    left_out = card["left_out"]
    return [
        (
            name,
            f"{one['n']:,}",
            *(_said(one[column]) for column in _COLUMNS),
            *(_said(left_out.get(name, {}).get(column)) for column in _COLUMNS[:2] if left_out),
        )
        for name, one in card["out_of_fold"].items()
    ]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _said(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.4f}"


if __name__ == "__main__":
    sys.stdout.write(page(Verifier.load(Path(sys.argv[1]))))

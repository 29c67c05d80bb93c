"""The figures of routers as tables for the shell, and as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from evals.markup import STYLE, drawing, line, made_by, percent, table
from evals.routing import charts
from evals.routing.results import OURS, CostRun, PairRun, RoutingReport
from semroute.evaluation.routing import Interval


def tables(report: RoutingReport) -> str:
    """Return the figures as Markdown tables."""
    return "\n\n".join(
        f"{title}\n\n{_markdown(heads, rows)}" if rows else title for title, heads, rows in _sections(report)
    )


def page(report: RoutingReport) -> str:
    """Return the whole page."""
    body = [
        f"<h1>semroute {escape(report.version)}: the choice of models, measured</h1>",
        f'<p class="faint">{escape(report.made_at)} · {report.took_s / 60:.1f} minutes · out of fold: no prompt was '
        f"seen by the fit that judges it</p>{made_by(report.command)}",
        drawing(
            charts.pairs([*report.pairs, report.crossed]), "Accuracy at each share of strong calls", report.command
        ),
        drawing(charts.costs(report.routerbench), "Accuracy against cost, eleven models", report.command),
        drawing(charts.reliability(report.calibration), "Probabilities beside shares", report.command),
    ]
    for title, heads, rows in _sections(report):
        lines = [line([escape(cell) for cell in row], "ours" if row[0] == OURS else "") for row in rows]
        body.append(f"<h2>{escape(title)}</h2>{table(heads, lines)}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>semroute: routing</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>\n{''.join(body)}\n</body></html>\n"
    )


def _sections(report: RoutingReport) -> list[tuple[str, list[str], list[list[str]]]]:
    sections = [_pair(run) for run in report.pairs]
    sections.append(_pair(report.crossed, ", fitted on MMLU alone"))
    sections += [_many(run) for run in report.routerbench]
    sections.append(
        (
            "The models of RouterBench alone",
            ["model", "accuracy", "US dollars a thousand"],
            [
                [one.model, _number(one.accuracy), f"{one.cost:.2f}"]
                for one in sorted(report.routerbench[0].singles, key=lambda one: -one.accuracy)
            ],
        )
    )
    sections.append(
        (
            "Calibration, 10 bins",
            ["set", "tier", "ECE"],
            [[one.name, one.tier, f"{one.ece:.4f}"] for one in report.calibration],
        )
    )
    sections.append(
        (
            "One typo a question, strong share fixed at 50 %",
            ["set", "questions", "same model", "strong share with typos", "accuracy", "accuracy with typos"],
            [
                [one.name, f"{one.n:,}", *map(_percent, (one.same, one.strong_share)),
                 *map(_number, (one.accuracy, one.accuracy_with_typos))]
                for one in report.typos
            ],
        )
    )  # fmt: skip
    sections.append(
        (
            f"Time of a decision with the vector at hand; coefficients of {report.coefficient_bytes:,} bytes",
            ["prompts", "p50 ms", "p95 ms"],
            [[one.prompts, f"{one.p50_ms:.3f}", f"{one.p95_ms:.3f}"] for one in report.costs],
        )
    )
    return sections


def _pair(run: PairRun, how: str = "") -> tuple[str, list[str], list[list[str]]]:
    above = run.above_length
    title = (
        f"{run.title}{how} ({run.n:,} prompts, {run.dropped} dropped, {run.without_vector:,} without a vector"
        f"{'' if run.is_as_measured else ', another file than ours'})"
    )
    if above is not None:
        title += f"; APGR above prompt length by {_interval(above)}"
    if run.of_splits:
        title += f"; APGR with other splits {', '.join(_number(one) for one in run.of_splits)}"
    rows = [
        ["always weak", f"accuracy {_number(run.weak)}", "", "", ""],
        ["always strong", f"accuracy {_number(run.strong)}", "", "", ""],
    ]
    for row in run.rows:
        ece = "–" if row.figures.ece is None else f"{row.figures.ece:.4f}"
        rows.append([row.router, *map(_interval, (row.figures.apgr, row.figures.cpt50, row.figures.cpt80)), ece])
    return title, ["router", "APGR", "CPT50", "CPT80", "ECE of P(weak)"], rows


def _many(run: CostRun) -> tuple[str, list[str], list[list[str]]]:
    best = next(one for one in run.singles if one.model == run.best)
    title = (
        f"{run.title} ({run.n:,} prompts, {run.dropped} dropped); best single model {run.best}: accuracy "
        f"{best.accuracy:.4f} (standard error {run.standard_error:.4f}) at ${best.cost:.2f} a thousand; oracle "
        f"{run.oracle.accuracy:.4f} at ${run.oracle.cost:.2f}"
    )
    if run.of_splits:
        others = "; ".join(f"{percent(equal)} and {percent(within)}" for equal, within in run.of_splits)
        title += f"; with other splits, saved at equal accuracy and within one standard error: {others}"
    heads = ["router", "saved at equal accuracy", "saved within one standard error"]
    heads += [f"accuracy at {percent(one.saved, 0)} less cost" for one in run.rows[0].kept]
    rows = []
    for row in run.rows:
        kept = [
            f"{one.difference.value:+.4f} ({one.difference.low:+.4f} to {one.difference.high:+.4f})" for one in row.kept
        ]
        cells = [row.router, percent(row.saved_at_equal), percent(row.saved_within_error), *kept]
        rows.append([*cells, *["–"] * (len(heads) - len(cells))])
    return title, heads, rows


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _interval(one: Interval) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _number(value: float) -> str:
    return f"{value:.4f}"


def _percent(value: float) -> str:
    return percent(value)

"""The pictures of routers, as SVG that stands inside the page; in the manner of `evals.charts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib

from evals.charts import _FONT, _grid, _legend, _percents, _svg
from evals.routing.results import LENGTH, ORACLE, OURS, OURS_MEAN, RANDOM, CalibrationRun, CostRun, PairRun

_LINES: Final[Mapping[str, tuple[str, str]]] = {
    OURS: ("#0072B2", "-"),
    OURS_MEAN: ("#56B4E9", "-"),
    "learned on MMLU": ("#0072B2", "-"),
    LENGTH: ("#E69F00", "--"),
    RANDOM: ("#7A7A7A", ":"),
    ORACLE: ("#009E73", "-."),
}


def pairs(runs: Sequence[PairRun]) -> str:
    """Draw accuracy against the share of strong calls for each router."""
    with matplotlib.rc_context(_FONT):
        figure, places = _grid(len(runs))
        for axes, run in zip(places, runs, strict=True):
            how = "" if any(row.router == OURS for row in run.rows) else ", fitted on MMLU alone"
            axes.set_title(f"{run.title.partition(',')[0]}{how}")
            for row in run.rows:
                if row.router in _LINES and row.router != ORACLE:
                    colour, stroke = _LINES[row.router]
                    axes.plot(*zip(*row.curve, strict=True), stroke, color=colour, label=row.router)
            for level, name in ((run.weak, "always weak"), (run.strong, "always strong")):
                axes.axhline(level, color="#BBBBBB", lw=0.9)
                axes.annotate(name, (1, level), ha="right", va="bottom", fontsize=8, color="#666666")
            axes.set_xlim(0, 1)
            axes.set_xlabel("share of strong calls")
            axes.xaxis.set_major_formatter(_percents())
            axes.yaxis.set_major_formatter(_percents())
        places[0].set_ylabel("accuracy")
        _legend(figure, places[0])
        return _svg(figure, "routing-pairs")


def costs(runs: Sequence[CostRun]) -> str:
    """Draw accuracy against cost, with every model alone as a point."""
    with matplotlib.rc_context(_FONT):
        figure, places = _grid(len(runs), columns=2)
        for axes, run in zip(places, runs, strict=True):
            axes.set_title(run.title.rpartition(";")[2].strip())
            for row in run.rows:
                colour, stroke = _LINES[row.router]
                axes.plot(
                    [point.cost for point in row.points],
                    [point.accuracy for point in row.points],
                    stroke,
                    color=colour,
                    label=row.router,
                )
            for one in run.singles:
                axes.plot(one.cost, one.accuracy, "o", ms=4, color="#222222")
                short = one.model.rpartition("/")[2].removesuffix("-chat")
                axes.annotate(short, (one.cost, one.accuracy), fontsize=7, xytext=(4, -7), textcoords="offset points")
            axes.plot(run.oracle.cost, run.oracle.accuracy, "*", ms=11, color="#009E73", label="oracle")
            axes.set_xlabel("US dollars a thousand requests")
            axes.yaxis.set_major_formatter(_percents())
        places[0].set_ylabel("accuracy")
        _legend(figure, places[0])
        return _svg(figure, "routing-costs")


def reliability(runs: Sequence[CalibrationRun]) -> str:
    """Draw the share of right answers against the probability, ten bins each."""
    with matplotlib.rc_context(_FONT):
        figure, places = _grid(len(runs), columns=4)
        for axes, run in zip(places, runs, strict=True):
            axes.set_title(f"{run.name}, {run.tier}: ECE {run.ece:.3f}")
            axes.plot([0, 1], [0, 1], ":", color="#7A7A7A")
            sizes = [12 + 400 * one.n / sum(each.n for each in run.bins) for one in run.bins]
            axes.scatter(
                [one.mean_score for one in run.bins],
                [one.positive_share for one in run.bins],
                s=sizes,
                color="#0072B2",
                alpha=0.7,
            )
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
            axes.set_xlabel("P(good enough)")
        places[0].set_ylabel("share of right answers")
        return _svg(figure, "routing-reliability")

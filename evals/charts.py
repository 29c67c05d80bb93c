"""The report's pictures, as SVG that stands inside the page.

Colours are those of Okabe and Ito, which people with any kind of colour vision tell apart; lines differ in their
strokes and points in their shapes too.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import matplotlib
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from evals.results import OURS, Calibration, PairSet, PeerSet, Row, StreamRun
from semroute.evaluation.metrics import OperatingPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

LEAST_FALSE: Final = 1e-3
"""The left edge of axes of false hits: what is less, stands there."""
HOLLOW: Final = "langchain-redis"
"""Drawn as a wide ring, because its default is the cosine of the static one and would lie under it."""
STYLES: Final[Mapping[str, tuple[str, str]]] = {
    OURS: ("#0072B2", "o"),
    "plain cosine": ("#7A7A7A", "s"),
    "static": ("#7A7A7A", "s"),
    "redisvl": ("#E69F00", "^"),
    "langchain-redis": ("#009E73", "D"),
    "gptcache": ("#CC79A7", "v"),
}
"""Colour and shape of each cache."""
_INK: Final = "#222222"
_FAINT: Final = "#DDDDDD"
_FONT: Final[dict[RcKeyType, Any]] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "text.color": _INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
}


def pair_curves(sets: Sequence[PairSet]) -> str:
    """Draw hit rate against false-hit rate for each set that has negatives: ours and the plain cosine."""
    shown = [one for one in sets if one.ours.curve or one.plain.curve]
    with matplotlib.rc_context(_FONT):
        figure, places = _grid(len(shown))
        for axes, one in zip(places, shown, strict=True):
            axes.set_title(one.title.partition(":")[0])
            for row in (one.plain, one.ours):
                _draw_curve(axes, row)
                _draw_default(axes, row)
            _as_hits_over_false_hits(axes)
        _legend(figure, places[0])
        return _svg(figure, "pairs")


def peer_curves(sets: Sequence[PeerSet]) -> str:
    """Draw the same for every cache; a point is what a cache does by its own default."""
    shown = [one for one in sets if any(row.curve for row in one.rows)]
    with matplotlib.rc_context(_FONT):
        figure, places = _grid(len(shown))
        for axes, one in zip(places, shown, strict=True):
            axes.set_title(one.title.partition(":")[0])
            for row in reversed(one.rows):
                if row.about.name in (OURS, "static"):
                    _draw_curve(axes, row)
                _draw_default(axes, row)
            _as_hits_over_false_hits(axes)
        _legend(figure, places[0])
        return _svg(figure, "peers")


def streams(runs: Sequence[StreamRun]) -> str:
    """Draw hit rate against error rate: the best threshold on our score, on a plain cosine, and the fixed policy."""
    with matplotlib.rc_context(_FONT):
        figure, places = _grid(len(runs), columns=2)
        for axes, run in zip(places, runs, strict=True):
            axes.set_title(f"insert {'every request' if run.insert == 'always' else 'misses only'}, {run.n:,} requests")
            _draw_points(axes, "plain cosine", [point.static for point in run.points])
            _draw_points(axes, OURS, [point.best for point in run.points])
            promised = next((point.promised for point in run.points), None)
            if promised is not None:
                axes.plot(
                    promised.error_rate,
                    promised.hit_rate,
                    "*",
                    ms=13,
                    color=STYLES[OURS][0],
                    mec="white",
                    label="semroute, the policy as shipped",
                    zorder=5,
                )
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
            axes.set_xlabel("error rate (wrong hits / all requests)")
            axes.xaxis.set_major_formatter(_percents())
            axes.yaxis.set_major_formatter(_percents())
        places[0].set_ylabel("hit rate (hits / all requests)")
        _legend(figure, places[0])
        return _svg(figure, "streams")


def reliability(calibration: Calibration) -> str:
    """Draw the share of positives against the score, and how many pairs stand in each bin."""
    with matplotlib.rc_context(_FONT):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        colour, shape = STYLES[OURS]
        scores = [one.mean_score for one in calibration.bins]
        top.plot([0, 1], [0, 1], color="#999999", lw=1, ls=(0, (4, 3)), label="score = share")
        top.plot(scores, [one.positive_share for one in calibration.bins], f"-{shape}", color=colour, ms=6, lw=1.8)
        top.set_ylabel("share that may be reused")
        top.set_ylim(-0.02, 1.02)
        top.set_xlim(-0.02, 1.02)
        top.legend(loc="upper left")
        bottom.bar(scores, [one.n for one in calibration.bins], width=0.06, color=colour)
        bottom.set_yscale("log")
        bottom.yaxis.set_minor_formatter(NullFormatter())
        bottom.set_ylabel("pairs")
        bottom.set_xlabel(f"score: {calibration.score}")
        for axes in (top, bottom):
            axes.tick_params(which="minor", length=0)
        return _svg(figure, "reliability")


def _grid(n: int, columns: int = 3) -> tuple[Figure, list[Axes]]:
    rows = -(-n // columns)
    width = 11.1 / columns if columns > 2 else 5.2
    figure = Figure(figsize=(width * columns, 3.2 * rows + 0.5), layout=ConstrainedLayoutEngine(hspace=0.08))
    places = [figure.add_subplot(rows, columns, place + 1) for place in range(n)]
    return figure, places


def _draw_curve(axes: Axes, row: Row) -> None:
    colour, _ = STYLES[row.about.name]
    is_ours = row.about.name == OURS
    steps = [(max(point.false_hit_rate, LEAST_FALSE), point.hit_rate) for point in row.curve]
    if steps:
        axes.step(
            *zip(*steps, strict=True),
            where="post",
            color=colour,
            lw=2.2 if is_ours else 1.5,
            ls="-" if is_ours else (0, (5, 2)),
            label=f"{row.about.name}, every threshold",
        )


def _draw_default(axes: Axes, row: Row) -> None:
    point = row.by_default
    if point.hit_rate is None or point.false_hit_rate is None:
        return
    colour, shape = STYLES[row.about.name]
    is_hollow = row.about.name == HOLLOW
    axes.plot(
        max(point.false_hit_rate, LEAST_FALSE),
        point.hit_rate,
        shape,
        ms=12 if is_hollow else 8,
        color="none" if is_hollow else colour,
        mec=colour if is_hollow else "white",
        mew=2 if is_hollow else 1,
        label=f"{row.about.name}, its default",
        zorder=5,
        clip_on=False,
    )


def _as_hits_over_false_hits(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(LEAST_FALSE, 1)
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_formatter(_percents())
    axes.yaxis.set_major_formatter(_percents())
    axes.axvline(0.01, color="#555555", lw=0.8, ls=":")
    axes.set_xlabel("false-hit rate")
    axes.set_ylabel("hit rate")


def _draw_points(axes: Axes, name: str, points: Sequence[OperatingPoint | None]) -> None:
    colour, shape = STYLES[name]
    there = [point for point in points if point is not None]
    axes.plot(
        [point.error_rate for point in there],
        [point.hit_rate for point in there],
        f"-{shape}",
        color=colour,
        ms=4.5,
        lw=2.0 if name == OURS else 1.5,
        label=f"{name}, best threshold within a bound",
    )


def _percents() -> FuncFormatter:
    def text(value: float, _: int) -> str:
        # Rounded, because 0.3 of an axis comes as 0.30000000000000004.
        percent = f"{round(100 * value, 6):g} %"
        return f"≤ {percent}" if math.isclose(value, LEAST_FALSE) else percent

    return FuncFormatter(text)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=9)


def _svg(figure: Figure, name: str) -> str:
    with io.StringIO() as text, matplotlib.rc_context({"svg.hashsalt": name}):
        # Without a date and with a fixed salt the same figures give the same page.
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]

"""The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from typing import Final

from evals import charts
from evals.markup import STYLE, drawing, line, made_by, number, percent, table
from evals.results import OURS, OutOfFold, PairSet, PeerReport, PeerSet, Report, Row, StreamRun
from semroute.evaluation.metrics import OperatingPoint, PairFigures, PairPoint


def page(report: Report, peers: PeerReport | None) -> str:
    """Return the whole page."""
    body = [_head(report), _tiles(report, peers), _traps(report), _paraphrases(report), _curves(report)]
    body += [_streams(report), _online(report), _calibration(report), _halves(report)]
    body += [_peers(report, peers) if peers is not None else _NO_PEERS, _origins(report)]
    title, content = f"semroute {report.version}: evaluation", "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>\n{content}\n</body></html>\n"
    )


def beside(report: Report, peers: PeerReport) -> PeerReport:
    """Return the rivals' rows with ours first, wherever ours is of the same pairs."""
    ours = {one.name: one.beside for one in report.pairs}
    sets = []
    for one in peers.sets:
        row = ours.get(one.name)
        is_same = row is not None and row.by_default.n == one.n
        sets.append(replace(one, rows=[row, *one.rows]) if row is not None and is_same else one)
    return replace(peers, sets=sets)


_NO_PEERS: Final = (
    "<h2>Other caches</h2><p>Not measured here: <code>make peers DATA=FOLDER</code> measures them, and the next "
    "<code>make evals</code> shows them.</p>"
)
_RATES: Final = (
    "A <b>hit rate</b> counts hits on positive pairs / positive pairs, a <b>false-hit rate</b> hits on negative pairs "
    "/ negative pairs, <b>precision</b> right hits / hits. P-CHR AUC is the area under precision as a function of the "
    "cache-hit ratio (arXiv 2606.19719). Of each pair the first question is stored in a fresh context, then the second "
    "is asked."
)


_FITTED: Final = (
    "<p>The learned verifier was fitted on sets of this kind: its card names them. Where a file here is one that it "
    "was fitted on, our rows are not those of unseen pairs, and neither are our curves, streams among them. Rows "
    "<b>out of fold</b> are those of unseen pairs, as the card has them.</p>"
)


def _head(report: Report) -> str:
    fitted = "" if report.verifier is None else _FITTED
    return (
        f"<h1>semroute {escape(report.version)}, measured</h1>"
        f'<p class="faint">Policy {escape(report.policy)}{_verifier(report)} · {escape(report.made_at)} · '
        f"{escape(report.machine)} · {report.took_s / 60:.1f} minutes</p><p>{_RATES}</p>{fitted}"
        f"{made_by(report.command)}"
    )


def _verifier(report: Report) -> str:
    return "" if report.verifier is None else f" · verifier {escape(report.verifier[:12])}"


def _tiles(report: Report, peers: PeerReport | None) -> str:
    tiles = [*_trap_tile(report), *_stream_tiles(report)]
    conversations = report.conversations.figures
    tiles.append(
        (f"{conversations.false_hits} of {conversations.n}", "false hits after other earlier turns", "same last words")
    )
    tiles.append(
        (number(report.calibration.ece), "expected calibration error", f"10 bins, {report.calibration.set_name}")
    )
    if peers is not None:
        ranked = [one for one in beside(report, peers).sets if len(one.rows) > 1 and _has_both_labels(one)]
        ours = {one.name: one for one in report.pairs}
        won = sum(one.name in ours and _is_above_all(one, ours[one.name]) for one in ranked)
        is_unseen = all(one.name in ours and ours[one.name].out_of_fold is not None for one in ranked)
        seen = "same pairs, ours out of fold" if is_unseen else "same pairs"
        tiles.append((f"{won} of {len(ranked)}", "sets with a P-CHR AUC above every other cache", seen))
    cells = (f"<div class=tile><b>{b}</b><span>{escape(s)}</span><i>{escape(i)}</i></div>" for b, s, i in tiles)
    return f'<div class="tiles">{"".join(cells)}</div>'


def _trap_tile(report: Report) -> Iterable[tuple[str, str, str]]:
    traps = [
        ((one.out_of_fold or one.ours.by_default).false_hit_rate, one.title) for one in report.pairs if one.is_trap
    ]
    known = [(rate, title) for rate, title in traps if rate is not None]
    if known:
        rate, title = max(known)
        yield percent(rate, 2), "highest false-hit rate on a set of traps", title


def _stream_tiles(report: Report) -> Iterable[tuple[str, str, str]]:
    for run in report.streams:
        point = next((one for one in run.points if one.max_error == 0.02), None)
        if point is not None and point.best is not None:
            beside = percent(point.static.hit_rate) if point.static is not None else "–"
            insert = "insert always" if run.insert == "always" else "insert on a miss"
            yield percent(point.best.hit_rate), "hit rate at an error rate of 2 %", f"plain cosine {beside}; {insert}"


def _has_both_labels(one: PeerSet) -> bool:
    return any(row.curve for row in one.rows)


def _is_above_all(rivals: PeerSet, ours: PairSet) -> bool:
    """Say whether our ranking beats all others: that of unseen pairs, where the card has one."""
    others = [row.by_default.p_chr_auc for row in rivals.rows if row.about.name != OURS]
    mine, n = ours.beside.by_default.p_chr_auc, ours.beside.by_default.n
    if ours.out_of_fold is not None:
        mine, n = ours.out_of_fold.p_chr_auc, ours.out_of_fold.n
    if n != rivals.n:
        # The card is about all pairs of the set, where the others rank as the plain cosine does.
        others = [ours.plain.by_default.p_chr_auc] if n == ours.plain.by_default.n else [None]
    return mine is not None and all(other is not None and mine > other for other in others)


def _traps(report: Report) -> str:
    rows = [one for one in report.pairs if one.is_trap]
    conversations = report.conversations
    figures = conversations.figures
    extra = line(
        [
            escape(conversations.title),
            f"{figures.n:,}",
            f"{figures.reusable:,}",
            "–",
            percent(figures.false_hits / figures.n, 2),
            "–",
            "–",
            "–",
        ]
    )
    return (
        "<h2>Traps</h2><p>The negatives of these sets look like positives: swapped words, another name, number, date "
        "or place, and the same last words after other earlier turns.</p>"
        f"{_pair_table(rows, extra)}{_groups(rows)}"
        f"{''.join(made_by(one.command) for one in rows)}{made_by(conversations.command)}"
    )


def _paraphrases(report: Report) -> str:
    rows = [one for one in report.pairs if not one.is_trap]
    made = "".join(made_by(one.command) for one in rows)
    return f"<h2>Paraphrases</h2>{_pair_table(rows)}{_groups(rows)}{made}"


def _pair_table(sets: Sequence[PairSet], extra: str = "") -> str:
    heads = [
        "set",
        "pairs",
        "positives",
        "hit rate",
        "false-hit rate",
        "precision",
        "P-CHR AUC",
        "hit rate at ≤\u00a01\u00a0% false hits",
    ]
    lines = []
    for one in sets:
        for row in (one.ours, one.plain):
            name = (
                escape(one.title)
                if row is one.ours
                else f'<span class="faint">plain {escape(row.about.default)}</span>'
            )
            kind = "ours" if row is one.ours else ""
            lines.append(line([name, *_figures(row.by_default), _best(row, "0.01")], kind))
            if row is one.ours and one.out_of_fold is not None:
                lines.append(line(_unseen(one.out_of_fold)))
    return table(heads, [*lines, *([extra] if extra else [])])


def _unseen(one: OutOfFold) -> list[str]:
    rates = [percent(one.hit_rate), percent(one.false_hit_rate, 2)]
    # Sets without negatives have no ranking.
    ranked = "–" if one.false_hit_rate is None else number(one.p_chr_auc)
    return ['<span class="faint">out of fold</span>', f"{one.n:,}", "", *rates, "–", ranked, "–"]


def _figures(one: PairFigures) -> list[str]:
    rates = [percent(one.hit_rate), percent(one.false_hit_rate, 2)]
    # Where all pairs are of one label, any ranking has the same precision.
    ranked = [percent(one.precision), number(one.p_chr_auc)] if 0 < one.positives < one.n else ["–", "–"]
    return [f"{one.n:,}", f"{one.positives:,}", *rates, *ranked]


def _groups(sets: Sequence[PairSet]) -> str:
    parts = []
    for one in sets:
        if one.groups:
            heads = ["group", "pairs", "positives", "hit rate", "false-hit rate", "precision", "P-CHR AUC"]
            rows = [line([escape(name), *_figures(group)]) for name, group in one.groups.items()]
            parts.append(f"<details><summary>{escape(one.title)}, by group</summary>{table(heads, rows)}</details>")
    return "".join(parts)


def _curves(report: Report) -> str:
    return (
        "<h2>Every threshold</h2><p>What a threshold could do, chosen on the very pairs: up and to the left is better. "
        "The dotted line stands at 1 % false hits. Sets without negatives are left out.</p>"
        f"{drawing(charts.pair_curves(report.pairs), 'Hit rate against false-hit rate', report.command)}"
    )


def _streams(report: Report) -> str:
    tables = "".join(_stream_table(run) + made_by(run.command) for run in report.streams)
    return (
        "<h2>A stream of questions</h2><p>Questions arrive in their order at an empty cache; a hit is right when both "
        "belong to one class. The error rate is wrong hits / all requests. The labels are partial: questions that "
        "nobody compared count as different.</p>"
        f"{drawing(charts.streams(report.streams), 'Hit rate against error rate', report.command)}{tables}"
    )


def _stream_table(run: StreamRun) -> str:
    heads = ["error at most", "hit rate, semroute", "plain cosine", "precision, semroute", "plain cosine"]
    rows = [
        line(
            [
                percent(point.max_error, 2),
                _hits(point.best),
                _hits(point.static),
                _precise(point.best),
                _precise(point.static),
            ]
        )
        for point in run.points
    ]
    promised = run.points[0].promised if run.points else None
    fixed = (
        ""
        if promised is None
        else f"<p>The policy as shipped: hit rate {percent(promised.hit_rate, 2)}, error rate "
        f"{percent(promised.error_rate, 2)}, precision {percent(promised.precision)}.</p>"
    )
    insert = "every request is stored" if run.insert == "always" else "misses are stored"
    return f"<h3>{run.n:,} requests, {insert}</h3>{table(heads, rows)}{fixed}"


def _online(report: Report) -> str:
    run = report.online
    if run is None:
        return ""
    heads = ["method", "error at most", "hit rate", "error rate", "worst seed", "precision"]
    rows = [
        line(
            [
                escape(one.method),
                percent(one.max_error),
                percent(one.hit_rate, 2),
                percent(one.error_rate, 2),
                percent(one.worst_error_rate, 2),
                percent(one.precision),
            ],
            "ours" if one.method == "ours" else "",
        )
        for one in run.rows
    ]
    return (
        "<h2>Learning per entry</h2><p>The same stream, every request stored. The vCache rule (arXiv 2502.03771) and "
        "ours learn while they serve, from the requests that they explore; the thresholds stay as they are. "
        f"{run.n:,} requests.</p>"
        f"{table(heads, rows)}{made_by(run.command)}"
    )


def _calibration(report: Report) -> str:
    one = report.calibration
    caption = f"The score against the share of pairs that may be reused, 10 bins; ECE {number(one.ece)}"
    picture = drawing(charts.reliability(one), caption, one.command, kind="narrow")
    judged = sum(place.n for place in one.bins)
    words = (
        f"Score: {escape(one.score)}. {escape(one.set_name)}: {judged:,} of {one.n:,} pairs; a rule refuses the others."
    )
    return f"<h2>What a score means</h2><p>{words}</p>{picture}"


def _halves(report: Report) -> str:
    heads = [
        "halves",
        "false hits at most",
        "threshold",
        "promised false hits",
        "realised",
        "promised hits",
        "realised",
    ]
    rows = [
        line(
            [
                escape(one.halves),
                percent(one.max_false_hit_rate),
                f"{one.threshold:.3f}",
                percent(one.promised.false_hit_rate, 2),
                percent(one.realised.false_hit_rate, 2),
                percent(one.promised.hit_rate),
                percent(one.realised.hit_rate),
            ]
        )
        for one in report.halves
    ]
    return (
        "<h2>A threshold carried over</h2><p>The best threshold of one half of the Quora pairs, without any margin, "
        "and what it does on the other half: the later one, and a random one. A margin for the size of the sample is "
        "what <code>semroute tune</code> adds.</p>"
        f"{table(heads, rows)}{made_by(report.command)}"
    )


def _peers(report: Report, measured: PeerReport) -> str:
    peers = beside(report, measured)
    unseen = {one.name: one.out_of_fold for one in report.pairs}
    tables = "".join(_peer_table(one, unseen.get(one.name)) for one in peers.sets)
    versions = sorted(
        {f"{name} {version}" for one in peers.sets for row in one.rows for name, version in row.about.versions.items()}
    )
    return (
        "<h2>Other caches</h2><p>The same pairs, each in a context of its own, with vectors of the same model: what "
        "each cache does by its own default, and what the best threshold on its score could do. The other caches rank "
        "pairs by the cosine alone, so that their curves fall together; their defaults tell them apart. evals/peers.md "
        f"says how each was set up. {escape(', '.join(versions))}.</p>"
        f"{drawing(charts.peer_curves(peers.sets), 'Hit rate against false-hit rate', peers.command)}{tables}"
        f"{made_by(peers.command)}"
    )


def _peer_table(one: PeerSet, unseen: OutOfFold | None) -> str:
    heads = [
        "cache",
        "its default",
        "hit rate",
        "false-hit rate",
        "precision",
        "P-CHR AUC",
        "hit rate at ≤\u00a01\u00a0% false hits",
        "hit rate at ≤\u00a05\u00a0% false hits",
    ]
    rows = []
    for row in one.rows:
        figures = _figures(row.by_default)[2:]
        cells = [escape(row.about.name), escape(row.about.default), *figures, _best(row, "0.01"), _best(row, "0.05")]
        rows.append(line(cells, "ours" if row.about.name == OURS else ""))
        if row.about.name == OURS and unseen is not None:
            cells = _unseen(unseen)
            rows.append(line([cells[0], f"{unseen.n:,} pairs", *cells[3:], "–"]))
    note = "" if one.is_as_measured else ", another file than the published one"
    title = f"<h3>{escape(one.title)}: {one.n:,} pairs{note}</h3>"
    return f"{title}{table(heads, rows)}"


def _origins(report: Report) -> str:
    same = {one.name: one.is_as_measured for one in report.pairs}
    heads = ["set", "made of", "licence", "file", "SHA-256", "same here"]
    rows = []
    for one in report.origins:
        is_same = {True: "yes", False: "no", None: "–"}[same.get(one.name)]
        for path, digest in one.files.items():
            cells = [
                escape(one.title),
                escape(one.source),
                escape(one.licence),
                escape(path),
                f"<code>{digest[:16]}…</code>",
            ]
            rows.append(line([*cells, is_same]))
    return (
        "<h2>Sets</h2><p>Nobody else's data is part of the repository; each set stands under its own licence. The "
        "SHA-256 is that of the file behind the published figures.</p>"
        f"{table(heads, rows, 'words')}"
    )


def _best(row: Row, bound: str) -> str:
    point: PairPoint | None = row.best.get(bound)
    if row.by_default.false_hit_rate is None:
        return "–"
    return "0.0 %" if point is None else f"{percent(point.hit_rate)}"


def _hits(point: OperatingPoint | None) -> str:
    return "–" if point is None else percent(point.hit_rate, 2)


def _precise(point: OperatingPoint | None) -> str:
    return "–" if point is None else percent(point.precision)

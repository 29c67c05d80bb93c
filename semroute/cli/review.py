"""`semroute review`: the pairs of a shadow log one by one, labelled by a person or by a judge."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from semroute.cli._interrupts import if_interrupted
from semroute.cli._models import chat_model, check_model_name
from semroute.cli._output import JsonOption, check_out, page, print_json, side

if TYPE_CHECKING:
    from semroute.entry import JSON, Answer
    from semroute.result import Verdict
    from semroute.review.choosing import Choice
    from semroute.review.session import Progress as Standing
    from semroute.review.session import ReviewSession

KEYS: Final = {"y": "yes", "n": "no", "s": "skip, ask again last", "u": "undo the last", "q": "quit, all is kept"}
QUESTION: Final = "May the stored answer be given for the question that was asked?"
_TURNS: Final = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])
_MAX_SHOWN_CHARS: Final = 1_500
_AT_ONCE: Final = 4


def review_command(
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="The shadow log; default: that of the settings.")
    ] = None,
    n: Annotated[
        int, typer.Option("--n", metavar="N", min=1, help="How many labels there are to be in the end.")
    ] = 300,
    out: Annotated[
        Path, typer.Option("--out", metavar="LABELS.csv", help="Where the labels go; what is there is continued.")
    ] = Path("labels.csv"),
    judge: Annotated[
        str | None, typer.Option("--judge", metavar="PROVIDER:MODEL", help="Let a model label instead of a person.")
    ] = None,
    deadline: Annotated[
        float, typer.Option("--deadline", metavar="S", min=0.1, max=3_600, help="Seconds a judge has for a pair.")
    ] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Label the pairs of a shadow log that tell most: may the stored answer be given for the question asked?

    Answer y or n; s skips the pair, which comes back after all others; u takes the last answer back; q ends. Every
    answer is kept at once, and the next review goes on where this one ended. What comes out is read by
    `semroute tune LABELS.csv --q1 q1 --q2 q2 --label label --weight weight`.
    """
    from semroute.config import Settings
    from semroute.review.session import ReviewSession

    if judge is not None:
        check_model_name(judge, "--judge")
    check_out(out)
    reviewed = ReviewSession(Settings.load().shadow_log if log is None else log, out, n=n)
    kept = f"every answer is kept in {out}: the same call goes on where this one ended"
    with if_interrupted(kept), reviewed as session:
        if judge is None:
            _ask_person(session, side() if as_json else page())
        else:
            _ask_judge(session, judge, deadline)
        standing = session.progress
    if as_json:
        print_json(_figures(session, standing))
    else:
        _print_end(session, standing)


# --- a person -------------------------------------------------------------------------------------------------------


def _ask_person(session: ReviewSession, console: Console) -> None:
    while (choice := session.current) is not None:
        console.print(screen(choice, session.progress))
        if not _obey(session, _next_key(console, session.progress), console):
            return


def _obey(session: ReviewSession, key: str, console: Console) -> bool:
    """Do what a key says; return False to end."""
    match key:
        case "y" | "n":
            session.label(key == "y")
        case "s":
            session.skip()
        case "u":
            if not session.undo():
                console.print("nothing to take back", style="dim")
        case "q":
            return False
        case _:
            console.print(f"press one of {', '.join(KEYS)}", style="dim")
    return True


def _next_key(console: Console, standing: Standing) -> str:
    """Return the next key: a single one on a terminal, else the first letter of a line. No more input is a "q"."""
    keys = Text("  ").join(Text.assemble((key, "bold"), f" {word}") for key, word in KEYS.items())
    console.print(keys, Text(f"· {_left(standing)}", style="dim"), end=" > ", soft_wrap=True)
    try:
        if not sys.stdin.isatty():
            line = sys.stdin.readline()
            return line.strip().lower()[:1] if line else "q"
        key = typer.getchar()
    except EOFError:
        return "q"
    finally:
        console.print()
    return key.lower()


def _left(standing: Standing) -> str:
    """Say how many are to go, and which of them were skipped."""
    skipped = f", {standing.skipped:,} of them skipped" if standing.skipped else ""
    return f"{standing.left:,} left{skipped}"


def screen(choice: Choice, standing: Standing) -> Group:
    """Return what a person needs to see of a pair: both questions, both answers, and what the guards said."""
    record = choice.record
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    table.add_column("stored", ratio=1)
    table.add_column("asked", ratio=1)
    table.add_row(Text(shown(record.candidate), style="bold"), Text(shown(record.query), style="bold"))
    table.add_row("", "")
    table.add_row(
        _answer(record.stored_answer, "the answer in the cache was not kept"),
        _answer(record.real_answer, "the model was not asked"),
    )
    title = f"{standing.labelled + 1} of {standing.wanted}"
    verdicts = [_verdict(verdict) for verdict in record.verdicts]
    return Group("", Panel(table, title=title, title_align="left"), _facts(choice), *verdicts, QUESTION)


def shown(text: str) -> str:
    """Return a text that can do nothing to a terminal, and that fits on it.

    Control characters and those that turn the direction of writing are replaced: a question is a stranger's text.
    """
    cut = text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…"
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_unsafe(character) else character for character in cut)


def _is_unsafe(character: str) -> bool:
    if character in "\n\t":
        return False
    return unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in _TURNS


def _answer(answer: Answer | None, otherwise: str) -> Text:
    return Text(otherwise, style="dim italic") if answer is None else Text(shown(answer.text))


def _verdict(verdict: Verdict) -> Text:
    return Text(f"  {shown(str(verdict))}", style="green" if verdict.passed else "yellow")


def _facts(choice: Choice) -> Text:
    record = choice.record
    needed = "" if record.threshold is None else f" (a hit needed {record.threshold:.2f})"
    p = None if record.p_reusable is None else f"P(reusable) {record.p_reusable:.2f}"
    if p is not None and record.needed_p is not None:
        p += f" (a hit needed {record.needed_p:.2f})"
    times = f"asked {choice.times} times" if choice.times > 1 else None
    outcome = "served" if record.was_served else "would be served" if record.would_serve else "would not be served"
    parts = (outcome, f"similarity {record.similarity:.3f}{needed}", p, times)
    return Text("  " + " · ".join(part for part in parts if part is not None), style="dim")


# --- a judge --------------------------------------------------------------------------------------------------------


def _ask_judge(session: ReviewSession, name: str, deadline_s: float) -> None:
    from semroute.guards.judge import JudgeGuard
    from semroute.review.judging import label_by_judge

    judge = JudgeGuard(chat_model(name, "--judge"), deadline_s=deadline_s, threads=_AT_ONCE)
    console = side()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"{name} judges", total=session.progress.left)
            label_by_judge(session, judge, name, at_once=_AT_ONCE, on_answer=lambda: bar.advance(task))
    finally:
        judge.close()


# --- the end --------------------------------------------------------------------------------------------------------


def _figures(session: ReviewSession, standing: Standing) -> dict[str, JSON]:
    return {
        "log": str(session.log.path),
        "labels": str(session.labels.path),
        "records": standing.records,
        "requests": standing.requests,
        "pairs": standing.pairs,
        "labelled": standing.labelled,
        "yes": standing.yes,
        "no": standing.labelled - standing.yes,
        "by_judges": standing.by_judges,
        "skipped": standing.skipped,
        "left": standing.left,
    }


def _print_end(session: ReviewSession, standing: Standing) -> None:
    console = page()
    console.print(
        f"{standing.labelled:,} labels ({standing.yes:,} yes, {standing.labelled - standing.yes:,} no), "
        f"{standing.skipped:,} skipped, {standing.left:,} to go"
    )
    console.print(
        f"the log: {standing.records:,} records of {standing.requests:,} requests; the record of each that was nearest "
        f"to being served counts, which makes {standing.pairs:,} different pairs",
        soft_wrap=True,
    )
    if standing.labelled:
        console.print(
            "the weights of its labels add up to those requests: a bound of `semroute tune` is a share of requests",
            soft_wrap=True,
        )
    console.print(Text(str(session.labels.path), style="dim"), soft_wrap=True)

"""`semroute warm`: fill a store by asking a model the questions of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from semroute.binding import scope
from semroute.cli._interrupts import if_interrupted
from semroute.cli._models import chat_model, check_model_name
from semroute.cli._output import JsonOption, StoreOption, UsageError, page, print_json, there
from semroute.cli._stores import check_kind
from semroute.errors import MissingExtra

if TYPE_CHECKING:
    from langchain_semroute import Warmed

    from semroute.entry import JSON

_JSON_LINES = frozenset({".jsonl", ".ndjson"})


@if_interrupted("the answers that came are kept, and the same call does not ask for them again")
def warm_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="One question a line, or JSONL with a query each.", callback=there)
    ],
    model: Annotated[str, typer.Option("--model", metavar="PROVIDER:NAME", help="The model to ask.")],
    system: Annotated[str | None, typer.Option(help="The system prompt that the answers belong to.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant that the answers belong to.")] = None,
    store: StoreOption = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1_000, metavar="N", help="How many calls may be under way at once.")
    ] = 4,
    as_json: JsonOption = False,
) -> None:
    """Ask a model the questions of a file and keep its answers.

    What the store can answer already is not asked again, so that a run that was cut short can be repeated. Exits
    with 1 where the model failed to answer a question.
    """
    questions = read_questions(file)
    check_model_name(model)
    warmed = _warm(questions, model, system, tenant, store, concurrency)
    if as_json:
        print_json(_figures(warmed))
    else:
        _print(warmed)
    if warmed.failed:
        raise typer.Exit(1)


def read_questions(path: Path) -> list[str]:
    """Read the questions of a file; raises UsageError that names the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} could not be read: {error}") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise UsageError(f"{path} holds no questions: give one a line")
    if path.suffix.lower() not in _JSON_LINES:
        return [line for _, line in lines]
    return [_query(line, f"{path}, line {number}") for number, line in lines]


def _query(line: str, where: str) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{where} is not JSON: {error}") from error
    query = row.get("query") if isinstance(row, dict) else None
    if not isinstance(query, str) or not query.strip():
        raise UsageError(f'{where} has no question: give {{"query": "…"}}')
    return query


def _warm(
    questions: list[str],
    model: str,
    system: str | None,
    tenant: str | None,
    stores: list[str] | None,
    concurrency: int,
) -> Warmed:
    try:
        from langchain_semroute import warm
    except ImportError as error:
        raise MissingExtra("semroute warm", "langchain") from error
    from semroute.cache import SemanticCache

    chosen = chat_model(model)
    check_kind(stores)
    with SemanticCache(*([] if stores is None else stores), write="now") as cache, scope(tenant=tenant):
        cache.preload()
        return warm(questions, chosen, cache=cache, system=system, max_concurrency=concurrency)


def _figures(warmed: Warmed) -> dict[str, JSON]:
    return {
        "asked": warmed.asked,
        "already": warmed.already,
        "stored": warmed.stored,
        "refused": [{"question": question, "reason": reason} for question, reason in warmed.refused],
        "failed": [{"question": question, "reason": reason} for question, reason in warmed.failed],
    }


def _print(warmed: Warmed) -> None:
    console = page()
    console.print(
        f"{warmed.asked:,} questions: {warmed.stored:,} stored, {warmed.already:,} there already, "
        f"{len(warmed.refused):,} not to be cached, {len(warmed.failed):,} failed"
    )
    for question, reason in warmed.refused:
        console.print(Text(f"not cached: {question!r}: {reason}", style="dim"), soft_wrap=True)
    for question, reason in warmed.failed:
        console.print(Text(f"failed: {question!r}: {reason}", style="red"), soft_wrap=True)

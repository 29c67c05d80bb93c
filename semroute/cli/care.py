"""`semroute stats` and `semroute invalidate`: what a store holds, and taking some of it out."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, StoreOption, UsageError, page, print_json
from semroute.cli._stores import opened, places_of
from semroute.errors import StoreError

if TYPE_CHECKING:
    from semroute.cache import SemanticCache

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES_A_STEP = 1_024


def stats_command(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say what a store holds: entries, aliases, bytes and partitions."""
    with opened(store) as cache:
        size = cache.size()
        if size is None:
            raise StoreError(f"{cache.store!r} cannot say how much it holds")
        figures = {
            "entries": size.entries,
            "aliases": size.aliases,
            "bytes": size.bytes,
            "partitions": size.partitions,
            "path": places_of(cache, store),
        }
    if as_json:
        print_json(figures)
        return
    page().print(
        f"{size.entries:,} entries and {size.aliases:,} aliases in {size.partitions:,} partitions, "
        f"{readable(size.bytes)}\n[dim]{figures['path']}[/]",
        soft_wrap=True,
    )


@if_interrupted("some answers may be removed already: the same call removes the rest")
def invalidate_command(
    store: StoreOption = None,
    tenant: Annotated[str | None, typer.Option(help="Answers of this tenant.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Answers of this namespace.")] = None,
    user: Annotated[str | None, typer.Option(help="Answers of this user.")] = None,
    tag: Annotated[str | None, typer.Option(help="Answers that carry this tag.")] = None,
    entry: Annotated[str | None, typer.Option(help="This one entry, by the hit_id that a hit names.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Answers made from this collection of documents.")] = None,
    document: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Answers made from this document; once for each.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Answers older than this: 30m, 12h, 7d, 2w.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every answer of every scope.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the answers to which all that is named applies, and print how many went."""
    named = {"tenant": tenant, "namespace": namespace, "user": user, "tag": tag, "entry": entry, "corpus": corpus}
    age = None if older_than is None else parse_duration(older_than)
    is_narrowed = age is not None or bool(document) or any(value is not None for value in named.values())
    if everything and is_narrowed:
        raise UsageError("--all removes everything: give it alone, or leave it out and name what to remove")
    if not everything and not is_narrowed:
        raise UsageError(
            "name what to remove (--tenant, --namespace, --user, --tag, --entry, --corpus, --document, --older-than), "
            "or --all"
        )
    with opened(store) as cache:
        if everything and not yes:
            _confirm(cache, as_json, places_of(cache, store))
        removed = cache.clear() if everything else cache.invalidate(**named, doc_ids=document or None, older_than=age)
    if as_json:
        print_json({"removed": removed})
    else:
        page().print(f"{removed:,} {'entry' if removed == 1 else 'entries'} removed")


def parse_duration(text: str) -> timedelta:
    """Read a duration such as 30m, 12h, 7d or 2w; raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower())
    seconds = 0.0 if match is None else float(match[1]) * _UNITS_S[match[2]]
    if not 0 < seconds <= timedelta(days=36_500).total_seconds():
        raise UsageError(f"--older-than takes a duration such as 30m, 12h, 7d or 2w, not {text!r}")
    return timedelta(seconds=seconds)


def _confirm(cache: SemanticCache, as_json: bool, place: str) -> None:
    if as_json:
        raise UsageError("--all with --json needs --yes: there is nobody to ask")
    size = cache.size()
    count = "every entry" if size is None else f"all {size.entries:,} entries"
    typer.confirm(f"Remove {count} of {place}?", abort=True, err=True)


def readable(size: float) -> str:
    """Say a number of bytes for a person."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < _BYTES_A_STEP:
            return f"{size:,.0f} {unit}"
        size /= _BYTES_A_STEP
    return f"{size:,.1f} GiB"

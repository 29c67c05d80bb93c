"""`semroute ring`: what a change of shards moves, how each shard is doing, and moving what a change asks for."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, UsageError, page, print_json, side
from semroute.cli._stores import check_kind, check_there
from semroute.cli.bench_ring import bar
from semroute.cli.care import readable
from semroute.config import Settings
from semroute.errors import ConfigError, SemrouteError

if TYPE_CHECKING:
    from semroute.cli.ring_status import ShardStatus
    from semroute.entry import JSON
    from semroute.stores import Store
    from semroute.stores.rebalance import Progress
    from semroute.stores.ring import HashRing
    from semroute.stores.sharded import ShardedStore

app = typer.Typer(help="Look after stores that are the shards of one ring.", no_args_is_help=True)

_WIDTH: Final = 24
_ABOUT_SHARES: Final = (
    "share: of the ring. The answers of one scope and system prompt lie together: few prompts spread unevenly."
)

StoresOption = Annotated[
    list[str] | None,
    typer.Option("--store", metavar="URL", help="A shard of the ring; once for each. Default: those of the settings."),
]
ReplicasOption = Annotated[
    int | None,
    typer.Option("--replicas", min=1, max=64, metavar="R", help="Shards that keep each answer, as the caches have it."),
]
WeightsOption = Annotated[
    list[str] | None,
    typer.Option("--weight", metavar="NAME=W", help="Share of a shard beside the others'; 1 where none was given."),
]


@app.callback()
def options() -> None:
    """Look after stores that are the shards of one ring."""


@app.command()
def plan(
    to: Annotated[list[str], typer.Option("--to", metavar="URL", help="A shard of the ring to come; once for each.")],
    stores: StoresOption = None,
    weight: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what would move if the ring were made of other shards; nothing is changed."""
    from semroute.stores.ring import HashRing

    with _opened(stores, None) as today, _opened(to, 1, may_be_new=True) as later:
        today.open()
        later.open()
        before = _list_of(today)
        weights = _weights(weight, later.stores)
        after = HashRing({name: weights.get(name, before.weights.get(name, 1.0)) for name in later.stores})
        places = {**today.places, **later.places}
    if as_json:
        print_json(_plan(before, after, places))
    else:
        _print_plan(before, after, places)


@app.command()
def status(stores: StoresOption = None, replicas: ReplicasOption = None, as_json: JsonOption = False) -> None:
    """Show every shard: keys, share, memory, latency and breaker. Exits with 1 where one cannot be used."""
    from semroute.cli.ring_status import read_status

    with _opened(stores, replicas) as store:
        shards = read_status(store)
        members, disagreement, replacements = store.members, store.disagreement, list(store.replacements)
    if as_json:
        print_json(
            {
                "epoch": None if members is None else members.epoch,
                "is_moving": members is not None and bool(members.former),
                "disagreement": disagreement or None,
                "replacements": replacements,
                "shards": [asdict(shard) for shard in shards],
            }
        )
    else:
        _print_status(shards)
        if members is not None and members.former:
            page().print("Entries may still lie where the former list put them: `semroute ring rebalance` moves them.")
        for told in replacements:
            page().print(Text(told, style="yellow"), soft_wrap=True)
        if disagreement:
            page().print(Text(disagreement, style="red"), soft_wrap=True)
    if disagreement or any(shard.error for shard in shards):
        raise typer.Exit(1)


@app.command()
@if_interrupted("some shards may have the new list already: the same call gives it to all")
def adopt(
    stores: StoresOption = None,
    weight: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make these shards the ring: clients with another list write nothing until they are given this one."""
    with _opened(stores, 1, may_be_new=True) as store:
        store.open()
        before = _list_of(store)
        members = store.adopt_list(_weights(weight, store.stores))
    moves = before.moves_to(store.ring)
    if as_json:
        print_json({"epoch": members.epoch, "weights": dict(members.weights), "moved_share": sum(moves.values())})
        return
    page().print(f"The ring is {', '.join(members.weights)} (epoch {members.epoch}).")
    if members.former:
        page().print(
            f"{sum(moves.values()):.1%} of the keys have other shards now. They are found where they were and copied "
            "when they are asked for; `semroute ring rebalance` moves the rest."
        )


@app.command()
@if_interrupted("what was moved lies where it belongs, and nothing is lost: the same call goes on")
def rebalance(
    stores: StoresOption = None,
    leaving: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="URL", help="A store that is no longer a shard, to be emptied."),
    ] = None,
    replicas: ReplicasOption = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", help="Copy at most so many entries a second.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Move every entry to the shards that the ring gives it to; it may be stopped and begun again at any moment.

    Exits with 1 where entries could not be moved: those stay where they are, and are found there.
    """
    from semroute.stores.rebalance import rebalance as steps

    if rate is not None and not rate > 0:
        raise UsageError(f"--rate takes more than 0 entries a second, not {rate:g}")
    settings = Settings.load()
    with _opened(stores, replicas) as store:
        check_there(leaving or [])
        progress = _followed(steps(store, [_open_one(url, settings) for url in leaving or []], per_second=rate))
    if as_json:
        print_json({name: value for name, value in asdict(progress).items() if name != "looked_at"})
    else:
        page().print(_told(progress), soft_wrap=True)
    if not progress.is_done:
        raise typer.Exit(1)


@contextmanager
def _opened(urls: Sequence[str] | None, replicas: int | None, *, may_be_new: bool = False) -> Iterator[ShardedStore]:
    settings = Settings.load()
    named = tuple(urls) if urls else settings.stores
    if not named:
        raise UsageError("name the shards of the ring: --store URL for each, or a list in SEMROUTE_STORE")
    try:
        if urls and not may_be_new:
            check_there(urls)
        check_kind(urls)
        store = _ring_of(named, settings, settings.replicas if replicas is None else replicas)
    except ConfigError as error:
        raise UsageError(str(error)) from error
    # What the log would say of lists and breakers, the page of the command says better.
    log = logging.getLogger("semroute.stores")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield store
    finally:
        store.close()
        log.setLevel(level)


def _ring_of(urls: Sequence[str], settings: Settings, replicas: int) -> ShardedStore:
    """Return the ring of some shards, or the one store that has shards itself."""
    from semroute.stores.sharded import ShardedStore
    from semroute.stores.urls import open_ring

    only = _open_one(urls[0], settings) if len(urls) == 1 else None
    if isinstance(only, ShardedStore):
        return only
    limits = {"max_entries": settings.max_entries, "max_bytes": settings.max_bytes}
    return open_ring(urls, replicas=replicas, clock=time.time, **limits)


def _open_one(url: str, settings: Settings) -> Store:
    from semroute.stores.urls import open_store

    return open_store(url, max_entries=settings.max_entries, max_bytes=settings.max_bytes, clock=time.time)


def _list_of(store: ShardedStore) -> HashRing:
    """Return the ring of the list that the shards keep, those included that were not given."""
    from semroute.stores.ring import HashRing

    return store.ring if store.members is None else HashRing(store.members.weights)


def _weights(given: Sequence[str] | None, known: Mapping[str, object]) -> dict[str, float]:
    """Read NAME=W; raises UsageError."""
    found: dict[str, float] = {}
    for text in given or ():
        name, _, weight = text.partition("=")
        try:
            found[name] = float(weight)
        except ValueError:
            raise UsageError(f"--weight takes a shard and a number, such as s00=2, not {text!r}") from None
        if name not in known:
            raise UsageError(f"--weight {text}: there is no shard {name!r}, only {', '.join(sorted(known))}")
    return found


# --- pages -----------------------------------------------------------------------------------------------------


def _plan(before: HashRing, after: HashRing, places: Mapping[str, str]) -> dict[str, JSON]:
    moves = before.moves_to(after)
    shares, later = before.shares(), after.shares()
    shards: list[JSON] = [
        {"name": name, "place": places.get(name), "share": shares.get(name, 0.0), "share_to_come": later.get(name, 0.0)}
        for name in sorted({*shares, *later})
    ]
    return {
        "shards": shards,
        "moves": [{"from": source, "to": target, "share": share} for (source, target), share in moves.items()],
        "moved_share": sum(moves.values()),
    }


def _print_plan(before: HashRing, after: HashRing, places: Mapping[str, str]) -> None:
    shares, later = before.shares(), after.shares()
    largest = max(*shares.values(), *later.values())
    table = Table("shard", "where", box=None, header_style="dim")
    for column in ("share today", "share to come"):
        table.add_column(column, justify="right")
    table.add_column("")
    for name in sorted({*shares, *later}):
        drawn = Text(bar(later.get(name, 0.0), largest, _WIDTH), style="cyan")
        figures = (f"{share:.4f}" if (share := ring.get(name)) is not None else "–" for ring in (shares, later))
        table.add_row(name, Text(places.get(name, "not given")), *figures, drawn)
    console = page()
    console.print(table)
    moves = before.moves_to(after)
    console.print(f"\n{sum(moves.values()):.2%} of the keys would move:" if moves else "\nNothing would move.")
    for (source, target), share in moves.items():
        console.print(f"  {source} → {target}  {share:.4f}")


def _print_status(shards: Sequence[ShardStatus]) -> None:
    table = Table("shard", "where", box=None, header_style="dim")
    for column in ("keys", "share", "memory", "ms"):
        table.add_column(column, justify="right")
    table.add_column("breaker")
    table.add_column("keys, beside the fullest")
    most = max((shard.keys or 0 for shard in shards), default=0)
    for shard in shards:
        table.add_row(
            shard.name,
            Text(shard.place),
            "–" if shard.keys is None else f"{shard.keys:,}",
            f"{shard.share:.4f}",
            "–" if shard.bytes is None else readable(shard.bytes),
            "–" if shard.latency_ms is None else f"{shard.latency_ms:.2f}",
            Text(shard.breaker, style="green" if shard.breaker == "closed" and not shard.error else "red"),
            Text(bar(shard.keys or 0, most, _WIDTH), style="cyan"),
        )
    console = page()
    console.print(table)
    if sum(shard.keys or 0 for shard in shards):
        console.print(_ABOUT_SHARES, style="dim", soft_wrap=True)
    for shard in shards:
        if shard.error:
            console.print(Text(f"{shard.name}: {shard.error}", style="red"), soft_wrap=True)


def _followed(steps: Iterator[Progress]) -> Progress:
    """Run to the end, with a progress bar on stderr where that is a terminal; returns how far it came."""
    from semroute.stores.rebalance import Progress

    console, reached = side(), Progress()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("moving", total=None)
        try:
            for reached in steps:
                what = f"pass {reached.passes}, {reached.moved:,} moved, {reached.failed:,} failed"
                total = max(reached.entries, reached.looked_at)
                shown.update(task, description=what, completed=reached.looked_at, total=total)
        except SemrouteError:
            shown.stop()
            if reached.passes:
                console.print(_told(reached), soft_wrap=True)
            raise
    return reached


def _told(progress: Progress) -> str:
    what = f"{progress.moved:,} entries moved, {progress.copied:,} copies made, {progress.failed:,} failed"
    if progress.is_done:
        return f"{what}; everything lies where it belongs"
    return f"{what}; run it again{f' ({progress.reason})' if progress.reason else ''}"

"""`semroute replay`: any labelled stream, through an application's framework and the cache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, StoreOption, page, print_json, progress, there, waiting
from semroute.cli._stores import check_kind
from semroute.cli.framework import STAND_IN, Framework, FrameworkOption, ModelOption, check_model, player_of
from semroute.cli.replay import Witness, replay
from semroute.cli.stream import Stream, read_stream
from semroute.stores.urls import place_of

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.cli.report import Outcome, ReplayReport
    from semroute.entry import JSON
    from semroute.router import Router
    from semroute.router.catalog import ModelCatalog

_EMBED_DEADLINE_S = 30.0
"""Generous: a busy machine must not turn into misses in a report about answers."""


FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A labelled stream: JSONL, one request a line.", callback=there)
]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replay with what it was made with."""

    stream: Stream
    report: ReplayReport
    store: str
    model: str
    tokens_estimated: bool
    terms: dict[str, JSON] | None
    """What the stand-in models state about themselves; None for a real model."""
    framework: Framework = Framework.LANGCHAIN

    @property
    def is_routed(self) -> bool:
        """Whether a router chose between the stand-ins."""
        return self.terms is not None and self.framework is Framework.LANGCHAIN

    def as_dict(self) -> dict[str, JSON]:
        """Return the object that `--json` prints."""
        return {
            "stream": self.stream.name,
            "framework": self.framework.value,
            "store": self.store,
            "model": self.model,
            "stand_in": self.terms,
            "tokens_estimated": self.tokens_estimated,
            **self.report.as_dict(),
        }


def replay_command(
    file: FileArgument,
    store: StoreOption = None,
    model: ModelOption = STAND_IN,
    framework: FrameworkOption = Framework.LANGCHAIN,
    as_json: JsonOption = False,
) -> None:
    """Replay a labelled stream and score every answer.

    Each line of FILE is an object with tenant, system, history, query, answer_class, trap and model. A stand-in model
    answers: the one that is named, or for "small", as for a line without a model, the one that the router chooses.
    Through LlamaIndex it is always the one that is named, asked over pages made of the stream's answers. The store is
    a fresh temporary one unless --store names another.
    """
    with if_interrupted(_kept(store)):
        replayed = run(read_stream(file), store, model, framework)
    if as_json:
        print_json(replayed.as_dict())
    else:
        page().print(_page(replayed))


def run(
    stream: Stream, stores: Sequence[str] | None, model: str, framework: Framework = Framework.LANGCHAIN
) -> Replayed:
    """Replay a stream through a framework; raises UsageError, ConfigError, StoreError or EmbedderError."""
    check_model(model, framework)
    witness = Witness()
    with _cache(stores, witness, _routing(stream, model, framework)) as cache:
        with waiting("Loading the embedding model (the first run on a machine prepares it) …"):
            player = player_of(framework, cache, stream, model)
            cache.preload()
        report = replay(
            stream.rows,
            cache,
            player.subject,
            witness,
            track=lambda outcomes: progress(outcomes, f"Replaying {stream.name}", len(stream.rows)),
        )
    return Replayed(
        stream,
        player.settled(report),
        store=", ".join(map(place_of, stores)) if stores else "temporary",
        model=model,
        tokens_estimated=player.tokens_estimated,
        terms=_terms(stream) if model == STAND_IN else None,
        framework=framework,
    )


def _kept(stores: Sequence[str] | None) -> str:
    """Say what is kept of a replay that was stopped."""
    if not stores:
        return "nothing is kept, since its store was a temporary one: the same call begins anew"
    return f"what was stored up to then stays in {', '.join(map(place_of, stores))}: the same call begins anew"


@contextmanager
def _cache(stores: Sequence[str] | None, witness: Witness, routing: _Routing) -> Iterator[SemanticCache]:
    from semroute.cache import SemanticCache

    check_kind(stores)
    with tempfile.TemporaryDirectory(prefix="semroute-") as folder:
        places = stores if stores else [str(Path(folder) / "answers.db")]
        # Written before the next request is asked, so that what is stored can be told apart by request.
        with SemanticCache(
            *places,
            router=routing.router,
            prices=routing.prices,
            listeners=[witness],
            write="now",
            embed_deadline_s=_EMBED_DEADLINE_S,
        ) as cache:
            yield cache


@dataclass(frozen=True, slots=True)
class _Routing:
    """Who chooses the model, and what each costs; a real model is asked as it is, without prices of ours."""

    router: Router | None = None
    prices: ModelCatalog | None = None


def _routing(stream: Stream, model: str, framework: Framework) -> _Routing:
    from semroute.cli.stand_in import catalog_of, router_of_stand_ins

    if model != STAND_IN:
        return _Routing()
    router = router_of_stand_ins() if framework is Framework.LANGCHAIN else None
    return _Routing(router, catalog_of(_models(stream)))


def _terms(stream: Stream) -> dict[str, JSON]:
    from semroute.cli.stand_in import terms_of

    return {name: terms_of(name).as_dict() for name in _models(stream)}


def _models(stream: Stream) -> list[str]:
    """Return the names of the stand-ins, and of the other models that a stream names."""
    from semroute.cli.stand_in import TERMS

    return sorted({*TERMS, *(row.model for row in stream.rows)})


def _page(replayed: Replayed) -> Group:
    report = replayed.report
    head = (
        f"[bold]{escape(replayed.stream.name)}[/]: {len(report.outcomes)} requests, {len(report.reusable)} with a "
        f"right earlier answer; {len(report.hits)} hits ([bold]{report.hit_share_of_reusable:.0%}[/] of the reusable), "
        f"[bold]{len(report.wrong)}[/] wrong; {report.traps_refused} of {len(report.traps)} traps refused."
    )
    plain = (
        f"A plain cosine-0.8 cache on the same vectors: {len(report.cosine)} hits, {len(report.cosine_wrong)} wrong "
        f"({report.cosine_wrong_isolated} with a space for each tenant and system prompt)."
    )
    kinds = Table("kind", box=None, pad_edge=False, header_style="dim")
    for name in ("requests", "reusable", "hits", "wrong"):
        kinds.add_column(name, justify="right")
    for kind, counts in report.by_kind().items():
        figures = (counts.requests, counts.reusable, counts.hits, counts.wrong_hits)
        kinds.add_row(kind, *(str(figure) for figure in figures))
    return Group(head, plain, escape(_calls(replayed)), "", kinds, *(_wrong(outcome) for outcome in report.wrong))


def _calls(replayed: Replayed) -> str:
    """Say which models were called, and for stand-ins what that cost and spared."""
    from semroute.cli.demo_routing import usd

    report = replayed.report
    shares = ", ".join(f"{name} {count}" for name, count in report.calls_by_model.items())
    calls = f"{len(report.calls)} model calls{f' ({shares})' if shares else ''} through {replayed.framework.brand}"
    if replayed.terms is None:
        return f"{calls}."
    spared = f"{calls}, {usd(report.spent_usd)} spent. Spared: {usd(report.saved_usd)} by hits"
    if not replayed.is_routed:
        return f"{spared}."
    return (
        f"{spared}, {usd(report.saved_by_routing_usd)} by routing, held against the strongest model for all of the "
        f"{report.routed_calls} calls that the router chose for."
    )


def _wrong(outcome: Outcome) -> Text:
    row = None if outcome.served is None else outcome.served.row
    served = "an answer of an earlier run" if row is None else f"the answer to {row.query!r}"
    return Text(f"wrong: {outcome.row.query!r} was served {served}", style="red")

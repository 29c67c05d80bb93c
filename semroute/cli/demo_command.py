"""`semroute demo`: a support desk's day through the cache, and one screen of what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from semroute.cli._output import JsonOption, page, print_json, waiting
from semroute.cli.framework import STAND_IN, Framework, FrameworkOption, ModelOption
from semroute.cli.replay_command import run
from semroute.cli.sightings import sightings, telling_examples
from semroute.cli.stream import packaged_stream

if TYPE_CHECKING:
    from semroute.cli.replay_command import Replayed
    from semroute.entry import JSON

REDIS: Final = "redis"
"""Instead of a URL: servers of the demo's own, which end with it."""
SHARDS: Final = 3
_EXAMPLE_CHARACTERS = 49

DemoStoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Where answers are kept: sqlite:///PATH, a path, redis://HOST:6379 or memory://; once for each shard of a "
        f"ring. 'redis' starts {SHARDS} servers on this machine, for the demo alone.",
    ),
]


def demo_command(
    store: DemoStoreOption = None,
    model: ModelOption = STAND_IN,
    framework: FrameworkOption = Framework.LANGCHAIN,
    as_json: JsonOption = False,
) -> None:
    """Replay a support desk's day: what is saved, how fast, and which look-alikes are refused.

    Two stand-in models answer, with stated prices and latencies, and a router chooses between them for requests that
    leave the model open; --model openai:gpt-4o-mini asks a real one instead. --framework llama-index asks query engines
    over an index of help pages, each with a stand-in of its own and no router. The store is a fresh temporary one
    unless --store names another; `--store redis` plays on a ring of local Redis servers.
    """
    replayed = played(store, model, framework)
    if as_json:
        print_json({**replayed.as_dict(), "trap_examples": _examples(replayed)})
        return
    from semroute.cli.demo_screen import WIDTH, screen

    console = page()
    console.print(screen(replayed), width=min(WIDTH, console.width))


def played(stores: Sequence[str] | None, model: str, framework: Framework = Framework.LANGCHAIN) -> Replayed:
    """Replay the demo's stream; raises what `run` raises, and ConfigError where no Redis can be started here."""
    if stores is None or list(stores) != [REDIS]:
        return run(packaged_stream(), stores, model, framework)
    with _shards() as urls:
        return replace(run(packaged_stream(), urls, model, framework), store=f"{SHARDS} Redis shards")


@contextmanager
def _shards() -> Iterator[list[str]]:
    from semroute.testing.redis_stack import redis_stack

    with ExitStack() as ending:
        with waiting(f"Starting {SHARDS} Redis servers …"):
            nodes = ending.enter_context(redis_stack(SHARDS))
        yield [node.url for node in nodes]


def _examples(replayed: Replayed) -> list[JSON]:
    report = replayed.report
    seen = sightings(report.outcomes, report.guards)
    return [sighting.as_dict() for sighting in telling_examples(seen, max_characters=_EXAMPLE_CHARACTERS)]

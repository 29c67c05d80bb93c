"""`semroute demo`: a support desk's day through the cache, and one screen of what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semroute.cli._output import JsonOption, StoreOption, page, print_json
from semroute.cli.replay_command import STAND_IN, ModelOption, run
from semroute.cli.sightings import sightings, telling_examples
from semroute.cli.stream import packaged_stream

if TYPE_CHECKING:
    from semroute.cli.replay_command import Replayed
    from semroute.entry import JSON

_EXAMPLE_CHARACTERS = 49


def demo_command(store: StoreOption = None, model: ModelOption = STAND_IN, as_json: JsonOption = False) -> None:
    """Replay a support desk's day: what is saved, how fast, and which look-alikes are refused.

    A stand-in model answers, with a stated price and latency; --model openai:gpt-4o-mini asks a real one. The store
    is a fresh temporary one unless --store names another.
    """
    replayed = run(packaged_stream(), store, model)
    if as_json:
        print_json({**replayed.as_dict(), "trap_examples": _examples(replayed)})
        return
    from semroute.cli.demo_screen import WIDTH, screen

    console = page()
    console.print(screen(replayed), width=min(WIDTH, console.width))


def _examples(replayed: Replayed) -> list[JSON]:
    report = replayed.report
    seen = sightings(report.outcomes, report.guards)
    return [sighting.as_dict() for sighting in telling_examples(seen, max_characters=_EXAMPLE_CHARACTERS)]

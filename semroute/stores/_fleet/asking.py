"""How some shards are asked at once, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semroute.stores._fleet.shard import Call, Deed, Done, Outcome, Refused

if TYPE_CHECKING:
    from semroute.stores._fleet.fleet import Fleet, Steps


def call(names: Sequence[str], deed: Deed[Any], *, is_forced: bool = False) -> Steps[Sequence[Outcome]]:
    """Ask some shards at once; `is_forced` asks those too that their breakers leave alone."""
    if not names:
        return ()
    return (yield [Call(name, deed, is_forced) for name in names])


def answers_of(fleet: Fleet, names: Sequence[str], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what was answered, by shard; a refusal counts as a failure."""
    for name, outcome in zip(names, outcomes, strict=True):
        if isinstance(outcome, Refused):
            fleet.shards[name].broke(str(outcome.error))
    return {name: outcome.value for name, outcome in zip(names, outcomes, strict=True) if isinstance(outcome, Done)}


def done(names: Sequence[str], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what was answered, by shard; raises the ConfigError of a refusal."""
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            raise outcome.error
    return {name: outcome.value for name, outcome in zip(names, outcomes, strict=True) if isinstance(outcome, Done)}

"""Replays a labelled stream through a cache, and scores every answer against the stream's own labels."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from semroute.cli.plain_cosine import PlainCosine
from semroute.cli.report import UNNAMED, ModelCall, Outcome, ReplayReport, Served
from semroute.cli.stream import Row, reusable_flags
from semroute.result import Hit, Stored
from semroute.telemetry import CallEvent, Event, LookupEvent, UpdateEvent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.cache import SemanticCache
    from semroute.embedders import Embedder
    from semroute.result import Lookup, Saved

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call brought, and how long the model behind the cache took of it (0 where it was not called)."""

    text: str
    model_s: float


class Subject(Protocol):
    """Answers requests through the cache under replay."""

    def ask(self, row: Row) -> Reply: ...

    def saved_by(self, row: Row, hit: Hit) -> Saved | None:
        """Say what the hit spared, where that is known."""
        ...

    def is_right(self, row: Row, text: str) -> bool:
        """Judge an answer of an earlier run, which can only be told by its text."""
        ...


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What the cache said of one call."""

    lookup: Lookup | None = None
    stored: str | None = None
    """The entry that was made of the answer."""
    call: ModelCall | None = None
    """The model that had to answer."""


class Witness:
    """A listener that notes what the cache says of the call under way: give it to the cache that is replayed."""

    def __init__(self) -> None:
        self._seen = Witnessed()

    def on(self, event: Event) -> None:
        match event:
            case LookupEvent(result):
                self._seen = dataclasses.replace(self._seen, lookup=result)
            case UpdateEvent(Stored(entry_id)):
                self._seen = dataclasses.replace(self._seen, stored=entry_id)
            case CallEvent(request, answer):
                model = UNNAMED if answer.model is None else answer.model
                self._seen = dataclasses.replace(self._seen, call=ModelCall(model, request.is_routed))
            case _:
                pass

    def take(self) -> Witnessed:
        """Return what was seen since the last call of this, and forget it."""
        seen, self._seen = self._seen, Witnessed()
        return seen


class Replay:
    """One pass of a stream through one cache."""

    def __init__(self, rows: Sequence[Row], subject: Subject, witness: Witness) -> None:
        self._rows = rows
        self._subject = subject
        self._witness = witness
        self._owners: dict[str, int] = {}

    def run(self) -> Iterator[Outcome]:
        """Yield what became of each request, in order."""
        for position, is_reusable in enumerate(reusable_flags(self._rows)):
            yield self._one(position, is_reusable)

    def _one(self, position: int, is_reusable: bool) -> Outcome:
        row = self._rows[position]
        self._witness.take()
        began = time.perf_counter()
        reply = self._subject.ask(row)
        call_s = time.perf_counter() - began
        seen = self._witness.take()
        if seen.stored is not None:
            self._owners[seen.stored] = position
        hit = seen.lookup if isinstance(seen.lookup, Hit) else None
        served = None if hit is None else self._served(row, hit, reply)
        return Outcome(
            position=position,
            row=row,
            is_reusable=is_reusable,
            explanation=None if seen.lookup is None else seen.lookup.explanation,
            served=served,
            saved=None if hit is None or served is None or served.is_wrong else self._subject.saved_by(row, hit),
            cache_s=max(0.0, call_s - reply.model_s),
            call=seen.call,
        )

    def _served(self, row: Row, hit: Hit, reply: Reply) -> Served:
        """Trace a hit back to the request that its entry was made for."""
        owner = self._owners.get(hit.hit_id)
        if owner is None:
            return Served(None, is_wrong=not self._subject.is_right(row, reply.text))
        return Served(self._rows[owner], is_wrong=self._rows[owner].label != row.label)


def replay(
    rows: Sequence[Row],
    cache: SemanticCache,
    subject: Subject,
    witness: Witness,
    *,
    track: Callable[[Iterable[Outcome]], Iterable[Outcome]] = lambda outcomes: outcomes,
) -> ReplayReport:
    """Replay a stream, and the same stream through a plain cosine cache on the same vectors.

    `witness` must be among the listeners of `cache`, which is a fresh one; `track` may show progress. Raises
    EmbedderError.
    """
    outcomes = tuple(track(Replay(rows, subject, witness).run()))
    vectors = embed_all(cache.embedder, [row.query for row in rows])
    return ReplayReport(
        outcomes=outcomes,
        guards=cache.rules.guards,
        cosine=tuple(PlainCosine().replay(rows, vectors)),
        cosine_isolated=tuple(PlainCosine(is_isolated=True).replay(rows, vectors)),
        costs=cache.ledger.total(),
    )


def embed_all(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed texts, each different one once; one unit vector a text."""
    unique = list(dict.fromkeys(texts))
    batches = [embedder.embed(unique[start : start + _BATCH]) for start in range(0, len(unique), _BATCH)]
    place = {text: position for position, text in enumerate(unique)}
    vectors: NDArray[np.float32] = np.concatenate(batches)[[place[text] for text in texts]]
    return vectors

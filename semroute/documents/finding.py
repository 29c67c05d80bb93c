"""Which cached answers documents that were added may change: a vector search over the questions of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from semroute.documents.nearness import Nearness, passages

if TYPE_CHECKING:
    from semroute.embedders import Embedder
    from semroute.stores import Nearby

_BATCH: Final = 256
"""How many passages are embedded, and searched for, at once."""


def near_entries(
    store: Nearby,
    embedder: Embedder,
    texts: Iterable[str],
    labels: frozenset[str],
    nearness: Nearness | None,
    now: float,
) -> list[str]:
    """Return the exact keys of the entries with these labels whose questions the texts are near to.

    Nothing is embedded where there is no such entry, as when documents are first read in. Raises StoreError and
    EmbedderError.
    """
    rule = Nearness() if nearness is None else nearness
    found: dict[str, None] = {}
    waiting = (passage for text in texts for passage in passages(text, embedder.fits))
    first = list(islice(waiting, 1))
    if not first or not _has_any(store, embedder, first[0], labels, now):
        return []
    for batch in _batches(waiting, first):
        vectors = embedder.embed(batch)
        near = store.nearby(vectors, labels=labels, embedder=embedder.identity, at_least=rule.at_least, now=now)
        found.update(dict.fromkeys(entry.id for entry in near))
    return list(found)


def _has_any(store: Nearby, embedder: Embedder, text: str, labels: frozenset[str], now: float) -> bool:
    every = store.nearby(embedder.embed([text]), labels=labels, embedder=embedder.identity, at_least=0.0, now=now)
    return bool(every)


def _batches(waiting: Iterator[str], first: list[str]) -> Iterator[list[str]]:
    batch = first + list(islice(waiting, _BATCH - len(first)))
    while batch:
        yield batch
        batch = list(islice(waiting, _BATCH))

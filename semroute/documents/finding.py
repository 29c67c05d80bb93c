"""Which cached answers documents that were added may change: a vector search over the questions of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from semroute.documents.nearness import Nearness, passages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semroute.embedders import Embedder
    from semroute.entry import Address
    from semroute.stores import Near, Nearby

_BATCH: Final = 256
"""How many passages are embedded, and searched for, at once."""
_EVERY: Final = 0.0
"""The least similarity that there is."""


def near_entries(
    store: Nearby,
    embedder: Embedder,
    texts: Iterable[str],
    labels: frozenset[str],
    nearness: Nearness | None,
    now: float,
) -> list[Address]:
    """Return where the entries with these labels are whose questions the texts are near to.

    Nothing is embedded where there is no such entry, as when documents are first read in. A text without a passage that
    the embedder takes is near to all. Raises StoreError and EmbedderError.
    """
    rule = Nearness() if nearness is None else nearness
    parted = [passages(text, embedder.fits) for text in texts if text.strip()]
    if not parted:
        return []

    def near(batch: Sequence[str], at_least: float) -> Sequence[Near]:
        vectors = embedder.embed(batch)
        return store.nearby(vectors, labels=labels, embedder=embedder.identity, at_least=at_least, now=now)

    every = near(["any text"], _EVERY)
    if not every or not all(parted):
        return [entry.address for entry in every]
    waiting = (passage for text in parted for passage in text)
    return list(dict.fromkeys(entry.address for batch in _batches(waiting) for entry in near(batch, rule.at_least)))


def _batches(waiting: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(waiting, _BATCH)):
        yield batch

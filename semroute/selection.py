"""What an application names to have entries removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from semroute.entry import Selector
from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.request import Digests


@dataclass(frozen=True, slots=True)
class Selection:
    """Labels by their kind ("tenant", "tag", …), None where one is not named, an age, and documents.

    Of the documents any one will do; everything else must hold. Raises ConfigError where nothing is named, for a lone
    string in the place of documents, and for an age below zero.
    """

    named: Mapping[str, str | None]
    older_than: timedelta | None = None
    documents: Iterable[str] | None = None

    def __post_init__(self) -> None:
        if self.older_than is None and self.documents is None and all(value is None for value in self.named.values()):
            raise ConfigError(f"name what to invalidate: {', '.join(self.named)}, doc_ids or older_than; or clear()")
        if isinstance(self.documents, str):
            raise ConfigError(f"doc_ids must be several ids, such as a list of them, not {self.documents!r}")
        if self.older_than is not None and self.older_than < timedelta(0):
            raise ConfigError(f"older_than must be a timedelta of at least 0 s, not {self.older_than!r}")

    def selectors(self, digests: Digests, now: float) -> list[Selector]:
        """Return the selectors of what is named, in a store with these digests: one, or one for each document."""
        labels = frozenset(digests.label(kind, value) for kind, value in self.named.items() if value is not None)
        before = None if self.older_than is None else now - self.older_than.total_seconds()
        if self.documents is None:
            return [Selector(labels, before)]
        documents = dict.fromkeys(self.documents)
        return [Selector(labels | {digests.label("document", document)}, before) for document in documents]

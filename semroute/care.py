"""Looking after what a cache keeps: reports of wrong answers, and invalidation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from semroute.documents.finding import near_entries
from semroute.entry import EVERY_DOCUMENT, Selector
from semroute.errors import ConfigError
from semroute.selection import Selection
from semroute.stores import Nearby
from semroute.telemetry import Event, FeedbackEvent

if TYPE_CHECKING:
    from semroute.documents.nearness import Nearness
    from semroute.embedders import Embedder
    from semroute.entry import Address
    from semroute.keyring import Keyring
    from semroute.stores import Store
    from semroute.withholding import Withholding


class Care(ABC):
    """The part of a cache that removes entries; raises what its store raises: nothing of it may be lost silently."""

    store: Store
    embedder: Embedder
    _keyring: Keyring
    _withholding: Withholding
    _clock: Callable[[], float]

    @abstractmethod
    def _emit(self, event: Event) -> None: ...

    def feedback(self, hit_id: str, *, correct: bool) -> int:
        """Say whether a hit was right; a wrong one loses its entry with all aliases. Returns how many entries went.

        Raises StoreError: a report of a wrong answer must not be lost silently.
        """
        digests = self._keyring.require()
        removed = 0 if correct else self._delete(Selector(frozenset({digests.label("entry", hit_id)})))
        self._emit(FeedbackEvent(hit_id, correct, removed))
        return removed

    def invalidate(
        self,
        *,
        tenant: str | None = None,
        namespace: str | None = None,
        user: str | None = None,
        tag: str | None = None,
        entry: str | None = None,
        corpus: str | None = None,
        doc_ids: Iterable[str] | None = None,
        older_than: timedelta | None = None,
    ) -> int:
        """Remove every entry to which all that is named applies; returns how many went.

        `doc_ids` are documents, as after a change or a deletion: what was made from any of them goes. Answers that are
        under way when this is called are not stored afterwards. Raises StoreError.
        """
        named = {"tenant": tenant, "namespace": namespace, "user": user, "tag": tag, "entry": entry, "corpus": corpus}
        selection = Selection(named, older_than, doc_ids)
        return sum(map(self._delete, selection.selectors(self._keyring.require(), self._clock())))

    def invalidate_near(
        self,
        texts: Iterable[str],
        *,
        corpus: str,
        nearness: Nearness | None = None,
        still_holds: Callable[[str], bool] | None = None,
    ) -> int:
        """Remove the answers that documents which were added may change; returns how many went.

        Those are the answers made from the corpus whose question one of the texts is near to, as `nearness` says, those
        that the exact tier alone can serve, and those that were made from all there was (EVERY_DOCUMENT).
        `still_holds` is asked about the question of each that is near, and keeps its answer where it returns True: it
        may retrieve again, or ask a model. Where the store cannot search in this way, all answers of the corpus go.
        Answers that are under way when this is called are not stored afterwards. Raises StoreError and EmbedderError.
        """
        if isinstance(texts, str):
            raise ConfigError(f"texts must be several, such as a list of one, not {texts!r}")
        digests = self._keyring.require()
        of_corpus = Selector(frozenset({digests.label("corpus", corpus)}))
        if not isinstance(self.store, Nearby):
            return self._delete(of_corpus)
        self.store.delete(replace(of_corpus, under_way=True))
        of_all = self._delete(Selector(of_corpus.labels | {digests.label("document", EVERY_DOCUMENT)}))
        found = near_entries(self.store, self.embedder, texts, of_corpus.labels, nearness, self._clock())
        wrong = [address for address in found if still_holds is None or not self._holds(address, still_holds)]
        return of_all + sum(self._delete(Selector(frozenset({digests.label("entry", each.exact)}))) for each in wrong)

    def _holds(self, address: Address, still_holds: Callable[[str], bool]) -> bool:
        entry = self.store.get(address, now=self._clock()).entry
        return entry is not None and bool(entry.query) and still_holds(entry.query)

    def clear(self) -> int:
        """Remove every entry of every scope; returns how many went. Raises StoreError."""
        return self._delete(Selector())

    def _delete(self, selector: Selector) -> int:
        """Remove entries, and what was taken down of them."""
        removed = self.store.delete(selector)
        self._withholding.forget(selector)
        return removed

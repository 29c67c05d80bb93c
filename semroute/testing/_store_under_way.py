"""The conformance suite of stores: invalidation of the answers that are still under way, and of no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from semroute.entry import Selector
from semroute.testing._store_probes import EmptyStore, get, queries, same_entry, search
from semroute.testing.entries import NOW, make_alias, make_entry, make_vector

if TYPE_CHECKING:
    from semroute.stores import Store


class UnderWaySuite(EmptyStore):
    """delete with `Selector.under_way`."""

    def test_invalidating_what_is_under_way_removes_nothing_and_raises_the_epoch(self, store: Store) -> None:
        entry = make_entry("stored", labels=frozenset({"tag", "tenant"}))
        store.put(entry)
        store.put(make_alias("alias", entry))
        before = get(store, "stored").epoch
        for labels in ({"tag"}, {"tag", "tenant"}, set()):
            assert store.delete(Selector(frozenset(labels), under_way=True)) == 0
        assert get(store, "stored").epoch > before
        assert same_entry(get(store, "stored").entry, entry)
        assert same_entry(get(store, "alias").entry, entry)
        assert queries(search(store)) == ["stored"]
        assert [found.query for found in store.scan()] == ["stored"]

    @pytest.mark.parametrize("labels", [{"tag"}, {"tag", "tenant"}, set()])
    def test_an_answer_that_was_under_way_then_is_refused(self, store: Store, labels: set[str]) -> None:
        epoch = get(store, "q").epoch
        store.delete(Selector(frozenset(labels), under_way=True))
        for vector in (make_vector(), None):
            late = make_entry("q", labels=frozenset({"tag", "tenant"}), vector=vector, epoch=epoch)
            assert store.put(late) is False
        assert get(store, "q").entry is None
        later = make_entry("q", labels=frozenset({"tag", "tenant"}), epoch=get(store, "q").epoch)
        assert store.put(later) is True
        assert queries(search(store)) == ["q"]

    def test_an_answer_under_way_that_lacks_a_label_is_stored(self, store: Store) -> None:
        epoch = get(store, "q").epoch
        store.delete(Selector(frozenset({"tag", "another tenant"}), under_way=True))
        store.delete(Selector(frozenset({"another tag"}), under_way=True))
        assert store.put(make_entry("q", labels=frozenset({"tag", "tenant"}), epoch=epoch)) is True

    def test_a_refused_answer_leaves_what_is_stored_in_its_place(self, store: Store) -> None:
        entry = make_entry("q", labels=frozenset({"tag"}))
        store.put(entry)
        store.delete(Selector(frozenset({"tag"}), under_way=True))
        assert store.put(make_entry("q", labels=frozenset({"tag"}), created_at=NOW + 1)) is False
        assert same_entry(get(store, "q").entry, entry)

    def test_what_was_stored_before_one_under_way_goes_with_the_next_delete(self, store: Store) -> None:
        labels = frozenset({"tag"})
        store.put(make_entry("before", labels=labels))
        store.delete(Selector(labels, under_way=True))
        store.put(make_entry("after", labels=labels, epoch=get(store, "q").epoch))
        assert store.delete(Selector(labels)) == 2
        store.put(make_entry("again", labels=labels, epoch=get(store, "q").epoch))
        store.delete(Selector(labels, under_way=True))
        assert sorted(queries(search(store))) == ["again"]

"""The conformance suite of stores: what is put, and what exact and semantic lookups then find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from semroute.entry import Answer, Selector, Usage
from semroute.errors import ConfigError, StoreError
from semroute.testing._store_probes import EmptyStore, get, queries, same_entry, search
from semroute.testing.entries import DIMENSIONS, HOUR_S, NOW, make_address, make_alias, make_entry, make_vector

if TYPE_CHECKING:
    from semroute.stores import Store


class ExactTierSuite(EmptyStore):
    """get and put."""

    def test_an_empty_store_finds_nothing(self, store: Store) -> None:
        found = get(store, "anything")
        assert (found.entry, found.alias) == (None, None)

    def test_an_entry_comes_back_equal_in_every_field(self, store: Store) -> None:
        entry = make_entry(
            "q",
            answer=Answer(
                "text", {"a": [1, 2.5, None, True, "é"]}, "model-1", "stop", True, True, Usage(3, 4), 0.25, 1.5
            ),
            created_at=NOW - 5.25,
            labels=frozenset({"tenant", "tag"}),
        )
        assert store.put(entry) is True
        found = get(store, "q")
        assert same_entry(found.entry, entry)
        assert found.alias is None

    def test_an_entry_without_a_vector_is_found_by_its_key_only(self, store: Store) -> None:
        entry = make_entry("exact only", vector=None)
        store.put(entry)
        assert same_entry(get(store, "exact only").entry, entry)
        assert list(search(store)) == []

    def test_a_key_of_another_partition_is_not_found(self, store: Store) -> None:
        store.put(make_entry("q", partition="mine"))
        assert get(store, "q", partition="theirs").entry is None

    def test_a_second_put_of_one_key_replaces_the_first(self, store: Store) -> None:
        store.put(make_entry("q", similarity=0.6))
        store.put(make_entry("q", similarity=0.9, answer=Answer("newer")))
        found = get(store, "q").entry
        assert found is not None
        assert found.answer.text == "newer"
        assert [round(candidate.similarity, 3) for candidate in search(store)] == [0.9]

    def test_an_entry_is_not_served_at_its_expiry_nor_after(self, store: Store) -> None:
        store.put(make_entry("q", expires_at=NOW + 10))
        assert get(store, "q", now=NOW + 9.5).entry is not None
        assert get(store, "q", now=NOW + 10).entry is None
        assert get(store, "q", now=NOW + 1000).entry is None

    def test_an_entry_from_the_future_is_served_when_the_clock_went_back(self, store: Store) -> None:
        store.put(make_entry("q", created_at=NOW, expires_at=NOW + HOUR_S))
        assert get(store, "q", now=NOW - 5 * HOUR_S).entry is not None
        assert queries(search(store, now=NOW - 5 * HOUR_S)) == ["q"]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " \n\t",
            "ünïcödé 漢字 🦜🔗",
            "שלום עולם",
            "\x00\x01 binary \x1b",
            "lone \ud800 surrogate",
            "'; DROP TABLE x; --",
        ],
        ids=["empty", "blank", "unicode", "right-to-left", "binary", "surrogate", "sql"],
    )
    def test_any_text_comes_back_unchanged(self, store: Store, text: str) -> None:
        entry = make_entry(text, answer=Answer(text, {"deep": [{"text": text}]}))
        store.put(entry)
        assert same_entry(get(store, text).entry, entry)
        assert queries(search(store)) == [text]

    def test_a_megabyte_of_text_comes_back_unchanged(self, store: Store) -> None:
        entry = make_entry("word " * 200_000, answer=Answer("long " * 200_000))
        store.put(entry)
        assert same_entry(get(store, entry.query).entry, entry)

    def test_a_payload_that_is_not_json_is_refused_and_nothing_is_stored(self, store: Store) -> None:
        with pytest.raises(StoreError, match="JSON"):
            store.put(make_entry("q", answer=Answer("x", {"when": float("nan")})))
        assert get(store, "q").entry is None

    def test_a_vector_that_is_not_finite_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match="finite"):
            store.put(make_entry("q", vector=np.full(DIMENSIONS, np.nan, np.float32)))
        assert get(store, "q").entry is None


class AliasSuite(EmptyStore):
    """Pointers from one exact key to another's entry."""

    def test_an_alias_leads_to_its_entry(self, store: Store) -> None:
        entry = make_entry("original")
        store.put(entry)
        alias = make_alias("paraphrase", entry, p_reusable=None)
        assert store.put(alias) is True
        found = get(store, "paraphrase")
        assert same_entry(found.entry, entry)
        assert found.alias == alias

    def test_an_alias_to_an_entry_that_is_gone_is_refused(self, store: Store) -> None:
        assert store.put(make_alias("paraphrase", make_entry("never stored"))) is False
        assert get(store, "paraphrase").entry is None

    def test_an_alias_to_an_entry_that_has_expired_is_refused(self, store: Store) -> None:
        entry = make_entry("original", expires_at=NOW + 10)
        store.put(entry)
        assert store.put(make_alias("paraphrase", entry, created_at=NOW + 10)) is False

    def test_an_alias_ends_with_its_entrys_expiry(self, store: Store) -> None:
        entry = make_entry("original", expires_at=NOW + 10)
        store.put(entry)
        store.put(make_alias("paraphrase", entry))
        assert get(store, "paraphrase", now=NOW + 9).entry is not None
        found = get(store, "paraphrase", now=NOW + 10)
        assert (found.entry, found.alias) == (None, None)

    def test_an_alias_dies_when_its_entry_is_deleted(self, store: Store) -> None:
        entry = make_entry("original", labels=frozenset({"tag"}))
        store.put(entry)
        store.put(make_alias("paraphrase", entry))
        store.delete(Selector(frozenset({"tag"})))
        assert get(store, "paraphrase").entry is None

    def test_an_alias_is_never_a_candidate(self, store: Store) -> None:
        entry = make_entry("original")
        store.put(entry)
        store.put(make_alias("paraphrase", entry))
        assert queries(search(store)) == ["original"]

    def test_a_second_alias_of_one_key_replaces_the_first(self, store: Store) -> None:
        first, second = make_entry("first"), make_entry("second")
        store.put(first)
        store.put(second)
        store.put(make_alias("paraphrase", first))
        store.put(make_alias("paraphrase", second, policy="policy-2"))
        found = get(store, "paraphrase")
        assert same_entry(found.entry, second)
        assert found.alias is not None
        assert found.alias.policy == "policy-2"

    def test_an_entry_of_ones_own_wins_over_an_alias(self, store: Store) -> None:
        other, own = make_entry("other"), make_entry("own")
        store.put(other)
        store.put(make_alias("own", other))
        store.put(own)
        found = get(store, "own")
        assert same_entry(found.entry, own)
        assert found.alias is None


class SemanticTierSuite(EmptyStore):
    """search."""

    def test_candidates_come_best_first(self, store: Store) -> None:
        for similarity in (0.5, 0.95, 0.7):
            store.put(make_entry(f"at {similarity}", similarity=similarity))
        found = search(store)
        assert queries(found) == ["at 0.95", "at 0.7", "at 0.5"]
        assert [candidate.similarity for candidate in found] == pytest.approx([0.95, 0.7, 0.5], abs=1e-3)
        assert found[0].id == make_address("at 0.95").exact

    @pytest.mark.parametrize("k", [1, 5, 12, 20, 50])
    def test_at_most_k_candidates_are_returned_and_they_are_the_best(self, store: Store, k: int) -> None:
        for number in range(20):
            store.put(make_entry(f"q{number}", similarity=0.99 - number / 40))
        assert queries(search(store, k=k)) == [f"q{number}" for number in range(min(k, 20))]

    def test_no_candidate_is_wanted_with_k_zero(self, store: Store) -> None:
        store.put(make_entry("q"))
        assert list(search(store, k=0)) == []

    @pytest.mark.parametrize("k", [3, 12])
    def test_equals_are_all_found_and_in_the_same_order_each_time(self, store: Store, k: int) -> None:
        for number in range(k):
            store.put(make_entry(f"q{number}", similarity=0.9))
        first = queries(search(store, k=k))
        assert sorted(first) == sorted(f"q{number}" for number in range(k))
        assert queries(search(store, k=k)) == first

    def test_partitions_never_see_each_other(self, store: Store) -> None:
        store.put(make_entry("mine", partition="a"))
        store.put(make_entry("theirs", partition="b"))
        assert queries(search(store, partition="a")) == ["mine"]
        assert queries(search(store, partition="b")) == ["theirs"]
        assert list(search(store, partition="c")) == []

    def test_expired_entries_are_no_candidates_and_do_not_take_places(self, store: Store) -> None:
        for number in range(10):
            store.put(make_entry(f"old {number}", similarity=0.99, expires_at=NOW + 10))
        store.put(make_entry("young", similarity=0.5))
        assert queries(search(store, k=3, now=NOW + 10)) == ["young"]

    def test_similarity_stays_between_zero_and_one(self, store: Store) -> None:
        store.put(make_entry("same", vector=make_vector() * np.float32(1.0001)))
        store.put(make_entry("opposite", vector=-make_vector()))
        assert [candidate.similarity for candidate in search(store)] == [1.0, 0.0]

    def test_a_search_sees_every_write_before_it(self, store: Store) -> None:
        for number in range(40):
            store.put(make_entry(f"q{number}", similarity=0.5 + number / 100, labels=frozenset({f"l{number}"})))
            assert queries(search(store, k=1)) == [f"q{number}"]
        store.delete(Selector(frozenset({"l39"})))
        assert queries(search(store, k=1)) == ["q38"]

    def test_vectors_of_another_embedder_are_refused_with_what_to_do(self, store: Store) -> None:
        store.put(make_entry("q"))
        with pytest.raises(ConfigError, match="invalidate --all"):
            search(store, embedder="another")
        with pytest.raises(ConfigError, match="invalidate --all"):
            store.put(make_entry("p", embedder="another"))
        assert get(store, "p").entry is None
        assert store.put(make_entry("exact only", vector=None)) is True

    def test_vectors_of_another_length_are_refused(self, store: Store) -> None:
        store.put(make_entry("q"))
        with pytest.raises(ConfigError, match="dimensions"):
            store.put(make_entry("p", vector=make_vector(dimensions=DIMENSIONS + 1)))
        with pytest.raises(ConfigError, match="dimensions"):
            search(store, make_vector(dimensions=DIMENSIONS + 1))

    def test_after_everything_is_deleted_another_embedder_may_move_in(self, store: Store) -> None:
        store.put(make_entry("q"))
        assert queries(search(store)) == ["q"]
        store.delete(Selector())
        longer = make_vector(dimensions=2 * DIMENSIONS)
        epoch = get(store, "p").epoch
        assert store.put(make_entry("p", vector=longer, embedder="another", epoch=epoch)) is True
        assert queries(search(store, longer, embedder="another")) == ["p"]

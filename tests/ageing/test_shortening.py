"""A model may shorten the life of what was stored, whatever happens meanwhile, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute import Answer, Request, SemanticCache
from semroute.ageing import Ageing, AgeingCounts, shorter_expiry
from semroute.entry import Alias, Entry, Selector
from semroute.freshness import LIFETIMES
from semroute.router.decision import Staleness
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.clock import START_S, FakeClock
from semroute.testing.embedders import HashEmbedder
from semroute.testing.entries import EMBEDDER, make_alias, make_entry, make_vector

from .parts import DAY_S, HOUR_S, RULES, UNSURE, MakeAgeing, Model, life_s, put


class TestShortening:
    @pytest.mark.parametrize(
        ("reply", "expected_s"),
        [("daily", HOUR_S), ("slow", 7 * DAY_S), ("timeless", 7 * DAY_S), ("realtime", None), (" Daily.\n", HOUR_S)],
    )
    def test_a_life_is_as_short_as_the_label_says_and_never_longer_than_it_was(
        self, reply: str, expected_s: float | None, make_ageing: MakeAgeing, store: EmbeddedStore
    ) -> None:
        ageing, entry = make_ageing(Model(reply)), put(store)
        assert ageing.consider(entry, UNSURE, store=store, rules=RULES)
        ageing.flush()
        assert life_s(store, entry) == expected_s
        is_shorter = expected_s != 7 * DAY_S
        assert ageing.counts() == AgeingCounts(asked=1, shortened=is_shorter, unchanged=not is_shorter)

    def test_the_entry_is_otherwise_what_it_was(self, make_ageing: MakeAgeing, store: EmbeddedStore) -> None:
        ageing, entry = make_ageing(Model()), put(store, labels=frozenset({"label"}))
        ageing.consider(entry, UNSURE, store=store, rules=RULES)
        ageing.flush()
        found = store.read(entry.address, now=START_S)
        assert found is not None
        assert (found.vector == entry.vector).all()  # type: ignore[union-attr]  # it has one
        assert replace(found, vector=None, expires_at=0.0) == replace(entry, vector=None, expires_at=0.0)
        (candidate,) = store.search(entry.address, make_vector(), embedder=EMBEDDER, k=5, now=START_S)
        assert candidate.id == entry.id

    def test_what_ends_sooner_is_served_no_longer_by_any_tier(
        self, make_ageing: MakeAgeing, store: EmbeddedStore, clock: FakeClock
    ) -> None:
        ageing, entry = make_ageing(Model()), put(store)
        before = make_alias("who runs it", entry)
        assert store.put(before)
        ageing.consider(entry, UNSURE, store=store, rules=RULES)
        ageing.flush()
        after = make_alias("who runs the thing", entry)
        assert store.put(after)
        clock.advance(HOUR_S)
        for record in (entry, before, after):
            assert store.get(record.address, now=clock()).entry is None
        assert list(store.search(entry.address, make_vector(), embedder=EMBEDDER, k=5, now=clock())) == []

    @pytest.mark.parametrize("before_s", [10.0, HOUR_S])
    def test_an_entry_that_somebody_has_shortened_further_is_left_alone(
        self, before_s: float, make_ageing: MakeAgeing, store: EmbeddedStore
    ) -> None:
        ageing, entry = make_ageing(Model()), put(store)
        put(store, expires_at=START_S + before_s)
        ageing.consider(entry, UNSURE, store=store, rules=RULES)
        ageing.flush()
        assert life_s(store, entry) == before_s
        assert ageing.counts() == AgeingCounts(asked=1, unchanged=1)

    @given(
        label=st.sampled_from(sorted(LIFETIMES)),
        life_s=st.floats(1.0, 100 * DAY_S),
        lifetimes=st.fixed_dictionaries(
            {label: st.none() | st.integers(1, 10**7).map(lambda s: timedelta(seconds=s)) for label in LIFETIMES}
        ),
    )
    def test_no_label_lengthens_a_life_whatever_the_lifetimes_are(
        self, label: Staleness, life_s: float, lifetimes: dict[Staleness, timedelta | None]
    ) -> None:
        entry = make_entry(expires_at=START_S + life_s)
        expires_at = shorter_expiry(entry, label, replace(RULES, lifetimes=lifetimes))
        assert expires_at is None or entry.created_at <= expires_at < entry.expires_at


class TestWhatHappensMeanwhile:
    """The model is still thinking when something else happens to the entry."""

    @pytest.fixture
    def under_way(
        self, model: Model, make_ageing: MakeAgeing, store: EmbeddedStore
    ) -> Iterator[tuple[Ageing, Entry, Callable[[], None]]]:
        """Store and ask about an entry, and return what lets the model reply and waits for what comes of it."""
        model.may_reply.clear()
        ageing, entry = make_ageing(model), put(store, labels=frozenset({"label"}))
        assert ageing.consider(entry, UNSURE, store=store, rules=RULES)
        assert model.is_asked.wait(30)

        def go_on() -> None:
            model.may_reply.set()
            ageing.flush()

        yield ageing, entry, go_on
        model.may_reply.set()

    @pytest.mark.parametrize("selector", [Selector(frozenset({"label"})), Selector(created_before=START_S + 1)])
    def test_an_invalidated_entry_does_not_come_back(
        self,
        selector: Selector,
        under_way: tuple[Ageing, Entry, Callable[[], None]],
        store: EmbeddedStore,
    ) -> None:
        ageing, entry, go_on = under_way
        assert store.delete(selector) == 1
        go_on()
        assert life_s(store, entry) is None
        assert ageing.counts() == AgeingCounts(asked=1, gone=1)

    def test_an_entry_that_is_invalidated_at_the_last_moment_does_not_come_back(
        self, model: Model, make_ageing: MakeAgeing, store: EmbeddedStore
    ) -> None:
        class Invalidating:
            """A store in which somebody invalidates the entry just after it was read."""

            def get(self, address: object, *, now: float) -> object:
                found = store.get(address, now=now)  # type: ignore[arg-type]  # passed on
                assert store.delete(Selector(frozenset({"label"}))) == 1
                return found

            def put(self, record: Entry | Alias) -> bool:
                return store.put(record)

        ageing, entry = make_ageing(model), put(store, labels=frozenset({"label"}))
        ageing.consider(entry, UNSURE, store=Invalidating(), rules=RULES)  # type: ignore[arg-type]  # a stand-in
        ageing.flush()
        assert life_s(store, entry) is None
        assert ageing.counts() == AgeingCounts(asked=1, gone=1)

    def test_an_invalidation_of_something_else_changes_nothing(
        self, under_way: tuple[Ageing, Entry, Callable[[], None]], store: EmbeddedStore
    ) -> None:
        ageing, entry, go_on = under_way
        store.delete(Selector(frozenset({"another label"})))
        go_on()
        assert life_s(store, entry) == HOUR_S
        assert ageing.counts().shortened == 1

    def test_a_newer_answer_keeps_its_own_life(
        self, under_way: tuple[Ageing, Entry, Callable[[], None]], store: EmbeddedStore
    ) -> None:
        ageing, entry, go_on = under_way
        put(store, created_at=START_S + 5.0, answer=Answer("a newer one"))
        go_on()
        found = store.get(entry.address, now=START_S).entry
        assert found is not None
        assert (found.answer.text, found.expires_at) == ("a newer one", START_S + 7 * DAY_S)
        assert ageing.counts() == AgeingCounts(asked=1, gone=1)

    def test_an_alias_that_took_the_entrys_place_is_left_alone(
        self, under_way: tuple[Ageing, Entry, Callable[[], None]], store: EmbeddedStore
    ) -> None:
        ageing, entry, go_on = under_way
        store.delete(Selector(frozenset({"label"})))
        other = put(store, "Who is the owner of it?")
        assert store.put(replace(make_alias(entry.query, other), address=entry.address))
        go_on()
        assert life_s(store, other) == 7 * DAY_S
        assert ageing.counts() == AgeingCounts(asked=1, gone=1)

    def test_an_entry_that_was_evicted_is_not_stored_again(
        self, under_way: tuple[Ageing, Entry, Callable[[], None]], store: EmbeddedStore
    ) -> None:
        ageing, entry, go_on = under_way
        assert store.drop(entry.address, created_at=entry.created_at)
        go_on()
        assert life_s(store, entry) is None
        assert ageing.counts() == AgeingCounts(asked=1, gone=1)


def test_a_cache_serves_what_was_shortened_only_as_long_as_it_may(clock: FakeClock, make_ageing: MakeAgeing) -> None:
    store = EmbeddedStore("memory://", clock=clock)
    ageing = make_ageing(Model())
    with SemanticCache(store, embedder=HashEmbedder(), clock=clock, guards=()) as cache:
        request = Request.of("Who runs the shop?")
        cache.lookup(request)
        cache.update(request, "the owner")
        (entry,) = store.scan()
        ageing.consider(entry, UNSURE, store=store, rules=cache.rules)
        ageing.flush()
        assert cache.lookup("who runs the shop").tier == "l2"
        clock.advance(HOUR_S - 1)
        assert cache.lookup(request).tier == "l1"
        assert cache.lookup("who runs the shop").tier == "l1_alias"
        clock.advance(1.0)
        assert cache.lookup(request).tier == "miss"
        assert cache.lookup("who runs the shop").tier == "miss"

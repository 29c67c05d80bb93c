"""The consistent-hash ring: balance, movement, and what it does not depend on."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.stores.ring import HashRing

NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=1).flatmap(
    lambda first: st.text(string.ascii_letters + string.digits + "._-", max_size=20).map(lambda rest: first + rest)
)
SHARDS = st.lists(NAMES, min_size=1, max_size=12, unique=True)
SEVERAL = st.lists(NAMES, min_size=2, max_size=12, unique=True)
PLACES = "bccababbcabbacbbaaaacccb"
"""Where the first keys lie; another place would lose every answer of a running fleet."""
KEYS = st.lists(st.text(max_size=40), min_size=1, max_size=30)


class TestBalance:
    @given(SHARDS)
    def test_no_shard_has_more_than_1_35_times_the_mean(self, names: list[str]) -> None:
        assert max(HashRing(names).shares().values()) * len(names) <= 1.35
        assert HashRing(names).balance() <= 1.35

    @given(SHARDS)
    def test_the_shares_are_the_whole_ring(self, names: list[str]) -> None:
        shares = HashRing(names).shares()
        assert set(shares) == set(names)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-12)

    @pytest.mark.parametrize("names", ["a", "ab", "abc", "abcd", "abcdef"])
    def test_the_examples_of_the_documents_are_within_1_25_of_the_mean(self, names: str) -> None:
        assert HashRing(list(names)).balance() <= 1.25

    def test_a_fleet_of_64_is_balanced(self) -> None:
        assert HashRing([f"s{number:02}" for number in range(64)]).balance() <= 1.25

    def test_keys_fall_on_shards_as_their_shares_say(self) -> None:
        ring = HashRing(["a", "b", "c"])
        keys = [str(number) for number in range(20_000)]
        for name, share in ring.shares().items():
            assert sum(ring.owner(key) == name for key in keys) / len(keys) == pytest.approx(share, abs=0.015)

    def test_a_share_follows_its_weight(self) -> None:
        shares = HashRing({"small": 0.5, "usual": 1, "large": 2}).shares()
        assert shares["small"] == pytest.approx(0.5 / 3.5, rel=0.25)
        assert shares["large"] == pytest.approx(2 / 3.5, rel=0.25)
        assert HashRing({"small": 0.5, "usual": 1, "large": 2}).balance() <= 1.35


class TestMovement:
    @given(SHARDS, NAMES)
    def test_a_shard_that_comes_takes_at_most_1_35_of_its_part_and_moves_nothing_else(
        self, names: list[str], new: str
    ) -> None:
        before = HashRing([name for name in names if name != new] or ["another"])
        after = before.with_shard(new)
        moves = before.moves_to(after)
        assert {to for _, to in moves} == {new}
        assert sum(moves.values()) == pytest.approx(after.shares()[new])
        assert sum(moves.values()) <= 1.35 / len(after)

    @given(SEVERAL, KEYS)
    def test_a_key_keeps_its_owner_or_goes_to_the_new_shard(self, names: list[str], keys: list[str]) -> None:
        *old, new = names
        before, after = HashRing(old), HashRing(names)
        for key in keys:
            assert after.owner(key) in (before.owner(key), new)

    @given(SEVERAL)
    def test_a_shard_that_goes_gives_up_its_own_and_moves_nothing_else(self, names: list[str]) -> None:
        ring = HashRing(names)
        moves = ring.moves_to(ring.without_shard(names[0]))
        assert {source for source, _ in moves} == {names[0]}
        assert sum(moves.values()) == pytest.approx(ring.shares()[names[0]])

    @given(SEVERAL)
    def test_going_undoes_coming(self, names: list[str]) -> None:
        assert HashRing(names[:-1]).with_shard(names[-1]).without_shard(names[-1]) == HashRing(names[:-1])
        assert HashRing(names).moves_to(HashRing(names)) == {}

    def test_more_weight_only_draws_keys_in(self) -> None:
        moves = HashRing({"a": 1, "b": 1, "c": 1}).moves_to(HashRing({"a": 1, "b": 1, "c": 1.5}))
        assert {to for _, to in moves} == {"c"}


class TestReplicas:
    @given(SHARDS, KEYS, st.data())
    def test_they_are_different_and_the_owner_comes_first(
        self, names: list[str], keys: list[str], data: st.DataObject
    ) -> None:
        ring = HashRing(names)
        r = data.draw(st.integers(1, len(names)))
        for key in keys:
            replicas = ring.replicas(key, r)
            assert len(set(replicas)) == r
            assert replicas[0] == ring.owner(key)
            assert replicas == ring.replicas(key, len(names))[:r]

    @given(SEVERAL, KEYS)
    def test_without_a_shard_the_others_keep_their_order(self, names: list[str], keys: list[str]) -> None:
        ring, gone = HashRing(names), names[0]
        for key in keys:
            rest = tuple(name for name in ring.replicas(key, len(names)) if name != gone)
            assert ring.without_shard(gone).replicas(key, len(names) - 1) == rest

    @pytest.mark.parametrize("r", [0, -1, 4])
    def test_as_many_as_there_are_shards_and_no_more(self, r: int) -> None:
        with pytest.raises(ConfigError, match="the ring has 3"):
            HashRing(["a", "b", "c"]).replicas("key", r)


class TestWhatItDoesNotDependOn:
    @given(SHARDS, KEYS, st.randoms(use_true_random=False))
    def test_the_order_of_the_shards(self, names: list[str], keys: list[str], chance: random.Random) -> None:
        shuffled = chance.sample(names, len(names))
        assert HashRing(shuffled) == HashRing(names)
        assert hash(HashRing(shuffled)) == hash(HashRing(names))
        assert [HashRing(shuffled).owner(key) for key in keys] == [HashRing(names).owner(key) for key in keys]

    @given(SEVERAL, KEYS)
    def test_how_it_came_about(self, names: list[str], keys: list[str]) -> None:
        grown = HashRing(names[:1])
        for name in names[1:]:
            grown = grown.with_shard(name)
        assert [grown.replicas(key, 2) for key in keys] == [HashRing(names).replicas(key, 2) for key in keys]

    def test_the_process(self, run_python: Callable[..., str]) -> None:
        script = """
import json, sys
from semroute.stores.ring import HashRing
ring = HashRing({"a": 1, "b": 2, "c": 0.5})
print(json.dumps([ring.replicas(f"key {number} ü", 2) for number in range(200)]))
"""
        here = HashRing({"a": 1, "b": 2, "c": 0.5})
        own = [list(here.replicas(f"key {number} ü", 2)) for number in range(200)]
        for seed in ("0", "1", "4242"):
            assert json.loads(run_python(script, PYTHONHASHSEED=seed)) == own

    def test_the_release_for_a_key_lies_where_it_always_lay(self) -> None:
        ring = HashRing(["a", "b", "c"])
        assert "".join(ring.owner(f"key {number}") for number in range(24)) == PLACES


class TestBadInput:
    @pytest.mark.parametrize("name", ["", " ", "a b", "{a}", "ü", "-a", "a:6379", "a" * 65, "a\n", None, 3])
    def test_a_bad_name_is_refused_with_what_to_give(self, name: object) -> None:
        for make in (lambda: HashRing([name]), lambda: HashRing(["a"]).with_shard(name)):  # type: ignore[list-item]  # what is being tested
            with pytest.raises(ConfigError, match="cannot name a shard: give 1 to 64 letters"):
                make()

    @pytest.mark.parametrize("weight", [0, -1, 0.001, 101, float("nan"), float("inf"), "1", None, True])
    def test_a_bad_weight_is_refused_with_the_range(self, weight: object) -> None:
        with pytest.raises(ConfigError, match=r"shard 'b' has weight .*: give a number from 0.01 to 100"):
            HashRing({"a": 1, "b": weight})  # type: ignore[dict-item]  # what is being tested

    @pytest.mark.parametrize("count", [0, -5, 10_001, 1.5, True])
    def test_virtual_nodes_out_of_range_are_refused(self, count: int) -> None:
        with pytest.raises(ConfigError, match="virtual_nodes"):
            HashRing(["a"], virtual_nodes=count)

    def test_a_name_twice_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="two shards are called 'a'"):
            HashRing(["a", "b", "a"])
        with pytest.raises(ConfigError, match="'a' is on the ring already"):
            HashRing(["a"]).with_shard("a")

    def test_one_string_is_not_taken_for_its_letters(self) -> None:
        with pytest.raises(ConfigError, match=r"as a list, such as \['abc'\]"):
            HashRing("abc")

    def test_an_empty_ring_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="at least one shard"):
            HashRing([])
        with pytest.raises(ConfigError, match="at least one shard"):
            HashRing(["a"]).without_shard("a")

    def test_a_shard_that_is_not_there_cannot_go(self) -> None:
        with pytest.raises(ConfigError, match="no shard 'c' on the ring, only a, b"):
            HashRing(["a", "b"]).without_shard("c")

    @settings(max_examples=30)
    @given(st.text())
    def test_any_text_is_a_key(self, key: str) -> None:
        assert HashRing(["a", "b"]).owner(key) in ("a", "b")

    def test_a_key_may_hold_half_a_surrogate_pair(self) -> None:
        assert HashRing(["a", "b"]).owner("\ud800") in ("a", "b")


def test_the_repr_names_the_shards_and_unusual_weights() -> None:
    assert repr(HashRing({"b": 2, "a": 1})) == "<HashRing of 2: a, b (weight 2)>"


def test_a_ring_cannot_be_changed() -> None:
    ring = HashRing(["a"])
    with pytest.raises(TypeError):
        ring.weights["b"] = 1  # type: ignore[index]  # what is being tested
    assert "a" in ring
    assert "b" not in ring
    assert ring != "a"

"""Where entries and aliases of a sharded store lie."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.stores._fleet.placement import Placement
from semroute.stores.ring import HashRing
from semroute.testing.entries import digest, make_address, make_alias, make_entry

RING = HashRing(["a", "b", "c", "d"])
HOT = digest("hot")


def test_a_usual_prompt_has_one_group_of_replicas_as_the_ring_says() -> None:
    placement = Placement(RING, replicas=2)
    assert placement.groups(HOT) == (RING.replicas(HOT, 2),)


@given(st.text(), st.integers(1, 4), st.integers(2, 9))
def test_sub_shards_are_led_by_different_shards_and_replicas_are_different(hot: str, replicas: int, count: int) -> None:
    groups = Placement(RING, replicas, {hot: count}).groups(hot)
    assert len(groups) == count
    assert all(len(set(group)) == replicas for group in groups)
    leaders = Counter(group[0] for group in groups)
    assert max(leaders.values()) - min(leaders.get(name, 0) for name in RING.names) <= 1


@given(st.text(), st.integers(1, 4), st.integers(2, 9))
def test_the_first_sub_shard_lies_where_the_prompt_lay_before(hot: str, replicas: int, count: int) -> None:
    assert Placement(RING, replicas, {hot: count}).groups(hot)[0] == RING.replicas(hot, replicas)


def test_entries_of_a_hot_prompt_are_shared_out_evenly_by_their_digest() -> None:
    placement = Placement(RING, sub_shards={HOT: 4})
    counts = Counter(
        placement.group_of(make_entry(address=make_address(f"q{number}", shard="hot"))) for number in range(2_000)
    )
    assert sorted(name for (name,) in counts) == list(RING.names)
    assert min(counts.values()) > 400


def test_an_alias_lies_with_its_entry_and_an_entry_where_its_key_is_asked_for_first() -> None:
    placement = Placement(RING, 2, {HOT: 4})
    for number in range(50):
        entry = make_entry(address=make_address(f"q{number}", shard="hot"))
        alias = make_alias("alias", entry, address=make_address(f"alias {number}", shard="hot"))
        assert placement.group_of(alias) == placement.group_of(entry)
        assert placement.groups_for(entry.address)[0] == placement.group_of(entry)
        assert sorted(placement.groups_for(entry.address)) == sorted(placement.groups(HOT))


@pytest.mark.parametrize("count", [0, -1, 65])
def test_sub_shards_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="give 1 to 64"):
        Placement(RING, sub_shards={HOT: count})

"""Fleets of real Redis shards: what callers see when one dies, freezes, returns or comes, and with many of them.

These are the scenarios of `evals/fleet.py` with fewer requests: what happens is looked at here, and how long it takes
there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The evaluations are no part of the installed package: they lie beside the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from evals.fleet_clients import ask_at_random, ask_on_one_loop, wait_for_the_pool
from evals.fleet_faults import Fault, lose_a_shard, return_with_old_contents
from evals.fleet_growth import add_a_shard


@pytest.mark.parametrize(("fault", "replicas"), [("kill", 1), ("freeze", 1), ("kill", 2)])
def test_a_lost_shard_costs_its_own_part_only_and_nobody_an_error(fault: Fault, replicas: int) -> None:
    lost = lose_a_shard(fault, replicas=replicas, per_second=100, seconds=1.5, prompts=30, questions=2, cooldown_s=0.3)
    for phase in lost.phases:
        assert phase.errors == []
        assert phase.wrong == 0
    assert lost.before.hit_rate == 1.0
    if replicas == 2:
        assert lost.during.hit_rate > 0.97
    else:
        missed = {sample.key for sample in lost.during.samples if sample.served is None}
        assert 0 < len(missed) <= len(lost.on_the_shard)
        assert lost.before.hit_rate - lost.during.hit_rate <= lost.asked_share + 0.001
    # By itself: nobody told the cache that the shard is back.
    assert lost.after.hit_rate > lost.during.hit_rate - 0.01
    assert lost.after.hit_rate > 0.8


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_shard_that_returns_with_old_contents_serves_nothing_that_was_invalidated_meanwhile(replicas: int) -> None:
    seen = return_with_old_contents(replicas=replicas, prompts=20, questions=3, rounds=2, cooldown_s=0.0)
    assert seen.on_the_shard > 10
    assert seen.served_invalidated == 0
    assert seen.errors == 0
    # And all that holds is served again, out of its old contents too.
    assert seen.served_right == seen.kept > 10


def test_a_fourth_shard_takes_its_part_of_the_ring_and_no_entry_is_lost_though_the_rebalance_is_killed() -> None:
    grown = add_a_shard(prompts=80, questions=5, per_second=50, seconds=1.0, rate=60)
    assert grown.lost == grown.left_behind == grown.moved_elsewhere == 0
    assert grown.moved_to_new == grown.ring_share > 0
    assert 0 < grown.moved_before_the_kill < grown.ring_share * grown.entries
    assert grown.second["moved"] > 0
    assert grown.second["is_done"]
    assert min(grown.during.hit_rates(0.5)) >= 0.9 * grown.before.hit_rate
    assert grown.before.errors == grown.during.errors == []


def test_processes_share_answers_never_across_tenants_or_prompts_and_call_the_model_once_a_question() -> None:
    tally = ask_at_random(processes=3, prompts=10, lookups=900, questions=5, model_s=0.002).tally
    assert (tally.lookups, tally.errors) == (900, 0)
    assert (tally.across, tally.wrong) == (0, 0)
    assert set(tally.calls.values()) == {1}
    assert tally.hits == 900 - len(tally.calls)


def test_64_lookups_at_once_on_one_event_loop_all_end_in_a_hit_or_a_miss() -> None:
    seen = ask_on_one_loop(seconds=0.5, entries=100)
    # How many are hits depends on the machine: a slow one opens the breakers, and that is a miss.
    assert sum(seen.tiers.values()) == seen.lookups >= 64
    assert set(seen.tiers) <= {"l1", "l1_alias", "miss"}


def test_callers_who_find_no_connection_free_miss_with_the_reason() -> None:
    seen = wait_for_the_pool(pool_wait_s=0.05, timeout_s=0.3)
    assert (seen.hits, seen.misses) == (0, 64)
    assert seen.told > 0
    assert seen.hits_after == 64

"""The scope that calls are made in."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from datetime import timedelta

import pytest

from semroute.binding import Binding, bound, rebound, scope
from semroute.errors import ConfigError
from semroute.request import Scope


def test_outside_of_every_block_nothing_is_bound() -> None:
    assert bound() == Binding()
    assert bound().scope.is_empty


def test_a_block_binds_what_it_names_and_lets_go_of_it_afterwards() -> None:
    with scope(
        tenant="a", namespace="n", user="u", query="q", tags=["x"], ttl=timedelta(hours=1), bypass=True
    ) as given:
        assert bound() == given == Binding(Scope("a", "n", "u"), "q", ("x",), timedelta(hours=1), True)
    assert bound() == Binding()


def test_a_block_that_raises_lets_go_too() -> None:
    with pytest.raises(KeyError), scope(tenant="a"):
        raise KeyError
    assert bound() == Binding()


def test_an_inner_block_inherits_what_it_does_not_name_and_collects_tags() -> None:
    with scope(tenant="a", tags=["x"], ttl=timedelta(hours=1), bypass=True):
        with scope(namespace="n", tags=["y"]):
            assert bound() == Binding(Scope("a", "n"), None, ("x", "y"), timedelta(hours=1), True)
        with scope(tenant="b", ttl=timedelta(minutes=1)):
            assert bound() == Binding(Scope("b"), None, ("x",), timedelta(minutes=1), True)
        assert bound().tags == ("x",)


def test_a_blank_name_is_refused_and_does_not_mean_the_outer_one() -> None:
    with scope(tenant="a"), pytest.raises(ConfigError, match="tenant must not be blank"), scope(tenant=""):
        pass


def test_of_several_floors_of_quality_the_highest_counts() -> None:
    with scope(least_tier=2):
        with scope(least_tier=1):
            assert bound().least_tier == 2
        with scope(least_tier=3), scope(tenant="a"):
            assert bound().least_tier == 3
        assert bound() == Binding(least_tier=2)
    assert bound().least_tier == 1


@pytest.mark.parametrize("tier", [0, -1, 1.5, True, "2"])
def test_a_floor_that_is_no_tier_is_refused(tier: object) -> None:
    with (
        pytest.raises(ConfigError, match="least_tier must be a whole number of at least 1, not"),
        scope(
            least_tier=tier  # type: ignore[arg-type]  # the mistake under test
        ),
    ):
        pass


def test_a_binding_taken_earlier_can_be_bound_again() -> None:
    with scope(tenant="a") as taken:
        pass
    with scope(tenant="b"), rebound(taken):
        assert bound().scope.tenant == "a"


def test_a_thread_with_a_context_of_its_own_starts_with_nothing_bound() -> None:
    seen: list[Binding] = []
    with scope(tenant="a"):
        thread = threading.Thread(target=contextvars.Context().run, args=(lambda: seen.append(bound()),))
        thread.start()
        thread.join()
    assert seen == [Binding()]


async def test_tasks_keep_the_scope_they_were_made_in_and_do_not_disturb_each_other() -> None:
    both_are_inside = asyncio.Barrier(2)

    async def tenant_seen(name: str) -> str | None:
        with scope(tenant=name):
            await both_are_inside.wait()
            return bound().scope.tenant

    assert await asyncio.gather(tenant_seen("a"), tenant_seen("b")) == ["a", "b"]
    assert bound() == Binding()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"tenant": 7}, "tenant must be a string"),
        ({"user": b"ann"}, "user must be a string"),
        ({"ttl": timedelta(seconds=-5)}, "ttl must be a timedelta longer than 0 s"),
        ({"ttl": 60}, "ttl must be a timedelta"),
        ({"tags": "docs"}, "tags must be several strings"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_block_begins(named, message: str) -> None:
    with pytest.raises(ConfigError, match=message), scope(**named):
        pytest.fail("the block began")
    assert bound() == Binding()

"""`semroute ring`: plan, status, adopt and rebalance, on files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from semroute import Hit, SemanticCache
from semroute.cli.main import app
from semroute.testing.embedders import HashEmbedder

Shell = Callable[..., Result]
SYSTEMS = [f"You are assistant number {number}." for number in range(40)]


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes by the former list."""
    monkeypatch.setattr("semroute.stores.rebalance.GRACE_S", 0.0)


@pytest.fixture
def url(tmp_path: Path) -> Callable[[str], str]:
    return lambda name: f"sqlite:///{tmp_path / f'{name}.db'}"


@pytest.fixture
def stores(url: Callable[[str], str]) -> Callable[[str], list[str]]:
    """Return the options that name some files."""
    return lambda names: [part for name in names for part in ("--store", url(name))]


@pytest.fixture
def shell() -> Shell:
    return lambda *arguments: CliRunner().invoke(app, ["ring", *arguments])


@pytest.fixture
def cache(url: Callable[[str], str]) -> Callable[[str], SemanticCache]:
    return lambda names: SemanticCache(*map(url, names), embedder=HashEmbedder(), write="now")


@pytest.fixture
def filled(cache: Callable[[str], SemanticCache]) -> Callable[[str], SemanticCache]:
    """Three files with an answer for each system prompt."""
    with cache("abc") as three:
        for system in SYSTEMS:
            three.update(three.request("Which ports?", system=system), f"those of {system}")
    return cache


def hits(cache: SemanticCache) -> int:
    with cache:
        return sum(isinstance(cache.lookup(cache.request("Which ports?", system=one)), Hit) for one in SYSTEMS)


def answer(result: Result, status: int = 0) -> Any:
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("filled")
class TestPlan:
    def test_it_says_exactly_what_moves_and_changes_nothing(self, shell: Shell, stores, url) -> None:
        to = [part for name in "abcd" for part in ("--to", url(name))]
        planned = answer(shell("plan", *stores("abc"), *to, "--json"))
        assert {move["to"] for move in planned["moves"]} == {"s03"}
        assert planned["moved_share"] == pytest.approx(sum(move["share"] for move in planned["moves"]))
        shares = {shard["name"]: (shard["share"], shard["share_to_come"]) for shard in planned["shards"]}
        assert shares["s03"] == (0.0, pytest.approx(planned["moved_share"]))
        for total in (0, 1):
            assert sum(share[total] for share in shares.values()) == pytest.approx(1)
        status = answer(shell("status", *stores("abc"), "--json"))
        assert (status["epoch"], status["is_moving"]) == (1, False)

    def test_the_plan_comes_true(self, shell: Shell, stores, url) -> None:
        to = [part for name in "dabc" for part in ("--to", url(name))]
        planned = answer(shell("plan", *stores("abc"), *to, "--json"))
        assert answer(shell("adopt", *stores("dabc"), "--json"))["moved_share"] == planned["moved_share"]

    def test_weights_and_leaving_shards_are_planned_too(self, shell: Shell, stores, url) -> None:
        to = [part for name in "ab" for part in ("--to", url(name))]
        planned = answer(shell("plan", *stores("abc"), *to, "--weight", "s01=2", "--json"))
        shares = {shard["name"]: shard["share_to_come"] for shard in planned["shards"]}
        assert shares["s02"] == 0.0
        assert shares["s01"] > 1.5 * shares["s00"]

    def test_a_person_gets_a_picture(self, shell: Shell, stores, url) -> None:
        to = [part for name in "abcd" for part in ("--to", url(name))]
        page = shell("plan", *stores("abc"), *to).stdout
        assert "of the keys would move" in page
        assert "█" in page
        assert "→ s03" in page


class TestStatus:
    def test_it_tells_keys_share_memory_latency_and_breaker_of_every_shard(
        self, shell: Shell, filled, stores, tmp_path: Path
    ) -> None:
        status = answer(shell("status", *stores("abc"), "--json"))
        shards = {shard["name"]: shard for shard in status["shards"]}
        assert sum(shard["keys"] for shard in shards.values()) == len(SYSTEMS)
        assert sum(shard["share"] for shard in shards.values()) == pytest.approx(1)
        for shard in shards.values():
            assert shard["bytes"] > 0
            assert shard["latency_ms"] > 0
            assert (shard["breaker"], shard["error"], shard["is_on_list"]) == ("closed", None, True)
        assert shards["s01"]["place"] == str(tmp_path / "b.db")

    def test_a_person_gets_a_table_and_bars(self, shell: Shell, filled, stores) -> None:
        page = shell("status", *stores("abc")).stdout
        assert "closed" in page
        assert "█" in page

    def test_a_shard_that_cannot_be_used_is_told_and_exits_with_1(
        self, shell: Shell, filled, stores, tmp_path: Path
    ) -> None:
        (tmp_path / "c.db").unlink()
        (tmp_path / "c.db").mkdir()
        result = shell("status", *stores("abc"))
        assert result.exit_code == 1
        assert "is a folder" in result.output

    def test_another_list_is_told_and_exits_with_1(self, shell: Shell, filled, stores) -> None:
        status = answer(shell("status", *stores("ab"), "--json"), status=1)
        assert "the list that they keep (epoch 1) is s00, s01, s02" in status["disagreement"]

    def test_shares_are_those_of_the_whole_list_even_where_a_shard_was_not_given(
        self, shell: Shell, filled, stores
    ) -> None:
        whole = answer(shell("status", *stores("abc"), "--json"))["shards"]
        part = answer(shell("status", *stores("ab"), "--json"), status=1)["shards"]
        assert [shard["share"] for shard in part] == [shard["share"] for shard in whole[:2]]

    def test_a_file_that_is_not_there_is_a_slip_of_the_keyboard(self, shell: Shell, filled, stores) -> None:
        result = shell("status", *stores("abz"))
        assert result.exit_code == 1
        assert "there is no store at" in result.output

    def test_without_stores_it_says_how_to_name_them(self, shell: Shell) -> None:
        result = shell("status")
        assert result.exit_code == 2
        assert "--store URL for each" in result.output

    def test_stores_may_come_from_the_environment(
        self, shell: Shell, filled, url, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMROUTE_STORE", ",".join(map(url, "abc")))
        assert len(answer(shell("status", "--json"))["shards"]) == 3

    def test_the_same_url_twice_is_a_wrong_call(self, shell: Shell, filled, stores) -> None:
        result = shell("status", *stores("aba"))
        assert result.exit_code == 2
        assert "is given twice" in result.output


class TestReplacement:
    def test_an_empty_file_in_the_place_of_a_missing_one_is_told_in_the_status(
        self, shell: Shell, filled, stores
    ) -> None:
        for _ in range(2):
            (told,) = answer(shell("status", *stores("ab"), "--store", "memory://", "--json"))["replacements"]
            assert "serves as shard s02 in the place of the one that had this name" in told
        assert "came empty and serves as" in shell("status", *stores("ab"), "--store", "memory://").stdout

    def test_the_answers_of_the_former_one_can_be_fetched_and_the_notice_goes(
        self, shell: Shell, filled, stores, url
    ) -> None:
        with filled("abd") as cache:  # by mistake: c is still there
            cache.preload()
        assert len(answer(shell("status", *stores("abd"), "--json"))["replacements"]) == 1
        assert answer(shell("rebalance", *stores("abd"), "--from", url("c"), "--json"))["moved"] > 0
        assert answer(shell("status", *stores("abd"), "--json"))["replacements"] == []
        assert hits(filled("abd")) == len(SYSTEMS)

    def test_a_status_names_a_shard_that_cannot_be_used_once(self, shell: Shell, filled, stores) -> None:
        page = shell("status", *stores("a")).stdout
        assert "s00: too few of the others answer" in page
        assert "s00: s00:" not in page


class TestRebalance:
    def test_a_new_shard_gets_its_part_and_every_question_stays_a_hit(self, shell: Shell, filled, stores) -> None:
        moved_share = answer(shell("adopt", *stores("abcd"), "--json"))["moved_share"]
        assert 0.1 < moved_share < 0.4
        assert answer(shell("status", *stores("abcd"), "--json"))["is_moving"] is True
        done = answer(shell("rebalance", *stores("abcd"), "--json"))
        assert (done["failed"], done["is_done"], done["entries"]) == (0, True, len(SYSTEMS))
        status = answer(shell("status", *stores("abcd"), "--json"))
        keys = {shard["name"]: shard["keys"] for shard in status["shards"]}
        assert keys["s03"] == done["moved"] > 0
        assert sum(keys.values()) == len(SYSTEMS)
        assert status["is_moving"] is False
        assert hits(filled("abcd")) == len(SYSTEMS)

    def test_a_shard_that_leaves_is_emptied(self, shell: Shell, filled, stores, url) -> None:
        assert shell("adopt", *stores("ab")).exit_code == 0
        result = shell("rebalance", *stores("ab"), "--from", url("c"))
        assert result.exit_code == 0, result.output
        assert "everything lies where it belongs" in result.stdout
        assert hits(filled("ab")) == len(SYSTEMS)

    def test_with_another_list_it_refuses(self, shell: Shell, filled, stores) -> None:
        result = shell("rebalance", *stores("ab"))
        assert result.exit_code == 1
        assert "semroute ring adopt" in result.output

    def test_a_rate_of_nothing_is_a_wrong_call(self, shell: Shell, filled, stores) -> None:
        assert shell("rebalance", *stores("abc"), "--rate", "0").exit_code == 2


class TestAdopt:
    def test_weights_can_be_given(self, shell: Shell, filled, stores) -> None:
        adopted = answer(shell("adopt", *stores("abc"), "--weight", "s00=3", "--json"))
        assert adopted["weights"] == {"s00": 3.0, "s01": 1.0, "s02": 1.0}
        assert adopted["epoch"] == 2

    @pytest.mark.parametrize(
        ("weight", "message"), [("s00", "takes a shard and a number"), ("s09=1", "no shard 's09'")]
    )
    def test_a_weight_that_cannot_be_is_a_wrong_call(self, shell: Shell, filled, stores, weight, message) -> None:
        result = shell("adopt", *stores("abc"), "--weight", weight)
        assert result.exit_code == 2
        assert message in result.output

    def test_the_list_that_holds_already_changes_nothing(self, shell: Shell, filled, stores) -> None:
        assert answer(shell("adopt", *stores("abc"), "--json")) == {
            "epoch": 1,
            "weights": {"s00": 1.0, "s01": 1.0, "s02": 1.0},
            "moved_share": 0,
        }


def test_the_other_commands_take_several_stores(filled, stores) -> None:
    figures = json.loads(CliRunner().invoke(app, ["stats", *stores("abc"), "--json"]).stdout)
    assert figures["entries"] == len(SYSTEMS)
    assert figures["path"].count(".db") == 3
    removed = CliRunner().invoke(app, ["invalidate", *stores("abc"), "--all", "--yes", "--json"])
    assert json.loads(removed.stdout) == {"removed": len(SYSTEMS)}

"""`semroute bench ring`: the comparison with another ring, as JSON and as a picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from semroute.benchmark.ring import compare, measure
from semroute.cli.bench_ring import bar
from semroute.cli.main import app
from semroute.errors import MissingExtra
from semroute.stores.ring import HashRing

RINGS = ["semroute", "uhashring", "uhashring ketama"]


def shell(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["bench", "ring", "--keys", "5000", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_json_holds_the_same_figures_for_every_ring() -> None:
    figures = json.loads(shell("--shards", "4", "--json"))
    assert (figures["shards"], figures["keys"], figures["ideal_moved"]) == (4, 5_000, 0.2)
    assert list(figures["rings"]) == RINGS
    for ring in figures["rings"].values():
        assert sum(ring["shares"].values()) == pytest.approx(1)
        assert ring["moved"] == pytest.approx(sum(ring["taken"].values()) + ring["moved_elsewhere"])
        assert 1 <= ring["balance"] < 2
        assert ring["lookup_us"] > 0


def test_our_ring_keeps_its_bars() -> None:
    ours = json.loads(shell("--shards", "9", "--json"))["rings"]["semroute"]
    assert ours["balance"] <= 1.35
    assert ours["moved"] <= 1.35 / 10
    assert ours["moved_elsewhere"] == 0


def test_for_a_person_it_draws_a_bar_for_every_shard_of_every_ring() -> None:
    page = shell("--shards", "3")
    drawn = [line for line in page.splitlines() if "█" in line]
    assert len(drawn) == 9
    assert all("░" in line for line in drawn)
    assert all(name in page for name in RINGS)
    assert max(map(len, page.splitlines())) <= 100


def test_keys_that_move_between_old_shards_are_told_apart() -> None:
    def modulo(names: list[str]) -> Callable[[str], str]:
        return lambda key: names[int(key) % len(names)]

    figures = measure("modulo", 1, modulo, ["a", "b", "c"], [str(number) for number in range(600)])
    assert figures.shares == {"a": 0.5, "b": 0.5}
    assert figures.taken == pytest.approx({"a": 1 / 6, "b": 1 / 6})
    assert figures.moved_elsewhere == pytest.approx(1 / 3)
    assert figures.moved == pytest.approx(2 / 3)


def test_what_is_measured_is_what_the_ring_says_of_itself() -> None:
    ours, *_ = compare(3, 20_000)
    for shard, share in HashRing(["s00", "s01", "s02"]).shares().items():
        assert ours.shares[shard] == pytest.approx(share, abs=0.015)


def test_without_the_other_ring_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uhashring", None)
    with pytest.raises(MissingExtra, match=r"semroute-cache\[evals\]"):
        compare(2, 10)
    done = CliRunner().invoke(app, ["bench", "ring"])
    assert done.exit_code == 1
    assert "semroute-cache[evals]" in done.stderr


@pytest.mark.parametrize("arguments", [["--shards", "0"], ["--keys", "1"], ["--shards", "many"]])
def test_a_count_out_of_range_is_a_usage_error(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["bench", "ring", *arguments]).exit_code == 2


def test_a_bar_is_as_long_as_its_part_to_an_eighth_of_a_column() -> None:
    assert [bar(part, 4, width=4) for part in (0, 1, 4, 0.5, 2.25, 9)] == ["", "█", "████", "▌", "██▎", "████"]
    assert bar(1, 0) == ""

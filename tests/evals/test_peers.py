"""Asking other caches through their runner; a script stands where their interpreter would be."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from evals import peers
from evals.peers import LIMITS, PEERS_FILE, PeerError, ask_peers
from evals.results import PeerReport, read
from semroute.errors import ConfigError
from semroute.evaluation.pairs import Pair

PAIRS = [
    Pair("Where do eels go in winter?", "Where do eels spend the winter?", True),
    Pair("Where do eels go in winter?", "Where do eagles go in winter?", False),
    Pair("Who wound the clock?", "Is bread better with rye?", True),
]
HEAD = {"peer": "redisvl", "versions": {"redisvl": "1.2"}, "default": "distance <= 0.1", "embedding": "some"}


def replies(*pairs: tuple[float | None, bool]) -> list[Mapping[str, object]]:
    return [{"pair": n, "similarity": similarity, "is_hit": hit} for n, (similarity, hit) in enumerate(pairs)]


def runner(folder: Path, lines: Sequence[Mapping[str, object]], status: int = 0, error: str = "") -> Path:
    """Return a program that prints what the runner would, whatever it is asked."""
    said = folder / "said"
    said.write_text("".join(json.dumps(line) + "\n" for line in lines))
    program = folder / "python"
    program.write_text(f"#!/bin/sh\ncat {shlex.quote(str(said))}\necho {shlex.quote(error)} >&2\nexit {status}\n")
    program.chmod(0o755)
    return program


def test_the_figures_follow_from_what_the_cache_says(tmp_path: Path) -> None:
    program = runner(tmp_path, [HEAD, *replies((0.95, True), (0.9, True), (None, False))])
    (row,) = ask_peers(PAIRS, ["redisvl"], program)
    assert (row.about.name, row.about.default, row.about.versions) == ("redisvl", "distance <= 0.1", {"redisvl": "1.2"})
    assert (row.by_default.hit_rate, row.by_default.false_hit_rate) == (0.5, 1.0)
    best = row.best["0.01"]
    assert best is not None
    assert (best.threshold, best.hit_rate) == (0.95, 0.5)


def test_several_caches_answer_one_after_the_other(tmp_path: Path) -> None:
    one = replies((1.0000001, True), (-0.2, False), (0.5, False))
    program = runner(tmp_path, [HEAD, *one, {**HEAD, "peer": "gptcache"}, *one])
    rows = ask_peers(PAIRS, ["redisvl", "gptcache"], program)
    assert [row.about.name for row in rows] == ["redisvl", "gptcache"]
    assert rows[0].by_default == rows[1].by_default


def test_a_cache_that_breaks_off_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    program = runner(tmp_path, [HEAD, *replies((0.95, True))], status=1, error="Redis Stack did not start")
    with pytest.raises(PeerError, match="Redis Stack did not start"):
        ask_peers(PAIRS, ["redisvl"], program)


def test_silence_is_an_error_even_when_the_status_is_good(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="status 0"):
        ask_peers(PAIRS, ["redisvl"], runner(tmp_path, []))


def test_a_missing_environment_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make peers"):
        ask_peers(PAIRS, ["redisvl"], tmp_path / "nowhere" / "python")


def test_the_command_writes_one_file(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = runner(tmp_path, [HEAD, *replies((0.9, True), (0.1, False), (0.95, True), (0.5, False))])
    out = tmp_path / "out"
    options = ["--data", str(data), "--out", str(out), "--set", "mqp_medical", "--peer", "redisvl"]
    assert peers.main([*options, "--python", str(program)]) == 0
    assert [path.name for path in out.iterdir()] == [PEERS_FILE]
    assert capsys.readouterr().out.strip() == str(out / PEERS_FILE)
    (measured,) = read(PeerReport, out / PEERS_FILE).sets
    assert (measured.name, measured.n, measured.is_as_measured) == ("mqp_medical", 4, False)
    assert [row.about.name for row in measured.rows] == ["redisvl"]
    assert measured.rows[0].by_default.hit_rate == 1.0


def test_a_wrong_data_folder_is_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert f"set {next(iter(LIMITS))}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

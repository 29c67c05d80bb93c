"""Ctrl-C during a word: one line on stderr says what is kept and how to go on, and the exit status is 130."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from semroute import SemanticCache
from semroute.cli.main import app
from semroute.testing.embedders import HashEmbedder

PAIRS = ("--q1", "a", "--q2", "b", "--label", "same")


def stop(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def check_stopped(result: Result, kept: str) -> None:
    assert result.exit_code == 130, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("semroute: stopped; ")
    assert kept in line


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = (f"How do I move file {number}?,How to move file {number},{number % 2}\n" for number in range(300))
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same\n" + "".join(rows))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "answers.db"
    with SemanticCache(path, embedder=HashEmbedder()) as cache:
        for number in range(3):
            cache.update(f"Which port has number {number}?", f"Port {number}.")
    return path


@pytest.fixture
def export(store: Path, tmp_path: Path) -> Path:
    path = tmp_path / "all.jsonl"
    assert call("export", path, "--store", store).exit_code == 0
    return path


class TestMeasuring:
    @pytest.fixture(autouse=True)
    def _stopped_while_it_embeds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("semroute.embedders.onnx.OnnxEmbedder", HashEmbedder)
        monkeypatch.setattr(HashEmbedder, "embed", stop)

    def test_tune_leaves_the_policy_that_was_there(self, pairs: Path, tmp_path: Path) -> None:
        out = tmp_path / "policy.json"
        out.write_text("as before")
        check_stopped(call("tune", pairs, *PAIRS, "--max-error", "0.1", "--out", out), "no policy was written")
        assert out.read_text() == "as before"

    def test_verifier_train_makes_nothing(self, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("semroute.tuning.verifier_training.train", stop)
        out = tmp_path / "mine"
        check_stopped(call("verifier", "train", pairs, *PAIRS, "--out", out), "no verifier was written")
        assert not out.exists()

    @pytest.mark.parametrize("word", [("pairs", *PAIRS), ("stream", "--text", "a", "--class", "same")])
    def test_eval_keeps_nothing(self, word: tuple[str, ...], pairs: Path) -> None:
        check_stopped(call("eval", word[0], pairs, *word[1:], "--json"), "the same call begins anew")


@pytest.mark.parametrize(
    ("word", "part"),
    [("lookup", "semroute.benchmark.lookup.LookupBenchmark.run"), ("ring", "semroute.benchmark.ring.compare")],
)
def test_bench_keeps_nothing(word: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, stop)
    check_stopped(call("bench", word), "nothing is kept")


def test_a_replay_says_that_what_was_stored_stays_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semroute.cli.replay_command.run", stop)
    stream = tmp_path / "day.jsonl"
    stream.write_text('{"query": "Who is it?", "answer_class": "a"}\n')
    check_stopped(call("replay", stream), "its store was a temporary one")
    check_stopped(call("replay", stream, "--store", tmp_path / "kept.db"), f"stays in {tmp_path / 'kept.db'}")


def test_an_export_leaves_the_file_that_was_there_and_nothing_else(
    export: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, beside = export.read_bytes(), sorted(export.parent.iterdir())
    monkeypatch.setattr("semroute.cli.transfer._row", stop)
    check_stopped(call("export", export, "--store", store), f"{export} was not written, or is what it was before")
    assert export.read_bytes() == before
    assert sorted(export.parent.iterdir()) == beside


def test_an_import_goes_on_where_it_was_stopped(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from semroute.cli import transfer

    taken: list[object] = []
    put = transfer._put

    def put_one(*arguments: Any) -> str:
        if taken:
            raise KeyboardInterrupt
        taken.append(put(*arguments))
        return str(taken[0])

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_put", put_one)
        check_stopped(call("import", export, "--store", tmp_path / "new.db"), "the same call passes over it")
    assert "2 imported, 1 there already" in call("import", export, "--store", tmp_path / "new.db").stdout


def test_a_rebalance_can_be_gone_on_with(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = ("--store", str(store), "--store", str(tmp_path / "b.db"))
    assert call("ring", "adopt", *shards).exit_code == 0

    def steps(*_: object, **__: object) -> Iterator[object]:
        yield stop()

    monkeypatch.setattr("semroute.stores.rebalance.rebalance", steps)
    check_stopped(call("ring", "rebalance", *shards), "nothing is lost: the same call goes on")


def test_a_word_that_is_quickly_done_says_only_that_it_was_stopped(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SemanticCache, "size", stop)
    stopped = call("stats", "--store", store)
    assert (stopped.exit_code, stopped.stderr) == (130, "semroute: stopped before it was done\n")


SIGNALLED = """
import os, signal, sys
from semroute.embedders import onnx
from semroute.testing.embedders import HashEmbedder

class Stopped(HashEmbedder):
    def embed(self, texts):
        os.kill(os.getpid(), signal.SIGINT)
        return super().embed(texts)

onnx.OnnxEmbedder = Stopped
from semroute.cli.main import main
main()
"""


def test_a_real_signal_ends_the_process_with_one_line(pairs: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALLED, "tune", pairs, *PAIRS, "--max-error", "0.1", "--out", tmp_path / "p.json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr.startswith("semroute: stopped; no policy was written")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "p.json").exists()

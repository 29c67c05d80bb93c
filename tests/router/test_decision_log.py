"""The log of second looks: real files, several processes, and what goes wrong with disks."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from semroute.errors import ConfigError, StoreError
from semroute.router.decision import RoutingDecision
from semroute.router.decision_log import DecisionLog, LoggedDecision
from semroute.testing.clock import START_S, FakeClock

DECISION = RoutingDecision(
    intent="analysis",
    complexity="high",
    model="large",
    cache_strategy="standard",
    staleness="daily",
    confidence=0.9,
    origin="llm",
    reason="it compares two things",
)
MakeLog = Callable[..., DecisionLog]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "decisions.jsonl"


@pytest.fixture
def make_log(path: Path, clock: FakeClock) -> MakeLog:
    return lambda **parts: DecisionLog(**{"path": path, "clock": clock, **parts})


def prompts(log: DecisionLog) -> list[str]:
    return [row.prompt for row in log.rows()]


def fill(log: DecisionLog, *prompts: str) -> None:
    for prompt in prompts:
        log.add(prompt, DECISION)
    log.flush()


class TestWhatIsKept:
    def test_a_row_has_what_training_reads_and_nothing_else(self, make_log: MakeLog, path: Path) -> None:
        log = make_log()
        log.add("Compare A with B.", DECISION, tier=3, good_tiers=[4, 3, 3], embedder="e-1")
        log.flush()
        (line,) = path.read_text(encoding="utf-8").splitlines()
        assert json.loads(line) == {
            "v": 1,
            "at": START_S,
            "prompt": "Compare A with B.",
            "intent": "analysis",
            "complexity": "high",
            "staleness": "daily",
            "confidence": 0.9,
            "origin": "llm",
            "model": "large",
            "tier": 3,
            "good_tiers": [3, 4],
            "embedder": "e-1",
        }

    def test_what_is_not_known_is_left_out(self, make_log: MakeLog, path: Path) -> None:
        fill(log := make_log(), "hello")
        assert {"tier", "good_tiers", "embedder"}.isdisjoint(json.loads(path.read_text(encoding="utf-8")))
        (row,) = log.rows()
        assert (row.tier, row.good_tiers, row.embedder) == (None, None, None)

    def test_rows_come_back_as_they_were_in_the_order_in_which_they_came(
        self, make_log: MakeLog, clock: FakeClock
    ) -> None:
        log = make_log()
        log.add("one", DECISION, tier=2, good_tiers=(2, 3), embedder="e-1")
        clock.advance(5.0)
        log.add("two", RoutingDecision(origin="llm"))
        log.close()
        first, second = log.rows()
        assert first == LoggedDecision(
            START_S, "one", "analysis", "high", "daily", 0.9, "llm", "large", 2, (2, 3), "e-1"
        )
        assert (second.at, second.prompt, second.model) == (START_S + 5.0, "two", None)

    @pytest.mark.parametrize("text", ["two\nlines\r\n", "a\u2028b\u2029c\x85d\x1ee", "Grüße, 世界 🎉", '{"v": 1}', ""])
    def test_any_text_is_one_line_to_every_reader(self, text: str, make_log: MakeLog, path: Path) -> None:
        fill(log := make_log(), text, "next")
        assert prompts(log) == [text, "next"]
        raw = path.read_bytes()
        assert len(raw.splitlines()) == len(raw.decode("utf-8").splitlines()) == 2

    def test_words_that_are_no_text_are_kept_as_far_as_they_are(self, make_log: MakeLog) -> None:
        fill(log := make_log(), "half a \ud83d pair")
        assert (prompts(log), log.lost) == (["half a ? pair"], 0)

    def test_a_long_text_is_cut(self, make_log: MakeLog) -> None:
        fill(log := make_log(max_prompt_chars=10), "x" * 11)
        assert prompts(log) == ["x" * 10]

    def test_the_file_and_its_folder_are_the_owners_alone(self, make_log: MakeLog, path: Path) -> None:
        fill(make_log(), "hello")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_a_file_that_others_could_read_is_closed_to_them(self, make_log: MakeLog, path: Path) -> None:
        path.parent.mkdir()
        path.touch()
        path.chmod(0o644)
        fill(make_log(), "hello")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_nothing_is_made_before_the_first_row(self, make_log: MakeLog, path: Path) -> None:
        log = make_log()
        assert prompts(log) == []
        log.close()
        assert not path.parent.exists()

    def test_it_shows_its_state(self, make_log: MakeLog, path: Path) -> None:
        fill(log := make_log(), "hello")
        assert repr(log) == f"<DecisionLog {str(path)!r}, 1 written, 0 lost>"
        assert (log.path, log.written, log.lost) == (path, 1, 0)

    def test_all_of_it_goes_in_one_call(self, make_log: MakeLog, path: Path) -> None:
        log = make_log(max_bytes=4_096)
        fill(log, *("x" * 100 for _ in range(20)))
        assert log.older_path.exists()
        log.add("waits", DECISION)
        log.clear()
        assert list(path.parent.iterdir()) == []
        log.clear()


class TestSize:
    def test_the_oldest_rows_go_and_both_files_stay_under_the_limit(self, make_log: MakeLog, path: Path) -> None:
        log = make_log(max_bytes=10_000)
        fill(log, *(f"prompt {number}" for number in range(200)))
        kept = prompts(log)
        assert kept == [f"prompt {number}" for number in range(200 - len(kept), 200)]
        assert path.stat().st_size + log.older_path.stat().st_size <= 10_000
        assert path.stat().st_size + log.older_path.stat().st_size > 5_000
        assert (log.written, log.lost) == (200, 0)

    def test_the_older_file_is_the_owners_alone_too(self, make_log: MakeLog) -> None:
        fill(log := make_log(max_bytes=4_096), *("x" * 100 for _ in range(20)))
        assert stat.S_IMODE(log.older_path.stat().st_mode) == 0o600

    def test_a_row_that_is_larger_than_the_log_is_lost_and_the_next_is_not(self, make_log: MakeLog) -> None:
        fill(log := make_log(max_bytes=4_096), "x" * 3_000, "short")
        assert (prompts(log), log.lost) == (["short"], 1)


class TestSharing:
    def test_processes_that_share_a_file_lose_no_row_while_it_is_moved_away(self, path: Path) -> None:
        script = (
            "import sys; from semroute.router.decision import RoutingDecision;"
            "from semroute.router.decision_log import DecisionLog\n"
            "log = DecisionLog(sys.argv[1], max_bytes=40_000)\n"
            "for n in range(100):\n"
            "    log.add(f'{sys.argv[2]} {n}', RoutingDecision(origin='llm')); log.flush()\n"
            "sys.exit(log.lost)"
        )
        children = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in "abc"]
        assert [child.wait(60) for child in children] == [0, 0, 0]
        rows = prompts(DecisionLog(path, max_bytes=40_000))
        assert len(rows) == len(set(rows))
        # Of what was moved away once, nothing is lost; a second move drops the first half.
        assert len(rows) > 100
        for name in "abc":
            own = [int(row[2:]) for row in rows if row.startswith(name)]
            assert own == list(range(100 - len(own), 100))

    def test_rows_that_wait_are_written_when_the_interpreter_ends(self, path: Path) -> None:
        script = (
            "import sys; from semroute.router.decision import RoutingDecision;"
            "from semroute.router.decision_log import DecisionLog\n"
            "log = DecisionLog(sys.argv[1])\n"
            "for n in range(100): log.add(str(n), RoutingDecision())\n"
        )
        assert subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False).returncode == 0
        assert prompts(DecisionLog(path)) == [str(n) for n in range(100)]

    def test_a_forked_child_writes_to_the_same_file(self, make_log: MakeLog) -> None:
        fill(log := make_log(), "parent")
        pid = os.fork()
        if pid == 0:
            fill(log, "child")
            os._exit(log.lost)
        assert os.waitpid(pid, 0)[1] == 0
        fill(log, "parent again")
        assert prompts(log) == ["parent", "child", "parent again"]


class TestWhatGoesWrong:
    def test_a_full_disk_loses_rows_and_leaves_no_half_of_one(self, make_log: MakeLog) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
                log = make_log()
                fill(log, *("x" * 500 for _ in range(20)))
                whole = log.path.read_bytes().endswith(b"\n") and len(list(log.rows())) == log.written
                os._exit(0 if whole and log.written > 5 and log.written + log.lost == 20 else 1)
            except BaseException:
                os._exit(99)
        assert os.waitpid(pid, 0)[1] == 0
        fill(log := make_log(), "there is room again")
        assert prompts(log)[-1] == "there is room again"

    @pytest.mark.parametrize("spoil", ["folder is a file", "file is a folder", "file is a pipe"])
    def test_a_place_that_cannot_be_written_is_counted_and_told_once(
        self, spoil: str, make_log: MakeLog, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        match spoil:
            case "folder is a file":
                path.parent.touch()
            case "file is a folder":
                path.mkdir(parents=True)
            case _:
                path.parent.mkdir()
                os.mkfifo(path)
        log = make_log()
        with caplog.at_level(logging.INFO, "semroute.router"):
            fill(log, "one", "two", "three")
            assert (log.written, log.lost) == (0, 3)
            (path.parent if path.parent.is_file() else path).rename(path.parent.with_name("moved"))
            fill(log, "four", "five")
        lost, works = caplog.records
        assert "are being lost" in lost.getMessage()
        assert works.getMessage().endswith("is written again; 3 rows were lost")
        assert prompts(log) == ["four", "five"]

    def test_a_file_that_another_process_keeps_locked_costs_the_row_alone(
        self, make_log: MakeLog, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("semroute.router.decision_log._LOCK_PAUSE_S", 0.0)
        fill(log := make_log(), "one")
        with path.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            fill(log, "two")
        fill(log, "three")
        assert (prompts(log), log.lost) == (["one", "three"], 1)

    def test_more_than_can_be_written_is_dropped_and_not_kept_in_memory(self, make_log: MakeLog, path: Path) -> None:
        fill(log := make_log(), "first")
        with path.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)  # the writer waits for it, and rows gather
            for number in range(400):
                log.add(str(number), DECISION)
            dropped = log.lost
        log.close()
        assert dropped > 100
        assert log.written + log.lost == 401

    def test_lines_that_are_no_rows_are_left_out(self, make_log: MakeLog, path: Path) -> None:
        fill(log := make_log(), "one")
        with path.open("ab") as file:
            file.write(b'[]\n"text"\n{"v": 2, "prompt": "of another version"}\n{"v": 1}\n\xff\xfe\n')
            file.write(b'{"v": 1, "at": 1750000000.0, "prompt": "cut sho')
        fill(log, "two")
        assert prompts(log) == ["one", "two"]

    def test_a_log_that_cannot_be_read_says_so(self, make_log: MakeLog, path: Path) -> None:
        path.mkdir(parents=True)
        with pytest.raises(StoreError, match=r"decisions\.jsonl cannot be read"):
            list(make_log().rows())
        with pytest.raises(StoreError, match="cannot be removed"):
            make_log().clear()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"path": " "}, "needs the path of its file"),
        ({"max_bytes": 100}, "max_bytes=100 is out of range"),
        ({"max_bytes": 1e6}, "max_bytes="),
        ({"max_prompt_chars": 0}, "max_prompt_chars=0 is out of range"),
    ],
)
def test_settings_that_cannot_be_are_refused(parts: dict[str, object], message: str, make_log: MakeLog) -> None:
    with pytest.raises(ConfigError, match=message):
        make_log(**parts)

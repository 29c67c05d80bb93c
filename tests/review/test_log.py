"""The shadow log: real files, several processes, and what goes wrong with disks."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest

from semroute.entry import Answer, Selector
from semroute.errors import ConfigError, StoreError
from semroute.review.log import ShadowLog
from semroute.shadow import ShadowEvent
from semroute.telemetry import FeedbackEvent

from .records import FULL_RECORD, make_record


def only(log: ShadowLog) -> int:
    (record,) = log.scan()
    assert record.number is not None
    return record.number


class TestWhatIsKept:
    def test_a_record_is_read_back_as_it_was(self, path: Path) -> None:
        log = ShadowLog(path)
        log.on(ShadowEvent((FULL_RECORD,)))
        log.flush()
        number = only(log)
        assert log.read(number) == replace(FULL_RECORD, number=number)

    def test_a_scan_spares_the_answers(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add([FULL_RECORD])
        log.flush()
        (record,) = log.scan()
        assert record == replace(FULL_RECORD, number=record.number, stored_answer=None, real_answer=None)

    def test_records_come_back_in_the_order_in_which_they_came(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add(make_record(number) for number in range(2_500))
        log.close()
        assert [record.request for record in log.scan()] == [f"request{number}" for number in range(2_500)]

    def test_of_an_answer_only_the_text_is_kept_and_a_long_one_is_cut(self, path: Path) -> None:
        log = ShadowLog(path, max_answer_chars=10)
        log.add([make_record(real_answer=Answer("0123456789abc", payload={"secret": 1}, model="m"))])
        log.flush()
        record = log.read(only(log))
        assert record is not None
        assert record.real_answer == Answer("0123456789 […]", model="m")
        assert b"secret" not in path.read_bytes()

    def test_other_events_are_none_of_its_business(self, path: Path) -> None:
        log = ShadowLog(path)
        log.on(FeedbackEvent("hit", correct=True, removed=0))
        log.close()
        assert not path.exists()

    def test_words_that_are_no_text_are_kept_as_far_as_they_are(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add([make_record(query="half a \ud83d pair", real_answer=Answer("\udc00"))])
        log.flush()
        (record,) = log.scan()
        assert (record.query, log.lost) == ("half a ? pair", 0)

    def test_the_file_and_its_folder_are_the_owners_alone(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add([FULL_RECORD])
        log.close()
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_the_default_place_is_the_users_data_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert ShadowLog().path == platformdirs.user_data_path("semroute", appauthor=False) / "shadow.db"

    def test_making_a_log_opens_nothing(self, path: Path) -> None:
        ShadowLog(path)
        assert not path.parent.exists()


class TestRoom:
    def test_the_oldest_go_first_when_the_log_is_full(self, path: Path) -> None:
        log = ShadowLog(path, max_bytes=20_000)
        for number in range(200):
            log.add([make_record(number, real_answer=Answer("x" * 500))])
        log.flush()
        kept = [record.request for record in log.scan()]
        assert kept == [f"request{number}" for number in range(200 - len(kept), 200)]
        assert 20 < len(kept) < 40
        size = log.size()
        assert (size.records, size.bytes <= 20_000) == (len(kept), True)

    def test_a_record_larger_than_the_log_is_not_kept(self, path: Path) -> None:
        log = ShadowLog(path, max_bytes=100)
        log.add([make_record(real_answer=Answer("x" * 500))])
        log.flush()
        assert log.size().records == 0

    @pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_answer_chars": -1}])
    def test_a_limit_that_is_none_is_refused(self, limits: dict[str, int]) -> None:
        with pytest.raises(ConfigError, match="out of range"):
            ShadowLog("log.db", **limits)  # type: ignore[arg-type]  # whole numbers all


class TestRemoval:
    @pytest.fixture
    def shared(self, path: Path) -> ShadowLog:
        log = ShadowLog(path)
        for number, labels in enumerate([{"acme"}, {"acme", "faq"}, {"zeta", "faq"}]):
            log.add([make_record(number, labels=frozenset(labels))])
        return log

    @pytest.mark.parametrize(
        ("selector", "left"),
        [
            (Selector(frozenset({"acme"})), ["request2"]),
            (Selector(frozenset({"acme", "faq"})), ["request0", "request2"]),
            (Selector(frozenset({"nobody"})), ["request0", "request1", "request2"]),
            (Selector(frozenset(), 1_750_000_002.0), ["request2"]),
            (Selector(frozenset({"faq"}), 1_750_000_002.0), ["request0", "request2"]),
            (Selector(), []),
        ],
    )
    def test_what_a_selector_names_is_removed_even_while_it_waits(
        self, shared: ShadowLog, selector: Selector, left: list[str]
    ) -> None:
        assert shared.delete(selector) == 3 - len(left)
        assert [record.request for record in shared.scan()] == left

    def test_what_is_removed_is_not_left_in_the_file(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add([make_record(real_answer=Answer("the secret recipe"), labels=frozenset({"acme"}))])
        log.delete(Selector(frozenset({"acme"})))
        log.close()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        assert b"secret recipe" not in path.read_bytes()

    def test_removing_from_a_log_that_was_never_made_removes_nothing(self, path: Path) -> None:
        assert ShadowLog(path).delete(Selector()) == 0
        assert not path.exists()


WRITE = """
import sys
from semroute.review.log import ShadowLog
from semroute.shadow import ShadowRecord
log = ShadowLog(sys.argv[1])
for number in range(100):
    log.add([ShadowRecord(1.0, f"{sys.argv[2]}-{number}", "e", "asked", "stored", 0.9)])
    if number % 10 == 0:
        log.flush()
print(log.lost)
"""


class TestSeveralProcesses:
    def test_all_that_several_processes_write_is_kept(self, path: Path) -> None:
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITE, str(path), name], stdout=subprocess.PIPE, text=True)
            for name in ("one", "two", "three")
        ]
        assert [writer.communicate(timeout=60)[0].strip() for writer in writers] == ["0", "0", "0"]
        assert len({record.request for record in ShadowLog(path).scan()}) == 300

    def test_two_logs_of_one_process_do_not_cost_each_other_what_a_second_process_writes_between(
        self, path: Path, run_python: Callable[..., str]
    ) -> None:
        one, other = ShadowLog(path), ShadowLog(path)
        for number in range(4):
            for log in (one, other):
                log.add([make_record(number, request=f"{id(log)}-{number}")])
                log.flush()
            assert list(one.scan())
            assert run_python(WRITE, str(path), f"child{number}") == "0"
        assert len({record.request for record in other.scan()}) == 8 + 400

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
    def test_parent_and_forked_child_both_write(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add([make_record(1)])
        log.flush()
        child = os.fork()
        if child == 0:
            try:
                log.add([make_record(2)])
                log.flush()
                os._exit(log.lost)
            except BaseException:
                os._exit(99)
        assert os.waitpid(child, 0)[1] == 0
        log.add([make_record(3)])
        log.flush()
        assert sorted(record.request for record in log.scan()) == ["request1", "request2", "request3"]


class TestFaults:
    def test_a_locked_file_is_counted_and_logged_once_and_told_when_it_works_again(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = ShadowLog(path, busy_timeout_s=0.01)
        log.add([make_record(0)])
        log.flush()
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.INFO, logger="semroute.review"):
            for number in range(1, 4):
                log.add([make_record(number)])
                log.flush()
            assert log.lost == 3
            blocker.execute("COMMIT")
            blocker.close()
            log.add([make_record(4)])
            log.flush()
        lost, works = caplog.records
        assert "another process kept it locked" in lost.getMessage()
        assert "written again; 3 records were lost" in works.getMessage()
        assert [record.request for record in log.scan()] == ["request0", "request4"]

    def test_a_full_disk_loses_records_and_nothing_else(self, path: Path) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
                log = ShadowLog(path)
                for number in range(80):
                    log.add([make_record(number, real_answer=Answer("x" * 8_000))])
                    log.flush()
                kept = log.size().records
                os._exit(0 if 0 < log.lost < 80 and kept == 80 - log.lost else 1)
            except BaseException:
                os._exit(99)
        assert os.waitpid(pid, 0)[1] == 0

    @pytest.mark.parametrize("spoil", ["text", "folder", "other"])
    def test_a_file_that_cannot_serve_never_hurts_the_application(self, path: Path, spoil: str) -> None:
        path.parent.mkdir()
        match spoil:
            case "text":
                path.write_text("this is no database, and it is long enough to be looked at " * 20)
            case "folder":
                path.mkdir()
            case "other":
                with sqlite3.connect(path) as connection:
                    connection.execute("CREATE TABLE t (a)")
                connection.close()
        log = ShadowLog(path)
        log.add([FULL_RECORD])
        log.flush()
        assert log.lost == 1

    def test_a_record_that_is_no_record_does_not_take_the_others_with_it(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add([make_record(0), make_record(1, similarity=float("nan")), make_record(2)])
        log.flush()
        assert ([record.request for record in log.scan()], log.lost) == (["request0", "request2"], 1)

    def test_more_than_can_be_written_is_dropped_and_not_kept_in_memory(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add(make_record(number) for number in range(20_000))
        log.flush()
        assert log.lost == 20_000
        assert not path.exists()

    def test_a_log_that_is_moved_away_is_made_anew(self, path: Path) -> None:
        log = ShadowLog(path)
        log.add([make_record(0)])
        log.flush()
        shutil.rmtree(path.parent)
        log.add([make_record(1)])
        log.flush()
        assert [record.request for record in log.scan()] == ["request1"]


class TestReadingWhatIsNoLog:
    def test_a_log_that_is_not_there(self, path: Path) -> None:
        with pytest.raises(StoreError, match=r"no shadow log at .*shadow\.db.*mode='shadow'"):
            list(ShadowLog(path).scan())

    def test_an_empty_file(self, path: Path) -> None:
        path.parent.mkdir()
        path.touch()
        with pytest.raises(StoreError, match="nothing was logged yet"):
            list(ShadowLog(path).scan())

    def test_a_damaged_file(self, log: ShadowLog) -> None:
        ShadowLog(log.path).delete(Selector(frozenset({"nothing"})))
        raw = bytearray(log.path.read_bytes())
        raw[4096:] = os.urandom(len(raw) - 4096)
        for file in log.path.parent.iterdir():
            file.unlink()
        log.path.write_bytes(raw)
        with pytest.raises(StoreError, match=r"damaged .*move it away"):
            list(log.scan())

    def test_a_database_of_another_kind(self, path: Path) -> None:
        path.parent.mkdir()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (a)")
        connection.close()
        with pytest.raises(StoreError, match="database of another kind"):
            list(ShadowLog(path).scan())

    def test_a_newer_version_is_left_alone_and_said_so(self, log: ShadowLog) -> None:
        connection = sqlite3.connect(log.path)
        connection.execute("PRAGMA user_version = 7")
        connection.close()
        with pytest.raises(StoreError, match="has version 7, and this release reads version 1"):
            list(log.scan())
        log.add([FULL_RECORD])
        log.flush()
        assert log.lost == 1

    def test_a_record_that_is_damaged_is_named(self, log: ShadowLog) -> None:
        connection = sqlite3.connect(log.path)
        connection.execute("UPDATE records SET verdicts = '[[1]' WHERE number = 5")
        connection.commit()
        connection.close()
        with pytest.raises(StoreError, match="record 5 of the shadow log is damaged"):
            list(log.scan())

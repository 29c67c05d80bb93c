"""What goes wrong with files, disks and rows, each tried for real."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from semroute.entry import Answer, Selector
from semroute.errors import ConfigError, StoreError
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.entries import NOW, make_address, make_entry
from semroute.testing.store_suite import get, queries, search

InChild: TypeAlias = Callable[[Callable[[], None]], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.db"


def opened(path: Path, **options: object) -> EmbeddedStore:
    return EmbeddedStore(path, clock=lambda: NOW, **options)  # type: ignore[arg-type]  # passed through as they are


def filled(path: Path, count: int = 30) -> bytes:
    """Make a store with some entries and return its digest key."""
    store = opened(path)
    for number in range(count):
        store.put(make_entry(f"q{number}", similarity=0.9 - number / 100, answer=Answer("x" * 2000)))
    key = store.open()
    store.close()
    return key


def become_nobody() -> None:
    """Give up root, for whom no file is read-only."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter, unlike those under `tmp_path`."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class TestFilesThatCannotServe:
    def overwrite(self, path: Path, at: int, what: bytes) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(what)

    def assert_set_aside(self, path: Path, kind: str, contents: bytes, caplog: pytest.LogCaptureFixture) -> None:
        store = opened(path)
        with caplog.at_level(logging.WARNING, logger="semroute.stores"):
            assert store.put(make_entry("q")) is True
        store.close()
        (aside,) = path.parent.glob(f"{path.name}.{kind}-*Z")
        assert aside.read_bytes() == contents
        (record,) = caplog.records
        assert str(path) in record.getMessage()
        assert str(aside) in record.getMessage()

    def test_a_file_that_is_no_database_is_moved_aside_with_a_warning(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path.write_bytes(b"my thesis, which is no database\n" * 100)
        self.assert_set_aside(path, "damaged", path.read_bytes(), caplog)

    def test_a_database_with_a_broken_schema_page_is_moved_aside(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        filled(path)
        self.overwrite(path, 100, b"\xff" * 1000)
        self.assert_set_aside(path, "damaged", path.read_bytes(), caplog)

    def test_a_truncated_database_is_moved_aside(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        filled(path)
        os.truncate(path, 6000)
        self.assert_set_aside(path, "damaged", path.read_bytes(), caplog)

    def test_a_database_without_its_tables_is_moved_aside(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        filled(path)
        connection = sqlite3.connect(path)
        connection.execute("DROP TABLE state")
        connection.close()
        self.assert_set_aside(path, "damaged", path.read_bytes(), caplog)

    def test_a_database_of_a_newer_release_is_moved_aside(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        filled(path)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        self.assert_set_aside(path, "newer", path.read_bytes(), caplog)

    def test_a_second_file_of_the_same_moment_gets_a_name_of_its_own(self, path: Path) -> None:
        for _ in range(2):
            path.write_bytes(b"no database at all, whatever its name says")
            store = opened(path)
            store.open()
            store.close()
        assert len(list(path.parent.glob("answers.db.damaged-*"))) == 2

    def test_damage_met_during_use_is_a_store_error_and_the_next_use_starts_anew_with_the_same_key(
        self, path: Path
    ) -> None:
        key = filled(path, count=300)
        self.overwrite(path, 3 * 4096, b"\xff" * (path.stat().st_size - 4 * 4096))
        store = opened(path)
        with pytest.raises(StoreError, match="damaged"):
            store.delete(Selector())
        assert store.put(make_entry("fresh")) is True
        assert get(store, "fresh").entry is not None
        assert store.open() == key
        store.close()
        assert len(list(path.parent.glob("answers.db.damaged-*Z"))) == 1

    def test_the_database_of_another_application_is_refused_and_left_alone(self, path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(ConfigError, match="another application"):
            opened(path).open()
        assert path.read_bytes() == before

    def test_a_folder_as_path_is_refused_with_a_better_path(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"is a folder.*answers\.db"):
            opened(tmp_path).open()

    def test_a_path_below_a_file_is_a_store_error(self, path: Path) -> None:
        path.write_text("a file")
        with pytest.raises(StoreError, match="cannot be opened"):
            opened(path / "below.db").open()


class TestDamagedRows:
    @pytest.mark.parametrize(
        "damage",
        [
            'UPDATE bodies SET answer = \'{"v": 1, "text"\'',
            "UPDATE bodies SET answer = x'ff00ff'",
            "UPDATE bodies SET answer = 12",
            "UPDATE bodies SET query = x'ff'",
        ],
    )
    def test_a_damaged_row_is_a_counted_miss_and_spares_the_others(self, path: Path, damage: str) -> None:
        filled(path, count=3)
        connection = sqlite3.connect(path)
        connection.execute(f"{damage} WHERE row = 2")
        connection.commit()
        connection.close()
        store = opened(path)
        assert get(store, "q1").entry is None
        assert store.damaged_rows == 1
        assert get(store, "q0").entry is not None
        assert sorted(entry.query for entry in store.scan()) == ["q0", "q2"]
        assert store.damaged_rows == 2
        store.close()

    @pytest.mark.parametrize("damage", ["UPDATE bodies SET vector = x'0000'", "UPDATE entries SET labels = '['"])
    def test_a_damaged_vector_or_label_hurts_only_what_reads_it(self, path: Path, damage: str) -> None:
        filled(path, count=3)
        connection = sqlite3.connect(path)
        connection.execute(f"{damage} WHERE row = 2")
        connection.commit()
        connection.close()
        store = opened(path)
        assert get(store, "q1").entry is not None
        assert sorted(entry.query for entry in store.scan()) == ["q0", "q2"]
        assert store.damaged_rows == 1
        store.close()

    @pytest.mark.parametrize("blob", ["x'0000'", "x'0000c07f" + "00" * 28 + "'", "12"])
    def test_a_damaged_vector_is_no_candidate(self, path: Path, blob: str) -> None:
        filled(path, count=3)
        connection = sqlite3.connect(path)
        connection.execute(f"UPDATE bodies SET vector = {blob} WHERE row = 2")
        connection.commit()
        connection.close()
        store = opened(path)
        assert queries(search(store)) == ["q0", "q2"]
        assert store.damaged_rows == 1
        store.close()


class TestAccess:
    def test_the_file_is_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "answers.db"
        store = opened(path)
        store.put(make_entry("q"))
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        store.close()

    def test_a_store_in_a_read_only_folder_serves_lookups_and_refuses_puts(
        self, open_folder: Path, in_child: InChild
    ) -> None:
        path = open_folder / "answers.db"
        filled(path)
        path.chmod(0o444)
        open_folder.chmod(0o555)

        def check() -> None:
            become_nobody()
            store = opened(path)
            assert get(store, "q0").entry is not None
            assert queries(search(store, k=2)) == ["q0", "q1"]
            assert "read-only" in repr(store)
            with pytest.raises(StoreError, match="read-only"):
                store.put(make_entry("new"))
            store.close()

        in_child(check)

    def test_a_read_only_file_is_followed_while_somebody_else_writes_to_it(
        self, open_folder: Path, in_child: InChild
    ) -> None:
        path = open_folder / "answers.db"
        filled(path, count=1)
        if os.geteuid() == 0:  # only then may the writer still write
            path.chmod(0o444)
            open_folder.chmod(0o555)
        go_on, wait = socket.socketpair()

        def check() -> None:
            become_nobody()
            store = opened(path)
            assert queries(search(store)) == ["q0"]
            for query in ("while the writer is there", "after it has gone"):
                wait.sendall(b"x")
                wait.recv(1)
                assert get(store, query).entry is not None
                assert query in queries(search(store))
            store.close()

        def write() -> None:
            writer = opened(path)
            for query, leaves in (("while the writer is there", False), ("after it has gone", True)):
                go_on.recv(1)
                writer.put(make_entry(query))
                if leaves:
                    writer.close()
                go_on.sendall(b"x")

        with go_on, wait, ThreadPoolExecutor(1) as threads:
            written = threads.submit(write)
            in_child(check)
            written.result(timeout=10)

    def test_a_folder_that_nothing_can_be_made_in_is_a_store_error(self, open_folder: Path, in_child: InChild) -> None:
        open_folder.chmod(0o555)

        def check() -> None:
            become_nobody()
            with pytest.raises(StoreError, match="cannot be opened"):
                opened(open_folder / "answers.db").open()

        in_child(check)


class TestFullDisk:
    def fill(self, store: EmbeddedStore) -> int:
        """Put until the disk is full and return how many puts returned."""
        for number in range(100_000):
            try:
                store.put(make_entry(f"q{number}", answer=Answer("x" * 3000)))
            except StoreError as error:
                assert "full" in str(error) or "disk" in str(error)  # noqa: PT017  # the loop needs its number
                return number
        raise AssertionError("the disk was never full")

    def test_a_full_disk_is_a_store_error_and_all_that_was_put_is_still_served(
        self, path: Path, in_child: InChild
    ) -> None:
        def check() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))
            store = opened(path)
            count = self.fill(store)
            assert count > 500
            assert all(get(store, f"q{number}").entry is not None for number in range(count))
            assert len(search(store, k=10_000)) == count
            store.close()

        in_child(check)
        store = opened(path)
        assert store.put(make_entry("there is room again")) is True
        store.close()
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


class TestLockedDatabase:
    def test_a_put_gives_up_after_the_timeout_and_lookups_go_on(self, path: Path) -> None:
        filled(path, count=3)
        store = opened(path, busy_timeout_s=0.05)
        store.open()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"locked for 0\.05 s"):
            store.put(make_entry("new"))
        assert get(store, "q0").entry is not None
        other.execute("ROLLBACK")
        assert store.put(make_entry("new")) is True
        other.close()
        store.close()

    def test_a_new_handle_on_a_locked_database_gives_up_too(self, path: Path) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked"):
            opened(path, busy_timeout_s=0.05).open()
        other.close()

    def test_a_slow_writer_in_another_thread_does_not_make_a_put_wait_for_ever(self, path: Path) -> None:
        store = opened(path, busy_timeout_s=0.05)
        store.open()
        with store._pool.writing(), pytest.raises(StoreError, match="written to"):
            store.put(make_entry("new"))
        store.close()


class TestSettings:
    @pytest.mark.parametrize(
        "options",
        [
            {"max_entries": 0},
            {"max_bytes": -1},
            {"max_matrix_bytes": 0},
            {"busy_timeout_s": -1.0},
            {"busy_timeout_s": float("nan")},
            {"digest_key": b"short"},
        ],
    )
    def test_a_setting_out_of_range_is_named(self, options: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match=next(iter(options))):
            EmbeddedStore("memory://", **options)  # type: ignore[arg-type]  # the point of the test

    def test_a_given_digest_key_is_used_and_another_one_refused(self, path: Path) -> None:
        mine = bytes(range(32))
        store = opened(path, digest_key=mine)
        assert store.open() == mine
        store.close()
        with pytest.raises(ConfigError, match="digest_key"):
            opened(path, digest_key=bytes(32)).open()
        same = opened(path, digest_key=mine)
        assert same.open() == mine
        same.close()

    def test_construction_touches_nothing(self, tmp_path: Path) -> None:
        store = opened(tmp_path / "new" / "answers.db")
        assert list(tmp_path.iterdir()) == []
        assert "closed" in repr(store)

    def test_the_repr_says_where_it_is_and_what_it_holds_in_memory(self, path: Path) -> None:
        store = opened(path)
        store.put(make_entry("q"))
        search(store)
        assert str(path) in repr(store)
        assert "open" in repr(store)
        assert "1 matrices" in repr(store)
        assert store.get(make_address("q"), now=NOW).entry is not None
        store.close()

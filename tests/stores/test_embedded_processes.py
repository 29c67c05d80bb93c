"""Several processes on one file: killed, forked, and racing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from semroute.entry import Selector
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.entries import NOW, make_entry
from semroute.testing.store_suite import get, queries, same_entry, search

InChild: TypeAlias = Callable[[Callable[[], None]], None]

WRITER = """
import sys
from semroute.entry import Answer
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.entries import NOW, make_entry

path, name, count = sys.argv[1:]
store = EmbeddedStore(path, clock=lambda: NOW)
for number in range(int(count)):
    query = f"{name}-{number}"
    store.put(make_entry(query, answer=Answer("x" * 2000)))
    print(query, flush=True)
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def write_one(path: Path, name: str) -> None:
    """Store one entry from another process."""
    subprocess.run([sys.executable, "-c", WRITER, str(path), name, "1"], check=True, capture_output=True, timeout=30)


def assert_sound(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_two_stores_of_one_process_on_one_file_lose_nothing_to_another_process(tmp_path: Path) -> None:
    """To open and close the file beside a connection would drop this process's locks on it, and so its log."""
    path = tmp_path / "answers.db"
    first, second = EmbeddedStore(path, clock=lambda: NOW), EmbeddedStore(path, clock=lambda: NOW)
    first.put(make_entry("before"))
    second.open()
    write_one(path, "other")
    for number in range(5):
        first.put(make_entry(f"after-{number}"))
    write_one(path, "another")
    third = EmbeddedStore(path, clock=lambda: NOW)
    assert len(list(third.scan())) == 8
    assert_sound(path)
    for store in (first, second, third):
        store.close()


@pytest.mark.parametrize("kill_after", [1, 150, 700])
def test_kill_9_during_1000_puts_by_two_processes_loses_nothing_that_was_put(tmp_path: Path, kill_after: int) -> None:
    path = tmp_path / "answers.db"
    writers = [start_writer(path, name, 5000) for name in ("one", "two")]
    told: list[str] = []

    def listen(writer: subprocess.Popen[str]) -> None:
        assert writer.stdout is not None
        for line in writer.stdout:
            told.append(line.strip())
            if len(told) == kill_after:
                for each in writers:
                    each.send_signal(signal.SIGKILL)

    listeners = [threading.Thread(target=listen, args=(writer,)) for writer in writers]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
    assert [writer.wait() for writer in writers] == [-signal.SIGKILL] * 2
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()

    store = EmbeddedStore(path, clock=lambda: NOW)
    assert len(told) >= kill_after
    assert [query for query in told if get(store, query).entry is None] == []
    assert len(list(store.scan())) >= len(told)
    assert store.damaged_rows == 0
    assert store.put(make_entry("life goes on")) is True
    store.close()
    assert_sound(path)
    assert [file.name for file in tmp_path.iterdir()] == ["answers.db"]


def test_processes_that_create_one_file_at_once_agree_on_its_key(tmp_path: Path) -> None:
    script = (
        "import sys; from semroute.stores.embedded import EmbeddedStore;"
        "sys.stdin.readline(); print(EmbeddedStore(sys.argv[1]).open().hex())"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "answers.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    keys = set()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=30)
        keys.add(out.strip())
    assert len(keys) == 1
    assert len(keys.pop()) == 64


def test_a_fork_after_use_leaves_parent_and_child_with_a_working_store(tmp_path: Path, in_child: InChild) -> None:
    path = tmp_path / "answers.db"
    store = EmbeddedStore(path, clock=lambda: NOW)
    entry = make_entry("from the parent", similarity=0.8)
    store.put(entry)
    assert queries(search(store)) == ["from the parent"]

    def check() -> None:
        assert same_entry(get(store, "from the parent").entry, entry)
        assert queries(search(store)) == ["from the parent"]
        store.put(make_entry("from the child", similarity=0.9))
        store.close()

    in_child(check)
    assert queries(search(store)) == ["from the child", "from the parent"]
    store.put(make_entry("afterwards", similarity=0.7))
    assert len(search(store)) == 3
    store.close()
    assert_sound(path)


async def test_a_fork_after_asynchronous_use_does_not_wait_for_threads_it_has_not(
    tmp_path: Path, in_child: InChild
) -> None:
    store = EmbeddedStore(tmp_path / "answers.db", clock=lambda: NOW)
    await store.aput(make_entry("from the parent"))

    def check() -> None:
        assert store._worker.submit(lambda: store.put(make_entry("from the child"))).result(timeout=10)
        store.close()

    in_child(check)
    assert {entry.query async for entry in store.ascan()} == {"from the parent", "from the child"}
    await store.aclose()


def test_a_fork_while_other_threads_write_harms_neither(tmp_path: Path, in_child: InChild) -> None:
    path = tmp_path / "answers.db"
    store = EmbeddedStore(path, clock=lambda: NOW)
    stop = threading.Event()
    written: list[str] = []

    def write() -> None:
        while not stop.is_set():
            query = f"q{len(written)}"
            store.put(make_entry(query))
            written.append(query)

    def check() -> None:
        store.put(make_entry(f"child {os.getpid()}"))
        assert get(store, f"child {os.getpid()}").entry is not None
        store.close()

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(5):
        in_child(check)
    stop.set()
    thread.join()
    assert sum(entry.query.startswith("child") for entry in store.scan()) == 5
    assert all(get(store, query).entry is not None for query in written)
    store.close()
    assert_sound(path)


def test_a_store_in_memory_is_empty_in_a_forked_child_and_keeps_its_key(in_child: InChild) -> None:
    store = EmbeddedStore("memory://", clock=lambda: NOW)
    store.put(make_entry("q"))
    key = store.open()

    def check() -> None:
        assert get(store, "q").entry is None
        assert store.open() == key
        assert store.put(make_entry("child")) is True

    in_child(check)
    assert queries(search(store)) == ["q"]
    store.close()


def test_a_process_that_slept_through_many_removals_still_sees_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    store, sleeper = (EmbeddedStore(path, clock=lambda: NOW) for _ in range(2))
    store.put(make_entry("stays", similarity=0.5))
    for number in range(20):
        store.put(make_entry(f"goes {number}", labels=frozenset({"x"})))
    assert len(search(sleeper, k=50)) == 21
    store.delete(Selector(frozenset({"x"})))
    with sqlite3.connect(path) as connection:
        # As after ten thousand removals more: the log no longer reaches back to what the sleeper has seen.
        connection.execute("DELETE FROM removals WHERE number < 20")
    connection.close()
    store.put(make_entry("comes", similarity=0.6))
    assert queries(search(sleeper, k=50)) == ["comes", "stays"]
    store.close()
    sleeper.close()

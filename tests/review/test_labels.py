"""The labels file: what is in it after every kind of interruption."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from semroute.errors import ConfigError, StoreError
from semroute.evaluation.pairs import pairs_of
from semroute.evaluation.tables import read_rows
from semroute.review.labels import COLUMNS, Label, LabelsFile

HEAD = b"q1,q2,label,weight,origin,time,record\n"
FIRST = Label("How do I pay?", 'What is "SEPA", really?', True, 1.5, "person", 1_750_000_000.0, 3)
SECOND = Label("line one\nline two", "größer, als 5 €?", False, 12.25, "judge:openai:small", 1_750_000_060.0, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


@pytest.fixture
def filled(path: Path) -> Path:
    with LabelsFile(path) as labels:
        labels.append(FIRST)
        labels.append(SECOND)
    return path


def rows_of(path: Path) -> list[Label]:
    with LabelsFile(path) as labels:
        return list(labels.rows)


def test_labels_are_read_back_as_they_were_given(filled: Path) -> None:
    assert rows_of(filled) == [FIRST, SECOND]


def test_each_label_is_in_the_file_when_it_has_been_given(path: Path) -> None:
    with LabelsFile(path) as labels:
        assert path.read_bytes() == HEAD
        labels.append(FIRST)
        assert path.read_bytes() == HEAD + (
            b'How do I pay?,"What is ""SEPA"", really?",1,1.5,person,2025-06-15T15:06:40+00:00,3\n'
        )


def test_the_file_is_what_the_evaluations_read(filled: Path) -> None:
    rows = read_rows(filled, columns=set(COLUMNS))
    first, second = pairs_of(rows, q1="q1", q2="q2", label="label")
    assert (first.stored, first.asked, first.is_positive) == (FIRST.q1, FIRST.q2, True)
    assert (second.stored, second.asked, second.is_positive) == (SECOND.q1, SECOND.q2, False)


def test_the_file_is_the_owners_alone(filled: Path) -> None:
    with LabelsFile(filled) as labels:
        labels.reweigh({FIRST.pair: 9.0})
    assert stat.S_IMODE(filled.stat().st_mode) == 0o600


def test_every_torn_file_is_mended_and_loses_the_torn_label_alone(filled: Path) -> None:
    whole = filled.read_bytes()
    ends = {len(HEAD): [], whole.index(b"line one") - 1: [FIRST], len(whole): [FIRST, SECOND]}
    for length in {*ends, *range(0, len(whole), 3)}:
        filled.write_bytes(whole[:length])
        kept = next((labels for end, labels in sorted(ends.items(), reverse=True) if end <= length), [])
        assert rows_of(filled) == kept, length


def test_what_is_appended_after_a_mend_is_a_row_of_its_own(filled: Path) -> None:
    filled.write_bytes(filled.read_bytes()[:-9])
    with LabelsFile(filled) as labels:
        labels.append(replace(SECOND, q1="again"))
    assert [label.q1 for label in rows_of(filled)] == [FIRST.q1, "again"]


def test_a_file_that_a_spreadsheet_has_saved_is_read(filled: Path) -> None:
    filled.write_bytes(b"\xef\xbb\xbf" + filled.read_bytes().replace(b"\n", b"\r\n"))
    assert [label.is_reusable for label in rows_of(filled)] == [True, False]


def test_the_last_label_can_be_taken_back(filled: Path) -> None:
    with LabelsFile(filled) as labels:
        assert labels.remove_last() == SECOND
        assert labels.remove_last() == FIRST
        assert labels.remove_last() is None
    assert filled.read_bytes() == HEAD


def test_weights_are_set_anew_for_the_pairs_that_are_named(filled: Path) -> None:
    with LabelsFile(filled) as labels:
        labels.reweigh({SECOND.pair: 3.0, ("some", "other"): 1.0})
        labels.append(replace(FIRST, q1="third"))
    assert [label.weight for label in rows_of(filled)] == [1.5, 3.0, 1.5]


def test_nothing_is_left_beside_the_file(filled: Path) -> None:
    with LabelsFile(filled) as labels:
        labels.reweigh({FIRST.pair: 9.0})
    assert [file.name for file in filled.parent.iterdir()] == ["labels.csv"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"question,answer\na,b\n", "its columns are question, answer"),
        (b"\xff\xfe\x00garbage\n", "no labels file"),
        (HEAD + b"a,b,maybe,1,person,2025-06-15T15:06:40+00:00,3\n", "row 1 is no label: its label is 'maybe'"),
        (HEAD + b"a,b,1,heavy,person,2025-06-15T15:06:40+00:00,3\n", "row 1 is no label"),
        (HEAD + b"a,b,1\n", "row 1 is no label"),
    ],
)
def test_a_file_of_another_form_is_refused_and_left_as_it_is(path: Path, contents: bytes, message: str) -> None:
    path.write_bytes(contents)
    with pytest.raises(ConfigError, match=message):
        LabelsFile(path).open()
    assert path.read_bytes() == contents


OPENS = """
import sys
from semroute.errors import ConfigError
from semroute.review.labels import LabelsFile
try:
    print(len(LabelsFile(sys.argv[1]).open().rows))
except ConfigError as error:
    print(error)
"""


def test_only_one_process_may_have_a_file_open(filled: Path, run_python: Callable[..., str]) -> None:
    with LabelsFile(filled) as labels:
        assert "another review has" in run_python(OPENS, str(filled))
        labels.reweigh({FIRST.pair: 9.0})
        assert "another review has" in run_python(OPENS, str(filled))
    assert run_python(OPENS, str(filled)) == "2"


def test_a_label_is_not_lost_in_a_file_that_another_review_has_replaced(filled: Path) -> None:
    with LabelsFile(filled) as old, LabelsFile(filled) as new:
        new.reweigh({FIRST.pair: 9.0})
        with pytest.raises(StoreError, match="was changed while this review had it open"):
            old.append(FIRST)
        new.append(replace(FIRST, q1="third"))
    assert [label.q1 for label in rows_of(filled)] == [FIRST.q1, SECOND.q1, "third"]


def test_labels_that_somebody_else_has_appended_are_not_overwritten(filled: Path) -> None:
    with LabelsFile(filled) as old, LabelsFile(filled) as new:
        new.append(replace(FIRST, q1="third"))
        for change in (lambda: old.append(FIRST), lambda: old.reweigh({FIRST.pair: 9.0}), old.remove_last):
            with pytest.raises(StoreError, match="was changed while this review had it open"):
                change()
    assert [label.q1 for label in rows_of(filled)] == [FIRST.q1, SECOND.q1, "third"]


def test_a_place_where_no_file_can_be_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be read or written"):
        LabelsFile(tmp_path / "file" / "labels.csv").open()
    with pytest.raises(StoreError, match="cannot be read or written"):
        LabelsFile(tmp_path).open()


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    with LabelsFile(tmp_path / "new" / "folder" / "labels.csv") as labels:
        labels.append(FIRST)
    assert len(rows_of(tmp_path / "new" / "folder" / "labels.csv")) == 1


def test_a_label_needs_an_open_file(path: Path) -> None:
    with pytest.raises(StoreError, match="is not open"):
        LabelsFile(path).append(FIRST)


KILLED = """
import os, signal, sys
from semroute.review.labels import Label, LabelsFile
labels = LabelsFile(sys.argv[1]).open()
for number in range(3):
    labels.append(Label("stored", f"asked {number}", True, 1.0, "person", 0.0, number))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_label(path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [label.q2 for label in rows_of(path)] == ["asked 0", "asked 1", "asked 2"]


def test_a_full_disk_is_an_error_and_leaves_whole_rows(path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
            labels = LabelsFile(path).open()
            try:
                for _ in range(50):
                    labels.append(FIRST)
            except StoreError:
                os._exit(0 if path.read_bytes().endswith(b"\n") and len(labels.rows) > 5 else 1)
            os._exit(2)
        except BaseException:
            os._exit(99)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(rows_of(path)) > 5

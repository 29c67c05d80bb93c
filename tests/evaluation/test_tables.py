"""Reading labelled questions."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from semroute.errors import ConfigError
from semroute.evaluation.tables import Texts, label_of, read_rows, text_of

CSV = 'first,second,label\n"How, then?",Why?,1\nWhen?,"Who\nis it?",0\n'


def test_a_csv_file_is_read_with_its_quotes_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    rows = read_rows(tmp_path / "a.csv")
    assert [row["first"] for row in rows] == ["How, then?", "When?"]
    assert rows[1]["second"] == "Who\nis it?"


def test_a_packed_csv_file_holds_the_same_rows_as_the_plain_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    assert read_rows(tmp_path / "a.csv.gz") == read_rows(tmp_path / "a.csv")


def test_a_jsonl_file_keeps_what_json_says_and_skips_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"history": ["a"], "n": 1}\n\n{"history": [], "n": 2}\n'))
    assert read_rows(tmp_path / "a.jsonl.gz") == [{"history": ["a"], "n": 1}, {"history": [], "n": 2}]


def test_the_limit_takes_the_first_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    assert [row["label"] for row in read_rows(tmp_path / "a.csv", limit=1)] == ["1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"first,second\na,b\n", "row 1 has no column label; it has first, second"),
        ("a.csv", b"first;label\nHow, then?;1\n", 'row 1 has no column label; its columns .* separated by ";"'),
        ("a.csv", b"first\tlabel\nHow, then, and why?\t1\n", "separated by a tab, and a CSV file must .* by commas"),
        ("a.csv", b"first,second\na,b,c\n", "row 1 has no column label; it has first, second"),
        ("a.csv", b"first,second,label\n", "holds no rows"),
        ("a.csv", b"first\xff\n", "cannot be read"),
        ("a.csv.gz", b"not packed", "cannot be read"),
        ("a.jsonl", b'{"label": 1}\n{"label"\n', "line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "must hold a JSON object, not list"),
        ("a.parquet", b"", "must be a .csv"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_rows(tmp_path / name, columns={"label"})


def test_a_file_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rows(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("value", "label"),
    [("1", True), ("0", False), ("True", True), (False, False), (1, True), ("1.0", True), ("0.0", False), (1.0, True)],
)
def test_labels_are_one_and_zero_in_any_spelling(value: str | bool | float, label: bool) -> None:
    assert label_of({"label": value}, "label") is label


@pytest.mark.parametrize("value", ["yes", "", "2", None, 0.5])
def test_anything_else_is_no_label(value: str | float | None) -> None:
    with pytest.raises(ConfigError, match="must hold labels 1 or 0"):
        label_of({"label": value}, "label")


def test_a_column_of_objects_holds_no_text() -> None:
    with pytest.raises(ConfigError, match="must hold text"):
        text_of({"q": ["a"]}, "q")


def test_ids_are_joined_to_the_texts_of_another_file(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"id": id, "text": text}) for id, text in ((7, "Why?"), (8, "How?"))))
    texts = Texts.read(f"{path}:id:text")
    assert texts.of({"q1": "8"}, "q1") == "How?"
    with pytest.raises(ConfigError, match="no text with the id '9'"):
        texts.of({"q1": "9"}, "q1")


@pytest.mark.parametrize("named", ["texts.csv", "texts.csv:id", "texts.csv::text"])
def test_texts_must_be_named_with_both_columns(named: str) -> None:
    with pytest.raises(ConfigError, match="FILE:ID:TEXT"):
        Texts.read(named)

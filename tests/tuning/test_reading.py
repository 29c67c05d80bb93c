"""Files of labelled pairs: what is read, and what is said about those that are wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from semroute.errors import ConfigError
from semroute.evaluation.tables import Texts
from semroute.tuning.reading import Columns, LabelledPair, Survey, each_pair, survey

COLUMNS = Columns("a", "b", "same")


def written(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_survey_counts_pairs_and_positives(tmp_path: Path) -> None:
    assert survey(written(tmp_path, "a,b,same\nx,y,1\nu,v,0\nu,w,0\n"), COLUMNS) == Survey(3, 1)


def test_pairs_come_in_the_order_of_the_file_whatever_its_kind(tmp_path: Path) -> None:
    expected = [LabelledPair("Ist das so?", "そうですか", True), LabelledPair("هل هذا صحيح؟", "y", False)]
    rows = [{"a": pair.stored, "b": pair.asked, "same": int(pair.is_right)} for pair in expected]
    text = "\n".join(json.dumps(row) for row in rows)
    with gzip.open(tmp_path / "pairs.jsonl.gz", "wt", encoding="utf-8") as packed:
        packed.write(text)
    assert list(each_pair(tmp_path / "pairs.jsonl.gz", COLUMNS)) == expected
    assert list(each_pair(written(tmp_path, text, "pairs.jsonl"), COLUMNS)) == expected


def test_groups_weights_and_texts_are_read_with_them(tmp_path: Path) -> None:
    texts = Texts.read(
        f"{written(tmp_path, 'id,t' + chr(10) + '1,one' + chr(10) + '2,two' + chr(10), 'texts.csv')}:id:t"
    )
    path = written(tmp_path, "a,b,same,day,w\n1,2,1,monday,2.5\n2,1,0,tuesday,0\n")
    pairs = list(each_pair(path, Columns("a", "b", "same", "day", "w"), texts))
    assert pairs == [LabelledPair("one", "two", True, "monday", 2.5), LabelledPair("two", "one", False, "tuesday", 0.0)]


def test_strange_labels_are_named_with_their_rows(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,same\nx,y,1\nx,z,2\nx,w,maybe\nx,v,nan\nx,u,\nx,t,2\nx,s,0\n")
    with pytest.raises(
        ConfigError, match=r"it also holds '2' \(first in row 2\), 'maybe' \(first in row 3\)"
    ) as refused:
        survey(path, COLUMNS)
    assert "'nan' (first in row 4)" in str(refused.value)
    assert "'' (first in row 5)" in str(refused.value)


def test_of_many_strange_labels_only_some_are_named(tmp_path: Path) -> None:
    rows = "".join(f"x,y,{number}\n" for number in range(2, 1_000))
    with pytest.raises(ConfigError) as refused:
        survey(written(tmp_path, f"a,b,same\n{rows}"), COLUMNS)
    assert len(str(refused.value)) < 500


def test_a_label_that_json_writes_as_not_a_number_is_strange(tmp_path: Path) -> None:
    path = written(tmp_path, '{"a": "x", "b": "y", "same": NaN}\n{"a": "x", "b": "y", "same": 1}\n', "pairs.jsonl")
    with pytest.raises(ConfigError, match=r"nan \(first in row 1\)"):
        survey(path, COLUMNS)


@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_one_kind_are_refused(tmp_path: Path, label: int) -> None:
    path = written(tmp_path, "a,b,same\n" + f"x,y,{label}\n" * 20)
    with pytest.raises(ConfigError, match=f"are both needed; all 20 labels of column same are {label}"):
        survey(path, COLUMNS)


@pytest.mark.parametrize("question", ["NaN", "-Infinity", "null", '["x"]', "true"])
def test_a_question_that_is_no_text_is_refused_with_its_row(tmp_path: Path, question: str) -> None:
    path = written(
        tmp_path, f'{{"a": "x", "b": "y", "same": 1}}\n{{"a": {question}, "b": "y", "same": 0}}\n', "p.jsonl"
    )
    with pytest.raises(ConfigError, match="row 2: column a must hold text"):
        list(each_pair(path, COLUMNS))


@pytest.mark.parametrize("question", ["", "  ", "nan", "NaN"])
def test_a_question_that_is_missing_is_refused_with_its_row(tmp_path: Path, question: str) -> None:
    path = written(tmp_path, f"a,b,same\nx,y,1\nx,{question},0\n")
    with pytest.raises(ConfigError, match="row 2: column b must hold a question, not"):
        list(each_pair(path, COLUMNS))


def test_an_id_of_a_text_that_is_missing_is_refused_with_its_row(tmp_path: Path) -> None:
    texts = Texts.read(f"{written(tmp_path, 'id,t' + chr(10) + '1,one' + chr(10) + '2,' + chr(10), 'texts.csv')}:id:t")
    with pytest.raises(ConfigError, match="row 1: column b must hold a question, not ''"):
        list(each_pair(written(tmp_path, "a,b,same\n1,2,1\n"), COLUMNS, texts))


@pytest.mark.parametrize("weight", ["-1", "nan", "inf", "many", ""])
def test_a_weight_that_is_no_number_of_requests_is_refused(tmp_path: Path, weight: str) -> None:
    path = written(tmp_path, f"a,b,same,w\nx,y,1,1\nx,z,0,{weight}\n")
    with pytest.raises(ConfigError, match="row 2: column w must hold numbers of at least 0"):
        list(each_pair(path, Columns("a", "b", "same", weight="w")))


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no column day"):
        survey(written(tmp_path, "a,b,same\nx,y,1\n"), Columns("a", "b", "same", group="day"))

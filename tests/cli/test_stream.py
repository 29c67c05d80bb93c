"""Labelled streams are read strictly: a bad line is named, with what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from semroute.cli._output import UsageError
from semroute.cli.stream import packaged_stream, read_stream, reusable_flags

from .replaying import row

GOOD = {
    "tenant": "t",
    "system": "s",
    "history": [],
    "query": "q?",
    "answer_class": "c",
    "trap": False,
    "model": "small",
}


def written(folder: Path, *lines: str) -> Path:
    path = folder / "stream.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_rows_are_read_in_order_and_empty_lines_passed_over(tmp_path: Path) -> None:
    stream = read_stream(written(tmp_path, json.dumps(GOOD), "", json.dumps({**GOOD, "query": "r?"}), ""))
    assert [one.query for one in stream.rows] == ["q?", "r?"]
    assert stream.name == "stream.jsonl"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{not json", "JSON"),
        ("[1, 2]", "object"),
        (json.dumps({key: GOOD[key] for key in GOOD if key != "query"}), "query"),
        (json.dumps({**GOOD, "query": "  "}), "query"),
        (json.dumps({**GOOD, "answer_class": [7]}), "answer_class"),
        (json.dumps({**GOOD, "trap": "perhaps"}), "trap"),
        (json.dumps({**GOOD, "history": [{"role": "robot", "content": "x"}]}), "history.0.role"),
        (json.dumps({**GOOD, "history": [{"role": "user"}]}), "history.0.content"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_number(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(UsageError, match=rf"line 3: .*{fault}"):
        read_stream(written(tmp_path, json.dumps(GOOD), "", line))


def test_null_stands_for_what_is_left_out_and_numbers_for_names(tmp_path: Path) -> None:
    line = {"tenant": None, "system": None, "history": None, "query": "q?", "answer_class": 7, "trap": 1, "model": None}
    (one,) = read_stream(written(tmp_path, json.dumps(line))).rows
    assert (one.tenant, one.system, one.history, one.answer_class, one.trap, one.model) == (
        None, "", (), "7", True, "small",
    )  # fmt: skip


def test_the_speakers_of_a_history_may_go_by_other_frameworks_words(tmp_path: Path) -> None:
    turns = [{"role": "human", "content": "x"}, {"role": "ai", "content": "y"}]
    (one,) = read_stream(written(tmp_path, json.dumps({**GOOD, "history": turns}))).rows
    assert [turn.role for turn in one.history] == ["user", "assistant"]


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="could not be read"):
        read_stream(tmp_path / "nowhere.jsonl")


def test_a_file_that_is_no_text_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UsageError, match="could not be read"):
        read_stream(path)


def test_an_empty_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no requests"):
        read_stream(written(tmp_path, "", "  "))


def test_a_byte_order_mark_and_a_line_separator_inside_a_string_do_no_harm(tmp_path: Path) -> None:
    line = json.dumps({**GOOD, "query": "one\u2028two"}, ensure_ascii=False)
    stream = read_stream(written(tmp_path, f"\ufeff{line}"))
    assert stream.rows[0].query == "one\u2028two"


def test_a_request_is_reusable_after_one_of_its_context_and_class() -> None:
    rows = [row("a", "x"), row("b", "x"), row("c", "y"), row("a", "x", tenant="t"), row("d", "x", tenant="t")]
    assert reusable_flags(rows) == [False, True, False, False, True]


def test_an_answer_is_made_from_the_class_where_the_stream_gives_none() -> None:
    assert row("a", "x").answer_text != row("a", "y").answer_text
    assert row("a", "x", answer="Yes.").answer_text == "Yes."


def test_the_packaged_stream_is_read_by_the_same_rules() -> None:
    assert len(packaged_stream().rows) >= 400


def test_a_history_may_be_plain_texts_of_user_and_assistant_by_turns(tmp_path: Path) -> None:
    (one,) = read_stream(written(tmp_path, json.dumps({**GOOD, "history": ["Hi", "Hello!", "Bikes?"]}))).rows
    assert [(turn.role, turn.content) for turn in one.history] == [
        ("user", "Hi"),
        ("assistant", "Hello!"),
        ("user", "Bikes?"),
    ]


def test_a_blank_tenant_or_model_is_left_out(tmp_path: Path) -> None:
    (one,) = read_stream(written(tmp_path, json.dumps({**GOOD, "tenant": "", "model": " "}))).rows
    assert (one.tenant, one.model) == (None, "small")

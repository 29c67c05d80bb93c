"""The labelled streams keep their own promises: format, balance, and labels that can be scored."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

Row: TypeAlias = dict[str, Any]
Context: TypeAlias = tuple[str, str, str, str]

KEYS = {"tenant", "system", "history", "query", "answer_class", "trap", "kind", "model", "answer"}
TRAP_KINDS = {
    "number", "date", "negation", "antonym", "direction", "entity", "tenant", "system",
    "time", "own_state", "question_word", "quoted", "multi_turn",
}  # fmt: skip
KINDS = TRAP_KINDS | {"repeat", "paraphrase", "first"}
TIME_BOUND = {"time", "own_state"}


def lines_of(name: str) -> list[str]:
    if name == "support_desk":
        text = files("semroute.cli.demo").joinpath("support_desk.jsonl").read_text(encoding="utf-8")
    else:
        text = (Path(__file__).parent / "streams" / f"{name}.jsonl").read_text(encoding="utf-8")
    return text.splitlines()


@pytest.fixture(params=["support_desk", "it_helpdesk"])
def stream(request: pytest.FixtureRequest) -> list[Row]:
    return [json.loads(line) for line in lines_of(request.param)]


@pytest.fixture
def demo() -> list[Row]:
    return [json.loads(line) for line in lines_of("support_desk")]


def context_of(row: Row) -> Context:
    return row["tenant"], row["system"], json.dumps(row["history"]), row["model"]


def folded(query: str) -> str:
    return " ".join(unicodedata.normalize("NFC", query).split())


def with_earlier_of_its_class(rows: list[Row]) -> Iterator[tuple[Row, list[Row]]]:
    """Pair each row with the earlier rows of its context and answer class."""
    seen: dict[tuple[Context, str], list[Row]] = {}
    for row in rows:
        earlier = seen.setdefault((context_of(row), row["answer_class"]), [])
        yield row, list(earlier)
        earlier.append(row)


def word_overlap(one: str, other: str) -> float:
    left, right = (set(re.findall(r"\w+", text.lower())) for text in (one, other))
    return len(left & right) / len(left | right)


def test_every_row_has_exactly_the_keys_and_types_of_the_format(stream: list[Row]) -> None:
    for row in stream:
        assert set(row) == KEYS, row
        assert all(isinstance(row[key], str) and row[key].strip() for key in KEYS - {"history", "trap"}), row
        assert isinstance(row["trap"], bool), row
        assert row["kind"] in KINDS, row
        for turn in row["history"]:
            assert set(turn) == {"role", "content"}, row
            assert turn["role"] in {"user", "assistant"}, row


def test_a_history_alternates_and_ends_with_the_assistant(stream: list[Row]) -> None:
    for row in stream:
        roles = [turn["role"] for turn in row["history"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2), row


def test_the_demo_is_large_and_balanced(demo: list[Row]) -> None:
    kinds = Counter(row["kind"] for row in demo)
    assert len(demo) >= 400
    assert 0.30 <= kinds["repeat"] / len(demo) <= 0.42
    assert 0.18 <= kinds["paraphrase"] / len(demo) <= 0.27
    assert sum(row["trap"] for row in demo) >= 70


def test_the_demo_has_traps_of_every_kind(demo: list[Row]) -> None:
    assert {row["kind"] for row in demo if row["trap"]} == TRAP_KINDS


def test_one_context_and_class_has_one_answer(stream: list[Row]) -> None:
    for row, earlier in with_earlier_of_its_class(stream):
        assert all(row["answer"] == other["answer"] for other in earlier), row


def test_two_classes_of_one_context_never_share_an_answer(stream: list[Row]) -> None:
    owner: dict[tuple[Context, str], str] = {}
    for row in stream:
        assert owner.setdefault((context_of(row), row["answer"]), row["answer_class"]) == row["answer_class"], row


def test_one_context_and_text_has_one_class_unless_the_answer_is_time_bound(stream: list[Row]) -> None:
    owner: dict[tuple[Context, str], str] = {}
    for row in stream:
        if row["kind"] not in TIME_BOUND:
            key = (context_of(row), folded(row["query"]))
            assert owner.setdefault(key, row["answer_class"]) == row["answer_class"], row


def test_a_tenant_and_system_prompt_have_one_model(stream: list[Row]) -> None:
    models: dict[tuple[str, str], str] = {}
    for row in stream:
        assert models.setdefault((row["tenant"], row["system"]), row["model"]) == row["model"], row


def test_a_trap_is_the_first_of_its_class(stream: list[Row]) -> None:
    for row, earlier in with_earlier_of_its_class(stream):
        assert not (row["trap"] and earlier), row


def test_nothing_time_bound_is_ever_reusable(stream: list[Row]) -> None:
    classes = Counter(row["answer_class"] for row in stream)
    for row in stream:
        if row["kind"] in TIME_BOUND:
            assert classes[row["answer_class"]] == 1, row


def test_repeats_and_paraphrases_have_an_earlier_right_answer(stream: list[Row]) -> None:
    for row, earlier in with_earlier_of_its_class(stream):
        same_text = any(folded(row["query"]) == folded(other["query"]) for other in earlier)
        if row["kind"] == "repeat":
            assert same_text, row
        elif row["kind"] == "paraphrase":
            assert earlier, row
            assert not same_text, row
        else:
            assert not earlier, row


def test_every_trap_of_the_demo_resembles_an_earlier_request_with_another_answer(demo: list[Row]) -> None:
    for position, row in enumerate(demo):
        if row["trap"]:
            own = (context_of(row), row["answer_class"])
            others = [other for other in demo[:position] if (context_of(other), other["answer_class"]) != own]
            assert max(word_overlap(row["query"], other["query"]) for other in others) >= 0.5, row


@pytest.mark.parametrize("kind", ["tenant", "system", "multi_turn"])
def test_traps_of_context_repeat_the_very_words_of_another_context(demo: list[Row], kind: str) -> None:
    for position, row in enumerate(demo):
        if row["trap"] and row["kind"] == kind:
            twins = [other for other in demo[:position] if folded(other["query"]) == folded(row["query"])]
            assert any(context_of(other) != context_of(row) for other in twins), row


def test_the_demo_has_a_shared_system_prompt_and_a_tenant_with_two(demo: list[Row]) -> None:
    pairs = {(row["tenant"], row["system"]) for row in demo}
    assert max(Counter(system for _, system in pairs).values()) == 2
    assert max(Counter(tenant for tenant, _ in pairs).values()) == 2


def test_some_repeats_of_the_demo_differ_only_in_white_space_or_unicode_form(demo: list[Row]) -> None:
    repeats = [row["query"] for row in demo if row["kind"] == "repeat"]
    assert any(query != " ".join(query.split()) for query in repeats)
    assert any(query != unicodedata.normalize("NFC", query) for query in repeats)

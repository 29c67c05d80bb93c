"""`semroute warm` fills a store from a file of questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import BaseMessage
from typer.testing import CliRunner, Result

from semroute import SemanticCache
from semroute.cli import warm
from semroute.cli._output import UsageError
from semroute.cli.main import app
from semroute.cli.warm import read_questions
from semroute.embedders import onnx
from semroute.testing.embedders import HashEmbedder

Shell = Callable[..., Result]


class Clerk(FakeListChatModel):
    """Answers everything but questions about secrets."""

    responses: list[str] = ["It is so."]  # noqa: RUF012  # a field of pydantic's, not a class attribute

    def _call(self, messages: list[BaseMessage], *args: object, **kwargs: object) -> str:
        if "secret" in messages[-1].text:
            raise ConnectionError("the line is [dead]")
        return "It is so."


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "answers.db"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, store: Path) -> Shell:
    def clerk(name: str) -> BaseChatModel:
        return Clerk()

    monkeypatch.setattr(warm, "chat_model", clerk)
    monkeypatch.setattr(onnx, "OnnxEmbedder", HashEmbedder)
    return lambda *arguments: CliRunner().invoke(
        app, ["warm", *arguments, "--model", "fake:clerk", "--store", str(store)]
    )


def questions(folder: Path, *lines: str, name: str = "questions.txt") -> str:
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_answers_are_stored_once_and_a_second_run_asks_nothing(shell: Shell, tmp_path: Path, store: Path) -> None:
    file = questions(tmp_path, "Which cards do you take?", "", "Do you ship to Norway?")
    first = json.loads(shell(file, "--tenant", "acme", "--system", "Be brief.", "--json").stdout)
    assert first == {"asked": 2, "already": 0, "stored": 2, "refused": [], "failed": []}
    with SemanticCache(store, embedder=HashEmbedder()) as cache:
        assert {entry.query for entry in cache.store.scan()} == {"Which cards do you take?", "Do you ship to Norway?"}
        assert cache.invalidate(tenant="other") == 0
    second = json.loads(shell(file, "--tenant", "acme", "--system", "Be brief.", "--json").stdout)
    assert (second["already"], second["stored"]) == (2, 0)


def test_another_tenant_has_answers_of_its_own(shell: Shell, tmp_path: Path) -> None:
    file = questions(tmp_path, "Which cards do you take?")
    shell(file, "--tenant", "acme")
    assert json.loads(shell(file, "--tenant", "zeta", "--json").stdout)["stored"] == 1


def test_failures_are_listed_at_the_end_and_make_the_exit_status_1(shell: Shell, tmp_path: Path) -> None:
    answer = shell(questions(tmp_path, "What is the secret?", "Which cards do you take?"))
    assert answer.exit_code == 1
    first, *rest = answer.stdout.splitlines()
    assert "1 stored" in first
    assert "1 failed" in first
    assert "What is the secret?" in rest[-1]
    assert "the line is [dead]" in rest[-1]


def test_what_may_not_be_cached_is_listed_and_is_no_failure(shell: Shell, tmp_path: Path) -> None:
    answer = shell(questions(tmp_path, "What is the weather in Paris right now?"), "--json")
    assert answer.exit_code == 0
    (refused,) = json.loads(answer.stdout)["refused"]
    assert refused["question"] == "What is the weather in Paris right now?"


def test_json_lines_are_read_by_their_query(tmp_path: Path) -> None:
    file = questions(tmp_path, '{"query": "One?", "more": 1}', "", '{"query": "Two?"}', name="questions.jsonl")
    assert read_questions(Path(file)) == ["One?", "Two?"]


@pytest.mark.parametrize("line", ["{", '{"question": "Two?"}', '["Two?"]', '{"query": " "}', '{"query": 2}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    file = questions(tmp_path, '{"query": "One?"}', line, name="questions.jsonl")
    with pytest.raises(UsageError, match="line 2"):
        read_questions(Path(file))


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no questions"):
        read_questions(Path(questions(tmp_path, "", " ")))


def test_a_model_that_cannot_be_set_up_is_said_in_one_sentence(tmp_path: Path, store: Path) -> None:
    file = questions(tmp_path, "One?")
    answer = CliRunner().invoke(app, ["warm", file, "--model", "nobody:nothing", "--store", str(store)])
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("semroute: --model nobody:nothing could not be set up: ")
    assert not store.exists()


def test_a_model_without_a_provider_is_a_usage_error(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["warm", questions(tmp_path, "One?"), "--model", "gpt-4o-mini"])
    assert answer.exit_code == 2
    assert "PROVIDER:NAME" in answer.stderr

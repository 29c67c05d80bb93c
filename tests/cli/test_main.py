"""The command line as a shell sees it: exit statuses, and what goes to which stream."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from semroute import __version__
from semroute.cli import main as main_module
from semroute.cli.main import app
from semroute.errors import EmbedderError

COMMANDS = ("demo", "replay", "explain", "warm", "stats", "invalidate", "bench", "eval")


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == f"semroute {__version__}"


def test_help_names_every_command() -> None:
    page = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f" {command} " in page for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page(command: str) -> None:
    page = CliRunner().invoke(app, [command, "--help"])
    assert page.exit_code == 0
    assert "Usage" in page.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["explain"],
        ["stats", "--nonsense"],
        ["replay", "nowhere.jsonl"],
        ["invalidate", "--older-than", "soon"],
        ["warm", "nowhere.txt", "--model", "openai:gpt-4o-mini"],
        ["demo", "--model", "gpt"],
    ],
)
def test_a_wrong_call_exits_2_with_a_word_on_stderr_only(arguments: list[str]) -> None:
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.strip()


READING = {
    "replay": (),
    "warm": ("--model", "openai:gpt-4o-mini"),
    "tune": ("--q1", "a", "--q2", "b", "--label", "c", "--max-error", "0.1", "--out", "p.json"),
    "verifier train": ("--q1", "a", "--q2", "b", "--label", "c", "--out", "mine"),
    "eval pairs": ("--q1", "a", "--q2", "b"),
    "eval stream": ("--text", "a", "--class", "b"),
    "eval conversations": (),
    "import": (),
}


@pytest.mark.parametrize("word", READING)
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.jsonl", None, "there is no file"),
        (".", None, "is a folder: name a file"),
        ("empty.jsonl", b"", "empty.jsonl"),
        ("image.jsonl", b"\x89PNG\r\n\xff\xfe\x00", "image.jsonl"),
        ("numbers.jsonl", b"1\n2\n", "numbers.jsonl"),
        ("columns.jsonl", b'{"x": "y"}\n', "columns.jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_wrong_call_and_named_in_one_sentence(
    word: str, name: str, content: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (word, name) == ("warm", "numbers.jsonl"):
        message = "numbers.jsonl, line 1"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if content is not None:
        (tmp_path / name).write_bytes(content)
    answer = CliRunner().invoke(app, [*word.split(), name, *READING[word], "--json"])
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("semroute: ")
    assert message in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


ON_STORES = {
    "demo": (),
    "replay": ("day.jsonl",),
    "explain": ("Who is it?",),
    "stats": (),
    "invalidate": ("--tag", "x"),
    "export": ("out.jsonl",),
    "import": ("all.jsonl",),
    "bench lookup": (),
    "ring status": (),
    "ring adopt": (),
    "ring rebalance": (),
    "ring plan": ("--to", "b.db"),
}


@pytest.mark.parametrize("word", ON_STORES)
@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("ftp://host/x", "no store speaks ftp://"),
        ("redis://127.0.0.1:1", "cannot be reached"),
        ("redis://127.0.0.1:port", "the port 'port' of the Redis URL must be a number"),
        ("notes.txt", "is no store but a file of another kind, and is left as it is"),
    ],
)
def test_a_store_that_cannot_be_is_told_in_one_sentence_and_nothing_is_changed(
    word: str, store: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("Mine.")
    (tmp_path / "day.jsonl").write_text('{"query": "Who is it?", "answer_class": "a"}\n')
    header = {"format": "semroute-entries", "v": 1, "digest_key": "0" * 64, "epoch": 1}
    (tmp_path / "all.jsonl").write_text(json.dumps(header) + "\n")
    answer = CliRunner().invoke(app, [*word.split(), *ON_STORES[word], "--store", store, "--json"])
    assert answer.exit_code in (1, 2)
    assert answer.stdout == ""
    assert answer.stderr.startswith("semroute: ")
    assert message in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert (tmp_path / "notes.txt").read_text() == "Mine."
    assert not list(tmp_path.glob("notes.txt.*"))


@pytest.mark.parametrize("url", ["http://localhost:1", "sqlite:///"])
def test_a_store_that_cannot_be_used_exits_1_with_one_sentence(url: str) -> None:
    answer = CliRunner().invoke(app, ["stats", "--store", url])
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("semroute: ")
    assert len(answer.stderr.splitlines()) == 1


def test_a_bad_row_exits_2_and_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_text('{"query": "a", "answer_class": "b"}\n{"query": 1}\n', encoding="utf-8")
    answer = CliRunner().invoke(app, ["replay", str(path), "--json"])
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "line 2" in answer.stderr


@pytest.mark.parametrize(("error", "status"), [(EmbedderError("no [model] here"), 1), (KeyboardInterrupt(), 130)])
def test_failures_and_interrupts_have_their_exit_status(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("semroute.cli.demo_command.run", fail)
    answer = CliRunner().invoke(app, ["demo"])
    assert answer.exit_code == status
    assert "Traceback" not in answer.stderr
    if status == 1:
        assert answer.stderr == "semroute: no [model] here\n"


def test_the_console_script_works_in_a_process_of_its_own(tmp_path: Path) -> None:
    code = f"import sys; from {main_module.__name__} import main; sys.argv = ['semroute', *sys.argv[1:]]; main()"
    answer = subprocess.run(
        [sys.executable, "-c", code, "stats", "--store", str(tmp_path / "none.db")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr

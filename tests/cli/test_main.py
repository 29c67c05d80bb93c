"""The command line as a shell sees it: exit statuses, and what goes to which stream."""

from __future__ import annotations

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

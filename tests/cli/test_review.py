"""`semroute review` in a shell: keys, lines, judges, and what is wrong with logs."""

from __future__ import annotations

import csv
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import BaseMessage
from typer.testing import CliRunner, Result

from semroute.cli import review
from semroute.cli.main import app
from semroute.cli.review import shown
from semroute.entry import Answer
from semroute.result import Verdict
from semroute.review.log import ShadowLog
from semroute.shadow import ShadowRecord

Shell = Callable[..., Result]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a shadow log with five questions about one stored question."""
    path = tmp_path / "shadow.db"
    shadow = ShadowLog(path)
    shadow.add(
        ShadowRecord(
            at=1_750_000_000.0,
            request=f"request{number}",
            entry="entry",
            query=f"How do I pay bill {number}?",
            candidate="How do I pay my bill?",
            similarity=0.91,
            p_reusable=0.8,
            verdicts=(Verdict("numbers", False, f"{number} ≠ nothing"),),
            threshold=0.85,
            needed_p=0.9,
            stored_answer=Answer("By [bold]card[/]."),
            real_answer=Answer(f"Bill {number} is paid by transfer."),
        )
        for number in range(5)
    )
    shadow.close()
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


@pytest.fixture
def shell(log: Path, out: Path) -> Shell:
    return lambda *arguments, **given: CliRunner().invoke(
        app, ["review", "--log", str(log), "--out", str(out), *arguments], **given
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestAPerson:
    def test_answers_become_labels(self, shell: Shell, out: Path) -> None:
        done = shell(input="y\nn\nyes\nN\ny\n")
        assert done.exit_code == 0
        assert [row["label"] for row in rows_of(out)] == ["1", "0", "1", "0", "1"]
        assert {row["origin"] for row in rows_of(out)} == {"person"}
        assert "5 labels (3 yes, 2 no), 0 skipped, 0 to go" in done.stdout

    def test_the_screen_shows_both_questions_both_answers_and_what_the_guards_said(self, shell: Shell) -> None:
        page = shell("--n", "1", input="y\n").stdout
        for told in (
            "How do I pay my bill?",
            "By [bold]card[/].",
            "is paid by transfer.",
            "≠ nothing",
            "similarity 0.910 (a hit needed 0.85)",
            "P(reusable) 0.80 (a hit needed 0.90)",
            "1 of 1",
        ):
            assert told in page

    def test_skip_undo_and_keys_that_mean_nothing(self, shell: Shell, out: Path) -> None:
        done = shell(input="u\ny\nu\nn\ns\n\nx\ny\nq\n")
        assert [row["label"] for row in rows_of(out)] == ["0", "1"]
        assert "nothing to take back" in done.stdout
        assert done.stdout.count("press one of y, n, s, u, q") == 2
        assert "1 skipped, 3 to go" in done.stdout

    def test_what_was_skipped_is_asked_about_again_after_all_others(self, shell: Shell, out: Path) -> None:
        done = shell(input="s\ny\ny\ny\ny\nn\n")
        labels = [(row["q2"], row["label"]) for row in rows_of(out)]
        assert len(labels) == 5
        assert labels[-1][1] == "0"
        first = done.stdout.index(labels[-1][0])
        assert all(done.stdout.index(question) > first for question, _ in labels[:-1])
        assert "0 skipped, 0 to go" in done.stdout

    def test_the_help_line_says_what_the_keys_do_and_how_many_are_left(self, shell: Shell) -> None:
        page = shell(input="y\ns\nq\n").stdout
        keys = "y yes  n no  s skip, ask again last  u undo the last  q quit, all is kept"
        assert page.count(keys) == 3
        for left in ("· 5 left >", "· 4 left >", "· 4 left, 1 of them skipped >"):
            assert left in page

    def test_the_end_of_input_ends_the_review_and_the_next_one_goes_on(self, shell: Shell, out: Path) -> None:
        assert shell(input="y\ny").exit_code == 0
        first = rows_of(out)
        assert shell(input="n\n").exit_code == 0
        assert [row["label"] for row in rows_of(out)] == ["1", "1", "0"]
        assert [row["q2"] for row in rows_of(out)][:2] == [row["q2"] for row in first]

    def test_as_json_the_questions_are_asked_on_stderr_and_one_object_is_printed(
        self, shell: Shell, log: Path, out: Path
    ) -> None:
        done = shell("--json", "--n", "3", input="y\nn\nq\n")
        assert json.loads(done.stdout) == {
            "log": str(log),
            "labels": str(out),
            "records": 5,
            "requests": 5,
            "pairs": 5,
            "labelled": 2,
            "yes": 1,
            "no": 1,
            "by_judges": 0,
            "skipped": 0,
            "left": 1,
        }
        assert "How do I pay my bill?" in done.stderr

    def test_the_log_is_that_of_the_settings_where_none_is_named(
        self, log: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMROUTE_SHADOW_LOG", str(log))
        done = CliRunner().invoke(app, ["review", "--out", str(out), "--json"], input="y\n")
        assert json.loads(done.stdout)["log"] == str(log)

    def test_single_keys_are_enough_on_a_terminal(self, log: Path, out: Path) -> None:
        terminal = Terminal(log, out)
        terminal.press("y", after="1 of 5")
        terminal.press("n", after="2 of 5")
        terminal.press("q", after="3 of 5")
        assert terminal.end() == 0
        assert [row["label"] for row in rows_of(out)] == ["1", "0"]

    def test_an_interrupt_ends_the_review_and_keeps_what_was_said(self, log: Path, out: Path) -> None:
        terminal = Terminal(log, out)
        terminal.press("y", after="1 of 5")
        terminal.press("\x03", after="2 of 5")
        assert terminal.end() == 130
        assert f"every answer is kept in {out}: the same call goes on" in terminal.seen.replace("\r\n", "")
        assert [row["label"] for row in rows_of(out)] == ["1"]
        assert float(rows_of(out)[0]["weight"]) == 5.0


class Terminal:
    """A review that runs on a terminal of its own."""

    def __init__(self, log: Path, out: Path) -> None:
        self._screen, self._line = pty.openpty()
        script = "from semroute.cli.main import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, "review", "--log", str(log), "--out", str(out)],
            stdin=self._line,
            stdout=self._line,
            stderr=self._line,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
            start_new_session=True,
        )
        self._seen = ""

    @property
    def seen(self) -> str:
        """What the screen showed since the last key."""
        return self._seen

    def press(self, key: str, *, after: str) -> None:
        """Press a key when the screen shows some words and the review waits for a key."""
        self._wait(lambda: after in self._seen and not termios.tcgetattr(self._line)[3] & termios.ICANON)
        self._seen = ""
        os.write(self._screen, key.encode())

    def end(self) -> int:
        """Wait for the review to end; return its exit status."""
        self._wait(lambda: self._process.poll() is not None)
        while select.select([self._screen], [], [], 0)[0]:
            self._seen += os.read(self._screen, 65_536).decode(errors="replace")
        os.close(self._screen)
        os.close(self._line)
        return self._process.wait()

    def _wait(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not is_so():
            if time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise AssertionError(self._seen)
            if select.select([self._screen], [], [], 0.02)[0]:
                self._seen += os.read(self._screen, 65_536).decode(errors="replace")


class Judge(FakeListChatModel):
    """Says yes to even bills, and cannot tell about bill 3."""

    responses: list[str] = [""]  # noqa: RUF012  # a field of pydantic's, not a class attribute

    def _call(self, messages: list[BaseMessage], *args: object, **kwargs: object) -> str:
        text = messages[-1].text
        if "bill 3" in text:
            return "It depends."
        return "yes" if any(f"bill {number}" in text for number in (0, 2, 4)) else "No."


class TestAJudge:
    @pytest.fixture(autouse=True)
    def _judge(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def judge(name: str, option: str) -> BaseChatModel:
            return Judge()

        monkeypatch.setattr(review, "chat_model", judge)

    def test_a_judge_labels_instead_and_its_labels_are_marked(self, shell: Shell, out: Path) -> None:
        done = shell("--judge", "openai:small", "--json")
        assert done.exit_code == 0
        figures = json.loads(done.stdout)
        assert (figures["labelled"], figures["yes"], figures["by_judges"], figures["skipped"]) == (4, 3, 4, 1)
        assert {row["origin"] for row in rows_of(out)} == {"judge:openai:small"}
        labels = {row["q2"]: row["label"] for row in rows_of(out)}
        assert labels["How do I pay bill 2?"] == "1"
        assert labels["How do I pay bill 1?"] == "0"

    def test_a_person_may_finish_what_a_judge_could_not_tell(self, shell: Shell, out: Path) -> None:
        shell("--judge", "openai:small")
        assert shell(input="y\n").exit_code == 0
        assert rows_of(out)[-1]["origin"] == "person"
        assert rows_of(out)[-1]["q2"] == "How do I pay bill 3?"

    def test_a_judge_without_a_provider_is_a_wrong_call(self, shell: Shell, out: Path) -> None:
        refused = shell("--judge", "small")
        assert refused.exit_code == 2
        assert "--judge takes PROVIDER:NAME" in " ".join(refused.stderr.split())
        assert not out.exists()


def test_the_end_reconciles_records_requests_pairs_and_the_weights_of_the_labels(tmp_path: Path, out: Path) -> None:
    log = ShadowLog(tmp_path / "several.db")
    # Three requests with two candidates each; the nearest of the first two make one pair.
    asked = ((1.0, "r1", "How to pay?"), (2.0, "r2", "How to pay?"), (3.0, "r3", "How to move?"))
    log.add(
        ShadowRecord(at, request, stored, words, stored, similarity)
        for at, request, words in asked
        for stored, similarity in (("How do I do it?", 0.9), ("Who is it?", 0.4))
    )
    log.close()
    page = CliRunner().invoke(app, ["review", "--log", str(log.path), "--out", str(out)], input="y\nn\n").stdout
    assert "6 records of 3 requests" in page
    assert "2 different pairs" in page
    assert "add up to those requests" in page
    assert sum(float(row["weight"]) for row in rows_of(out)) == pytest.approx(3.0)


def test_a_judge_that_nobody_provides_is_named_by_its_option(shell: Shell) -> None:
    refused = shell("--judge", "nope:model")
    assert refused.exit_code == 1
    assert "--judge nope:model could not be set up" in " ".join(refused.stderr.split())


def test_a_judge_that_only_fails_is_a_failure(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, log: Path, out: Path
) -> None:
    def dead(prompt: str) -> str:
        raise ConnectionError("the line is [dead]")

    shadow = ShadowLog(log)
    shadow.add(ShadowRecord(1.0, f"r{number}", "e", f"asked {number}", "stored", 0.9) for number in range(20))
    shadow.close()
    monkeypatch.setattr(review, "chat_model", lambda name, option: dead)
    failed = shell("--judge", "openai:small", "--json")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "failed 10 times in a row" in failed.stderr
    assert "the line is [dead]" in failed.stderr


class TestLogsThatCannotBeReviewed:
    def test_a_log_that_is_not_there(self, tmp_path: Path, out: Path) -> None:
        failed = CliRunner().invoke(app, ["review", "--log", str(tmp_path / "no.db"), "--out", str(out), "--json"])
        assert (failed.exit_code, failed.stdout) == (1, "")
        assert "there is no shadow log at" in failed.stderr
        assert not out.exists()

    def test_a_log_that_is_damaged(self, shell: Shell, log: Path) -> None:
        log.write_bytes(b"SQLite format 3\x00" + bytes(range(256)) * 40)
        failed = shell()
        assert failed.exit_code == 1
        assert "semroute: shadow log" in failed.stderr
        assert "damaged" in failed.stderr

    def test_labels_of_another_form(self, shell: Shell, out: Path) -> None:
        out.write_text("a,b\n1,2\n")
        failed = shell()
        assert failed.exit_code == 1
        assert "is no labels file" in failed.stderr
        assert out.read_text() == "a,b\n1,2\n"

    def test_no_label_at_all_is_a_wrong_call(self, shell: Shell) -> None:
        assert shell("--n", "0").exit_code == 2


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("\x1b[31mred\x07", "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}"),
        ("abc\u202egpj.exe", "abc\N{REPLACEMENT CHARACTER}gpj.exe"),
        ("👩\u200d💻 می\u200cخواهم", "👩\u200d💻 می\u200cخواهم"),
        ("half \ud83d", "half \N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_strangers_text_can_do_nothing_to_the_terminal(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_a_long_text_is_cut() -> None:
    assert len(shown("x" * 100_000)) < 2_000

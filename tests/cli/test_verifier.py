"""`semroute verifier train` on pairs of one's own."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from semroute.cli.main import app
from semroute.embedders import onnx
from semroute.entry import Candidate
from semroute.guards import verifier
from semroute.guards._verifier_file import Coefficients, write, written
from semroute.guards._verifier_forest import Forest
from semroute.guards.verifier import Verifier
from semroute.testing.embedders import HashEmbedder
from semroute.tuning import verifier_training

Shell = Callable[..., Result]

VERBS = ("pay", "cancel", "move", "renew", "print", "share", "split", "check")
THINGS = ("bill", "order", "ticket", "booking", "invoice", "plan", "loan", "visa", "badge", "parcel")


def start_verifier(embedder: str = HashEmbedder().identity) -> Verifier:
    """Return a verifier that looks at the similarity alone."""
    return Verifier(Coefficients(embedder, ("the", "my", "i"), -3.0, 6.0, Forest.empty(3)), {"data": "none"})


@pytest.fixture(autouse=True)
def _quick_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take the place of the embedder and of the verifier that ships."""
    shipped = tmp_path / "shipped.json"
    write(shipped, written(start_verifier().coefficients, {"data": "none"}))
    monkeypatch.setattr(verifier, "SHIPPED", shipped)
    monkeypatch.setattr(onnx, "OnnxEmbedder", HashEmbedder)


def pairs(count: int) -> list[tuple[str, str, str]]:
    """Return pairs about a verb and a thing: right where both are the same."""
    chance = random.Random(7)
    rows = []
    for number in range(count):
        verb, thing, place = chance.choice(VERBS), chance.choice(THINGS), f"room{chance.randrange(count)}"
        is_right = number % 2 == 0
        other = thing if is_right else chance.choice([one for one in THINGS if one != thing])
        rows.append(
            (f"How do I {verb} my {thing} in {place}?", f"How to {verb} a {other} in {place}", str(int(is_right)))
        )
    return rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(tmp_path / "pairs.csv", pairs(160))


def saved(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows([("stored", "asked", "right"), *rows])
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "mine"


@pytest.fixture
def shell(file: Path, out: Path) -> Shell:
    def run(*arguments: str, of: Path = file) -> Result:
        columns = ("--q1", "stored", "--q2", "asked", "--label", "right")
        return CliRunner().invoke(app, ["verifier", "train", str(of), *columns, "--out", str(out), *arguments])

    return run


def test_a_verifier_is_fitted_and_written_with_its_card(shell: Shell, out: Path, file: Path) -> None:
    done = shell("--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    fitted = Verifier.load(out / "verifier.json", embedder=HashEmbedder().identity)
    assert figures["out"] == str(out / "verifier.json")
    assert (figures["digest"], figures["start"]) == (fitted.digest, start_verifier().digest)
    assert (figures["n"], figures["positives"]) == (160, 80)
    assert figures["log_loss"] < figures["start_log_loss"]
    (data,) = fitted.card["data"]  # type: ignore[misc,assignment,str-unpack]  # JSON: a list of one object
    assert (data["file"], data["pairs"], data["positives"]) == ("pairs.csv", 160, 80)  # type: ignore[index,call-overload]  # as above
    assert "room" not in json.dumps(fitted.card)


def test_what_was_fitted_tells_right_from_wrong(shell: Shell, out: Path) -> None:
    shell("--json")
    fitted = Verifier.load(out / "verifier.json")
    query = "How to pay a bill in room 9"
    embedder = HashEmbedder()

    def p(stored: str) -> float:
        one, other = embedder.embed([query, stored])
        (found,) = fitted.probabilities(query, [Candidate("e", stored, min(1.0, max(0.0, float(one @ other))))])
        return found

    assert p("How do I pay my bill in room 9?") > p("How do I pay my visa in room 9?")


def test_the_page_for_a_person_compares_before_and_after_and_says_how_to_use_it(shell: Shell, out: Path) -> None:
    page = shell().stdout
    for told in (
        "before",
        "after",
        "log loss",
        "160 pairs, 80 of them",
        f"Written to {out}/verifier.json",
    ):
        assert told in page


def test_the_lines_that_say_how_to_use_it_work_when_they_are_pasted(shell: Shell, out: Path) -> None:
    names: dict[str, Any] = {}
    exec(shell().stdout.partition("Use it:\n")[2], names)
    assert names["cache"].rules.verifier.digest == Verifier.load(out).digest


def test_a_json_file_can_be_named_and_be_the_start_of_the_next_one(shell: Shell, tmp_path: Path) -> None:
    first = tmp_path / "first.json"
    assert shell("--out", str(first)).exit_code == 0
    again = shell("--out", str(tmp_path / "second.json"), "--start", str(first), "--json")
    assert json.loads(again.stdout)["start"] == Verifier.load(first).digest


def test_the_same_pairs_and_seed_give_the_same_verifier(shell: Shell, tmp_path: Path) -> None:
    digests = {
        json.loads(shell("--out", str(tmp_path / name), "--seed", "3", "--json").stdout)["digest"]
        for name in ("one.json", "two.json")
    }
    assert len(digests) == 1


def test_an_interrupted_training_leaves_the_old_verifier(
    shell: Shell, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell().exit_code == 0
    before = (out / "verifier.json").read_bytes()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verifier_training, "coefficients_of", interrupted)
    assert shell("--seed", "5").exit_code != 0
    assert (out / "verifier.json").read_bytes() == before
    assert [found.name for found in out.iterdir()] == ["verifier.json"]


class TestPairsThatDoNotServe:
    def test_labels_other_than_1_and_0_are_named(self, shell: Shell, tmp_path: Path, out: Path) -> None:
        strange = saved(tmp_path / "strange.csv", [*pairs(150), ("a", "b", "maybe"), ("c", "d", "2")])
        refused = shell("--json", of=strange)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "'maybe' (first in row 151)" in refused.stderr
        assert "'2' (first in row 152)" in refused.stderr
        assert not out.exists()

    def test_labels_of_one_kind(self, shell: Shell, tmp_path: Path) -> None:
        alike = saved(tmp_path / "alike.csv", [(stored, asked, "1") for stored, asked, _ in pairs(150)])
        refused = shell(of=alike)
        assert refused.exit_code == 2
        assert "are 1" in refused.stderr

    @pytest.mark.parametrize("question", ["", "  ", "NaN"])
    def test_a_question_that_is_missing(self, shell: Shell, tmp_path: Path, out: Path, question: str) -> None:
        refused = shell(of=saved(tmp_path / "gaps.csv", [*pairs(150), ("a", question, "1")]))
        assert refused.exit_code == 2
        assert "row 151: column asked must hold a question" in " ".join(refused.stderr.split())
        assert not out.exists()

    def test_a_file_where_a_folder_is_needed_is_told_before_anything_is_read(
        self, shell: Shell, tmp_path: Path, file: Path
    ) -> None:
        refused = shell("--out", str(file / "mine"))
        assert refused.exit_code == 2
        assert f"--out: {file} is a file, and {file / 'mine' / 'verifier.json'} needs a folder" in " ".join(
            refused.stderr.split()
        )

    def test_too_few(self, shell: Shell, tmp_path: Path, out: Path) -> None:
        refused = shell(of=saved(tmp_path / "few.csv", pairs(60)))
        assert refused.exit_code == 1
        assert "60 pairs are too few" in refused.stderr
        assert "it needs at least 100; label 40 more" in refused.stderr
        assert not out.exists()

    def test_too_few_to_start_from_nothing(self, shell: Shell) -> None:
        refused = shell("--from-nothing")
        assert refused.exit_code == 1
        assert "too few for a verifier that starts from nothing" in refused.stderr
        assert "or start from another verifier, which takes 100" in refused.stderr

    def test_a_column_that_is_not_there(self, shell: Shell) -> None:
        refused = shell("--q1", "question")
        assert refused.exit_code == 2
        assert "no column question" in refused.stderr

    def test_a_file_that_is_not_there(self, shell: Shell, tmp_path: Path) -> None:
        assert shell(of=tmp_path / "no.csv").exit_code == 2


class TestStartsAndPlacesThatDoNotServe:
    def test_a_start_that_is_no_verifier(self, shell: Shell, file: Path) -> None:
        refused = shell("--start", str(file))
        assert refused.exit_code == 2
        assert "is not the JSON of a verifier" in refused.stderr

    def test_a_start_of_another_embedder(self, shell: Shell, tmp_path: Path) -> None:
        other = tmp_path / "other.json"
        write(other, written(start_verifier("another embedder").coefficients, {}))
        refused = shell("--start", str(other))
        assert refused.exit_code == 1
        assert "another embedder" in refused.stderr

    def test_a_start_and_none_at_once(self, shell: Shell, file: Path) -> None:
        assert shell("--start", str(file), "--from-nothing").exit_code == 2

    @pytest.mark.parametrize(("seed", "code"), [("-3", 2), (str(2**32), 1)])
    def test_a_seed_out_of_range(self, shell: Shell, out: Path, seed: str, code: int) -> None:
        refused = shell("--seed", seed)
        assert refused.exit_code == code
        assert isinstance(refused.exception, SystemExit)
        assert "seed" in refused.stderr
        assert not out.exists()

    def test_a_file_where_the_folder_should_be(self, shell: Shell, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        refused = shell("--out", str(tmp_path / "notes.txt"))
        assert refused.exit_code == 2
        assert (tmp_path / "notes.txt").read_text() == "mine"

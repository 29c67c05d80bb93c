"""`semroute tune` as it is called from a shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import semroute
from semroute import SemanticCache
from semroute.cli.main import app
from semroute.guards.verifier import Verifier
from semroute.policy_file import read_policy
from semroute.testing.embedders import HashEmbedder

COLUMNS = ("--q1", "a", "--q2", "b", "--label", "same")


@pytest.fixture(autouse=True)
def _quick_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semroute.embedders.onnx.OnnxEmbedder", HashEmbedder)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["tune", *map(str, arguments)])


def row(number: int, label: int | str, day: int = 0) -> str:
    """Return a pair that is near where its number is even, far where it is odd."""
    question = f"How do I export report {number} to the archive"
    other = f"how do i export report {number} to the archive please" if number % 2 == 0 else f"Who is owner {number}"
    return f"{question},{other},{label},{day}\n"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same,day\n" + "".join(row(number, int(number % 2 == 0), number % 40) for number in range(300)))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "desk.json"


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_it_prints_one_object_and_writes_the_policy_that_a_cache_reads(pairs: Path, out: Path) -> None:
    figures = printed(call(pairs, *COLUMNS, "--max-error", "0.05", "--out", out, "--json"))
    policy = read_policy(str(out))
    assert figures["policy"]["version"] == policy.version
    assert policy.version.startswith("desk-")
    assert policy.embedder == HashEmbedder().identity
    assert policy.promise is not None
    assert (policy.promise.max_error, policy.promise.confidence, policy.promise.requests) == (0.05, 0.95, 300)
    assert figures["hit_rate"] == policy.promise.hit_rate == pytest.approx(0.5, abs=0.1)
    assert figures["error_rate"] == 0.0
    assert figures["right_hits"] == 1.0
    assert (figures["n"], figures["positives"], figures["n_needed"]) == (300, 150, None)
    assert figures["learned_on"] + figures["tested_on"] == 300
    assert figures["questions_on_both_sides"] == 0


def test_the_page_for_people_says_the_promise_and_where_the_policy_is(pairs: Path, out: Path) -> None:
    result = call(pairs, *COLUMNS, "--max-error", "0.05", "--out", out)
    assert result.exit_code == 0, result.output
    assert "at most 0.05 of all requests are wrong hits" in result.stdout
    assert "no question stands on both sides" in result.stdout
    assert str(out) in result.stdout.replace("\n", "")


def test_too_few_pairs_write_nothing_and_say_how_many_are_needed(pairs: Path, out: Path) -> None:
    result = call(pairs, *COLUMNS, "--max-error", "0.01", "--out", out, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert (said["policy"], said["n"], said["n_needed"]) == (None, 300, 600)
    assert result.stderr.startswith("semroute: 300 pairs are too few")
    assert not out.exists()


def test_too_few_pairs_are_told_before_anything_is_embedded(
    pairs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("embedded for nothing")

    monkeypatch.setattr(HashEmbedder, "embed", fail)
    assert call(pairs, *COLUMNS, "--max-error", "0.01", "--out", out).exit_code == 1


def test_folders_on_the_way_to_the_policy_are_made(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "desk.json"
    assert call(pairs, *COLUMNS, "--max-error", "0.05", "--out", out).exit_code == 0
    assert read_policy(str(out)).version.startswith("desk-")
    assert list(out.parent.iterdir()) == [out]


def test_too_few_pairs_are_told_with_what_to_do(pairs: Path, out: Path) -> None:
    said = call(pairs, *COLUMNS, "--max-error", "0.01", "--out", out).stderr
    assert "with confidence 0.95: at least 600 are needed" in said
    assert "label 300 more (`semroute review` asks about those that tell most)" in said
    assert "or allow more: 300 can do for --max-error 0.02" in said
    advised = call(pairs, *COLUMNS, "--max-error", "0.02", "--out", out)
    assert advised.exit_code == 0, advised.stderr


def test_of_pairs_with_weights_no_other_bound_is_advised(pairs: Path, out: Path) -> None:
    said = call(pairs, *COLUMNS, "--weight", "same", "--max-error", "0.01", "--out", out).stderr
    assert "stand for 150 requests" in said
    assert said.rstrip().endswith("or allow more with --max-error")


def test_twelve_rows_are_too_few_for_any_small_error(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same,day\n" + "".join(row(number, number % 2) for number in range(12)))
    result = call(path, *COLUMNS, "--max-error", "0.05", "--out", out)
    assert result.exit_code == 1
    assert "12 pairs are too few" in result.stderr
    assert "at least 120 are needed" in result.stderr


def test_labels_that_say_the_most_similar_pairs_are_wrong_leave_nothing_to_serve(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same,day\n" + "".join(row(number, number % 2) for number in range(300)))
    result = call(path, *COLUMNS, "--max-error", "0.05", "--out", out, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["n_needed"] is None
    assert "no threshold serves anything" in result.stderr
    assert not out.exists()


def test_an_old_policy_stays_where_no_new_one_is_found(pairs: Path, out: Path) -> None:
    call(pairs, *COLUMNS, "--max-error", "0.05", "--out", out)
    before = out.read_bytes()
    assert call(pairs, *COLUMNS, "--max-error", "0.01", "--out", out).exit_code == 1
    assert out.read_bytes() == before


def test_groups_say_how_many_questions_stand_on_both_sides(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same,day\n" + "".join(row(n % 150, int(n % 2 == 0), n // 2) for n in range(300)))
    options = (path, *COLUMNS, "--max-error", "0.1", "--out", out, "--json")
    assert printed(call(*options))["questions_on_both_sides"] == 0
    grouped = printed(call(*options, "--group", "day"))
    assert grouped["questions_on_both_sides"] > 0
    shown = call(*options[:-1], "--group", "day").stdout
    assert f"{grouped['questions_on_both_sides']} questions stand on both sides" in shown


def test_other_languages_and_texts_by_their_ids_are_tuned_on_as_well(tmp_path: Path, out: Path) -> None:
    stored = [f"Wie exportiere ich レポート {number} nach Köln?" for number in range(300)]
    asked = [text.lower() if number % 2 == 0 else "Кто это написал?" for number, text in enumerate(stored)]
    texts = enumerate([*stored, *asked])
    (tmp_path / "texts.csv").write_text("id,t\n" + "".join(f"{n},{text}\n" for n, text in texts))
    lines = [f"{n},{n + 300},{int(n % 2 == 0)}\n" for n in range(300)]
    (tmp_path / "ids.csv").write_text("a,b,same\n" + "".join(lines))
    named = ("--texts", f"{tmp_path / 'texts.csv'}:id:t")
    figures = printed(call(tmp_path / "ids.csv", *COLUMNS, *named, "--max-error", "0.1", "--out", out, "--json"))
    assert figures["right_hits"] == 1.0
    assert figures["error_rate"] == 0.0


def test_weights_stand_for_requests(pairs: Path, out: Path) -> None:
    lines = pairs.read_text().splitlines()
    weighted = pairs.with_name("weighted.csv")
    weighted.write_text("\n".join([f"{lines[0]},w", *(f"{line},2" for line in lines[1:])]))
    options = (*COLUMNS, "--max-error", "0.05", "--out", out, "--json")
    assert printed(call(weighted, *options, "--weight", "w"))["requests"] == 600


def test_a_verifier_of_ones_own_is_tuned_with_and_named_in_the_policy(
    pairs: Path, out: Path, own_verifier: Path
) -> None:
    options = (pairs, *COLUMNS, "--max-error", "0.05", "--out", out, "--verifier", own_verifier)
    page = call(*options).stdout.replace("\n", "")
    policy = read_policy(str(out))
    assert policy.verifier == Verifier.load(own_verifier).digest
    assert f"policy={str(out)!r}, verifier={str(own_verifier)!r}" in page
    SemanticCache("memory://", policy=out, verifier=own_verifier)


def test_a_verifier_of_another_embedder_is_a_wrong_call(pairs: Path, out: Path) -> None:
    shipped = Path(semroute.__file__).parent / "guards" / "verifier.json"
    result = call(pairs, *COLUMNS, "--max-error", "0.05", "--out", out, "--verifier", shipped)
    assert result.exit_code == 2
    assert "was fitted on similarities of the embedder" in " ".join(result.stderr.split())
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-error", "0"), "max_error must be a number between 0 and 1"),
        (("--max-error", "0.01", "--confidence", "1"), "confidence must be a number between 0 and 1"),
        (("--max-error", "0.01", "--requests", "0"), "requests must be at least 1"),
        (("--max-error", "0.01", "--label", "day"), "it also holds '2' (first in row 3)"),
        (("--max-error", "0.01", "--group", "month"), "no column month"),
        (("--max-error", "0.01", "--texts", "nowhere"), "FILE:ID:TEXT"),
        (("--max-error", "0.01", "--verifier", "nowhere.json"), "cannot be read as a verifier"),
        (("--max-error", "0.01", "--out", f"{__file__}/p.json"), "is a file, and"),
        (("--max-error", "0.01", "--out", "."), "--out: . is a folder: name a file in it"),
        ((), "--max-error"),
    ],
)
def test_a_wrong_call_exits_2_and_says_what_is_wrong(
    pairs: Path, out: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call(pairs, *COLUMNS, "--out", out, "--json", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert not out.exists()
